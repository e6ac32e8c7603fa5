// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/payload"
)

const (
	// typeHeader is what Argo CD Image Updater's receiver takes in place of the type in the query.
	typeHeader = "X-Registry-Type"
	// maxResults bounds how many namespaces an answer tells of.
	maxResults = 100
	// retryAfterSeconds is when to send a webhook again while targets are not known yet.
	retryAfterSeconds = 5
)

// typeResponse says what came of a webhook in the namespaces where something wants what was pushed.
type typeResponse struct {
	Accepted   bool               `json:"accepted"`
	Message    string             `json:"message,omitempty"`
	Deliveries []deliveryResponse `json:"deliveries,omitempty"`
	// More is how many deliveries are left out.
	More int `json:"more,omitempty"`
}

// deliveryResponse is what became of a webhook in one namespace, whose name is not told: the sender may know only a secret for
// all of them. There is a Delivery if it was recorded, and an Error if it failed.
type deliveryResponse struct {
	Delivery string `json:"delivery,omitempty"`
	Phase    string `json:"phase,omitempty"`
	Message  string `json:"message,omitempty"`
	Error    string `json:"error,omitempty"`
}

// deliverByType delivers to whatever wants what a type of sender pushed, in all namespaces that webhooks may act on.
func (h *handler) deliverByType(req *http.Request, in delivery.Request) (code int, response any, err error) {
	source, err := h.typeOf(req)
	if err != nil {
		return 0, nil, logRejection(req.Context(), err)
	}
	namespaces, err := h.namespaces(req.Context())
	if err != nil {
		return 0, nil, err
	}
	fanout, err := h.Deliverer.DeliverToNamespaces(req.Context(), source, namespaces, in)
	if _, err = delivery.Redact(in.User, nil, err); err != nil {
		return 0, nil, err
	}
	for i, result := range fanout.Results {
		fanout.Results[i].Delivery, fanout.Results[i].Err = delivery.Redact(in.User, result.Delivery, result.Err)
	}
	if err := overallError(fanout.Results); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, newTypeResponse(fanout), nil
}

// namespaces returns those that webhooks may act on; if these are all, then those in which there is something to act on.
func (h *handler) namespaces(ctx context.Context) ([]string, error) {
	if !h.Namespaces.all {
		return h.Namespaces.names, nil
	}
	names, err := h.TargetNamespaces()
	if err != nil {
		// The cause names what only the operator may know, and nobody has proved anything yet.
		response := apierrors.NewServiceUnavailable("the targets are not known yet: send the webhook again later")
		response.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfterSeconds}
		return nil, logRejection(ctx, response, "cause", err)
	}
	return names, nil
}

// typeOf returns the type of sender: from the query, from the header that stands for it, or, if neither has one, from the
// headers by which some senders tell their events. It is a claim, and the payload must bear it out.
func (h *handler) typeOf(req *http.Request) (string, error) {
	inQuery, inHeader := req.URL.Query()["type"], req.Header.Values(typeHeader)
	if len(inQuery) > 1 || len(inHeader) > 1 {
		return "", apierrors.NewBadRequest("the type was given more than once: give it once, in the query or in " + typeHeader)
	}
	source := cmp.Or(strings.Join(inQuery, ""), strings.Join(inHeader, ""), payload.SourceFromHeader(req.Header))
	known := payload.Sources()
	if slices.Contains(known, source) && h.CanAccept(source) {
		return source, nil
	}
	handled := slices.DeleteFunc(known, func(source string) bool { return !h.CanAccept(source) })
	return "", apierrors.NewBadRequest(unhandledTypeMessage(source, handled))
}

// unhandledTypeMessage says what to do about a type that is not handled. Whether it exists makes no difference: it is handled once
// there is a secret for it.
func unhandledTypeMessage(source string, handled []string) string {
	if len(handled) == 0 {
		return "no type is handled, since there is a secret for none: set one, such as webhook.docker-secret, or --webhook-require-secret=false"
	}
	var given, hint string
	switch {
	case source == "":
		given = "no type was given"
	case payload.LooksLikeSource(source):
		given = fmt.Sprintf("the type %q is not handled", source)
	default: // it may hold a secret, and is logged
		given = "what was given as the type can't be one, since it is long, or has others than lower-case letters, digits, dots and dashes"
		hint = "; what follows the type begins with &, as in &secret=, not with ? or an encoded &"
	}
	return given + ": the URL must have ?type= with one of " + strings.Join(handled, ", ") + hint + "; others are handled once there is a secret for them"
}

// overallError returns the error that answers for all arrivals, if there is one: that of an arrival that left no record and
// may succeed if it is sent again, since it would be lost otherwise; or the first one if nothing arrived anywhere. One that
// its namespace has no room for does not answer for those that arrived elsewhere: all would be sent again, for as long
// as one namespace takes more than its share.
func overallError(results []delivery.NamespaceResult) error {
	var first, tooMany error
	failed := 0
	for _, result := range results {
		if result.Err == nil {
			continue
		}
		switch {
		case apierrors.HasStatusCause(result.Err, delivery.CauseNoRoom):
			tooMany = cmp.Or(tooMany, result.Err)
		case result.Delivery == nil && isRetryable(result.Err):
			return result.Err
		}
		first = cmp.Or(first, result.Err)
		failed++
	}
	if failed == len(results) {
		return cmp.Or(tooMany, first)
	}
	return nil
}

// isRetryable reports whether it can help to send a webhook again.
func isRetryable(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true // an error of ours, which is answered 500
	}
	code := status.Status().Code
	return code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
}

func newTypeResponse(fanout delivery.FanoutResult) typeResponse {
	response := typeResponse{Accepted: true, Message: fanout.Message}
	listed := fanout.Results[:min(len(fanout.Results), maxResults)]
	for _, result := range listed {
		item := deliveryResponse{}
		if d := result.Delivery; d != nil {
			item.Delivery, item.Phase, item.Message = d.Name, string(d.Status.Phase), d.Status.Message
		}
		if result.Err != nil {
			item.Error = result.Err.Error()
		}
		response.Deliveries = append(response.Deliveries, item)
	}
	response.More = len(fanout.Results) - len(listed)
	return response
}
