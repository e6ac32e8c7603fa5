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

// targetResponse is the response of Stoker's receiver. Tools such as Kargo compare the code, and some read the body.
type targetResponse struct {
	Accepted bool   `json:"accepted"`
	Ref      string `json:"ref,omitempty"`
	Message  string `json:"message,omitempty"`
}

// deliverToTarget delivers to the GatewaySync named in the path. It answers 202 to every valid payload.
func (h *handler) deliverToTarget(req *http.Request, r *delivery.Request) (code int, response any, err error) {
	namespace, name := req.PathValue("namespace"), req.PathValue("crName")
	if err := checkNames(namespace, name); err != nil {
		return 0, nil, logRejection(req.Context(), err)
	}
	if !h.Namespaces.Allow(namespace) {
		r.Forbidden = forbidden("webhooks may not act on the namespace " + namespace +
			": --webhook-namespaces does not list it")
	}
	r.Delivery.Namespace = namespace
	r.Delivery.Spec.Target = &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: name}
	delivered, err := h.Deliverer.Deliver(req.Context(), r)
	delivered, err = delivery.Redact(r.User, delivered, err)
	delivered, err = delivery.Advise(r.Delivery, delivered, err)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusAccepted, targetResponse{Accepted: true, Ref: refOf(delivered),
		Message: delivered.Status.Message}, nil
}

// checkNames rejects names that no object can have. This reveals nothing about which objects exist.
func checkNames(namespace, name string) error {
	if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
		return apierrors.NewBadRequest(
			fmt.Sprintf("the namespace in the path is not valid: %s", strings.Join(problems, ", ")))
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return apierrors.NewBadRequest(
			fmt.Sprintf("the name in the path is not valid: %s", strings.Join(problems, ", ")))
	}
	return nil
}

// refOf returns the ref requested by a delivery to one target, the last of several, or "".
func refOf(d *postern.WebhookDelivery) string {
	if n := len(d.Spec.Events); n > 0 {
		return d.Spec.Events[n-1].Ref
	}
	return ""
}
