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

	"postern.dev/postern/pkg/apierror"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/payload"
)

const (
	// typeHeader is the alternative to the query parameter type in Argo CD Image Updater's receiver.
	typeHeader = "X-Registry-Type"
	// maxResults is the maximum number of namespaces in a response.
	maxResults = 100
	// retryAfterSeconds is the Retry-After of webhooks while the targets are not loaded.
	retryAfterSeconds = 5
)

// typeResponse reports the outcome of a webhook in all namespaces with targets for it.
type typeResponse struct {
	Accepted   bool               `json:"accepted"`
	Message    string             `json:"message,omitempty"`
	Deliveries []deliveryResponse `json:"deliveries,omitempty"`
	// More is the number of omitted deliveries.
	More int `json:"more,omitempty"`
}

// deliveryResponse is the outcome of a webhook in one namespace. It omits the name of the namespace, because the sender
// may only know a secret for all of them. Delivery is set if the delivery was recorded, Error if it failed.
type deliveryResponse struct {
	Delivery string `json:"delivery,omitempty"`
	Phase    string `json:"phase,omitempty"`
	Message  string `json:"message,omitempty"`
	Error    string `json:"error,omitempty"`
}

// deliverByType delivers to all targets that follow what was pushed, in all namespaces that webhooks may act on.
func (h *handler) deliverByType(req *http.Request, r *delivery.Request) (code int, response any, err error) {
	r.Delivery.Spec.Source, err = h.typeOf(req)
	if err != nil {
		return 0, nil, logRejection(req.Context(), err)
	}
	namespaces, err := h.namespaces(req.Context())
	if err != nil {
		return 0, nil, err
	}
	fanout, err := h.Deliverer.DeliverToNamespaces(req.Context(), r, namespaces)
	if _, err = delivery.Redact(r.User, nil, err); err != nil {
		return 0, nil, err
	}
	for i, result := range fanout.Results {
		fanout.Results[i].Delivery, fanout.Results[i].Err = delivery.Redact(r.User, result.Delivery, result.Err)
	}
	if err := overallError(fanout.Results); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, newTypeResponse(fanout), nil
}

// namespaces returns the namespaces that webhooks may act on; if all are allowed, only those with targets.
func (h *handler) namespaces(ctx context.Context) ([]string, error) {
	if !h.Namespaces.all {
		return h.Namespaces.names, nil
	}
	names, err := h.TargetNamespaces()
	if err != nil {
		// The cause is for the operator only: the sender is not authenticated yet.
		response := apierror.Unavailable(
			"the targets are not loaded yet: send the webhook again later", retryAfterSeconds)
		return nil, logRejection(ctx, response, "cause", err)
	}
	return names, nil
}

// typeOf returns the type of sender from the query, typeHeader or known event headers. The payload is checked against
// it.
func (h *handler) typeOf(req *http.Request) (string, error) {
	inQuery, inHeader := req.URL.Query()["type"], req.Header.Values(typeHeader)
	if len(inQuery) > 1 || len(inHeader) > 1 {
		return "", apierrors.NewBadRequest("the type was given more than once: give it once, in the query or in " +
			typeHeader)
	}
	source := cmp.Or(strings.Join(inQuery, ""), strings.Join(inHeader, ""), payload.SourceFromHeader(req.Header))
	known := payload.Sources()
	if slices.Contains(known, source) && h.CanAccept(source) {
		return source, nil
	}
	handled := slices.DeleteFunc(known, func(source string) bool { return !h.CanAccept(source) })
	return "", apierrors.NewBadRequest(unhandledTypeMessage(source, handled))
}

// unhandledTypeMessage explains why a type is not handled. It does not reveal whether the type is unknown or has no
// secret.
func unhandledTypeMessage(source string, handled []string) string {
	if len(handled) == 0 {
		return "no type is handled, because no secret is configured: set one, such as webhook.docker-secret, or " +
			"--webhook-require-secret=false"
	}
	var given, hint string
	switch {
	case source == "":
		given = "no type was given"
	case payload.LooksLikeSource(source):
		given = fmt.Sprintf("the type %q is not handled", source)
	default: // source may contain a secret, and the message is logged
		given = "the value given as type is not valid: it is too long, or has characters other than lower-case " +
			"letters, digits, dots and dashes"
		hint = "; the next parameter begins with &, as in &secret=, not with ? or an encoded &"
	}
	return given + ": the URL must have ?type= with one of " + strings.Join(handled, ", ") + hint +
		"; others are handled once there is a secret for them"
}

// overallError returns the error that answers for all results, or nil. It is the first error that left no record and
// can succeed when retried, because that delivery would otherwise be lost. If all results failed, it is the error of
// the first full namespace, if any, otherwise the first one. A full namespace does not answer for successful results:
// the sender would repeat all deliveries while one namespace is over its share.
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

// isRetryable reports whether sending the webhook again may succeed.
func isRetryable(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true // an internal error, answered 500
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
