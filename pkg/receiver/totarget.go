// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/delivery"
)

// targetResponse is what Stoker's receiver answers: tools such as Kargo compare the code, and some read the body.
type targetResponse struct {
	Accepted bool   `json:"accepted"`
	Ref      string `json:"ref,omitempty"`
	Message  string `json:"message,omitempty"`
}

// deliverToTarget delivers to the GatewaySync that the path names. What was understood is always answered 202, whatever came of
// it.
func (h *handler) deliverToTarget(req *http.Request, in delivery.Request) (code int, response any, err error) {
	namespace, name := req.PathValue("namespace"), req.PathValue("crName")
	if err := checkNames(namespace, name); err != nil {
		return 0, nil, logRejection(req.Context(), err)
	}
	if !h.Namespaces.Allow(namespace) {
		in.Forbidden = forbidden("webhooks may not act on the namespace " + namespace + ": --webhook-namespaces does not list it")
	}
	d := &postern.WebhookDelivery{}
	d.Namespace = namespace
	d.Spec.Target = &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: name}
	delivered, err := h.Deliverer.Deliver(req.Context(), d, in, false)
	delivered, err = delivery.Redact(in.User, delivered, err)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusAccepted, targetResponse{Accepted: true, Ref: refOf(delivered), Message: delivered.Status.Message}, nil
}

// checkNames refuses names that no object can have. That tells nobody which there are.
func checkNames(namespace, name string) error {
	if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
		return apierrors.NewBadRequest(fmt.Sprintf("the namespace in the path is none: %s", strings.Join(problems, ", ")))
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return apierrors.NewBadRequest(fmt.Sprintf("the name in the path is none: %s", strings.Join(problems, ", ")))
	}
	return nil
}

// refOf is the ref that a delivery to one target asks for, or "": of several the last counts.
func refOf(d *postern.WebhookDelivery) string {
	if n := len(d.Spec.Events); n > 0 {
		return d.Spec.Events[n-1].Ref
	}
	return ""
}
