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
	// maxArrivals bounds how many namespaces an answer tells of.
	maxArrivals = 100
	// retryAfterSeconds is when to send a webhook again while targets are not known yet.
	retryAfterSeconds = 5
)

// typeAnswer says what came of a webhook in the namespaces where something wants what was pushed.
type typeAnswer struct {
	Accepted   bool            `json:"accepted"`
	Message    string          `json:"message,omitempty"`
	Deliveries []arrivalAnswer `json:"deliveries,omitempty"`
	// More is how many deliveries are left out.
	More int `json:"more,omitempty"`
}

// arrivalAnswer is what became of a webhook in one namespace, whose name is not told: the sender may know only a secret for
// all of them. There is a Delivery if it was recorded, and an Error if it failed.
type arrivalAnswer struct {
	Delivery string `json:"delivery,omitempty"`
	Phase    string `json:"phase,omitempty"`
	Message  string `json:"message,omitempty"`
	Error    string `json:"error,omitempty"`
}

// byType delivers to whatever wants what a type of sender pushed, in all namespaces that webhooks may act on.
func (h *handler) byType(req *http.Request, in delivery.Incoming) (code int, answer any, err error) {
	source, err := h.typeOf(req)
	if err != nil {
		return 0, nil, turnedAway(req.Context(), err)
	}
	namespaces, err := h.namespaces(req.Context())
	if err != nil {
		return 0, nil, err
	}
	spread, err := h.Deliverer.DeliverAmong(req.Context(), source, namespaces, in)
	if _, err = delivery.Tell(in.User, nil, err); err != nil {
		return 0, nil, err
	}
	for i, arrival := range spread.Arrivals {
		spread.Arrivals[i].Delivery, spread.Arrivals[i].Err = delivery.Tell(in.User, arrival.Delivery, arrival.Err)
	}
	if err := errorOf(spread.Arrivals); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, answerOf(spread), nil
}

// namespaces returns those that webhooks may act on; if these are all, then those in which there is something to act on.
func (h *handler) namespaces(ctx context.Context) ([]string, error) {
	if !h.Namespaces.all {
		return h.Namespaces.names, nil
	}
	names, err := h.TargetNamespaces()
	if err != nil {
		// The cause names what only the operator may know, and nobody has proved anything yet.
		answer := apierrors.NewServiceUnavailable("the targets are not known yet: send the webhook again later")
		answer.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfterSeconds}
		return nil, turnedAway(ctx, answer, "cause", err)
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
	if slices.Contains(known, source) && h.CanProve(source) {
		return source, nil
	}
	handled := slices.DeleteFunc(known, func(source string) bool { return !h.CanProve(source) })
	return "", apierrors.NewBadRequest(unhandled(source, handled))
}

// unhandled says what to do about a type that is not handled. Whether it exists makes no difference: it is handled once
// there is a secret for it.
func unhandled(source string, handled []string) string {
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

// errorOf returns the error that answers for all arrivals, if there is one: that of an arrival that left no record and
// may succeed if it is sent again, since it would be lost otherwise; or the first one if nothing arrived anywhere. One that
// its namespace has no room for does not answer for those that arrived elsewhere: all would be sent again, for as long
// as one namespace takes more than its share.
func errorOf(arrivals []delivery.Arrival) error {
	var first, noRoom error
	failed := 0
	for _, arrival := range arrivals {
		if arrival.Err == nil {
			continue
		}
		switch {
		case apierrors.HasStatusCause(arrival.Err, delivery.CauseNoRoom):
			noRoom = cmp.Or(noRoom, arrival.Err)
		case arrival.Delivery == nil && mayPass(arrival.Err):
			return arrival.Err
		}
		first = cmp.Or(first, arrival.Err)
		failed++
	}
	if failed == len(arrivals) {
		return cmp.Or(noRoom, first)
	}
	return nil
}

// mayPass reports whether it can help to send a webhook again.
func mayPass(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true // an error of ours, which is answered 500
	}
	code := status.Status().Code
	return code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
}

func answerOf(spread delivery.Spread) typeAnswer {
	answer := typeAnswer{Accepted: true, Message: spread.Message}
	listed := spread.Arrivals[:min(len(spread.Arrivals), maxArrivals)]
	for _, arrival := range listed {
		told := arrivalAnswer{}
		if d := arrival.Delivery; d != nil {
			told.Delivery, told.Phase, told.Message = d.Name, string(d.Status.Phase), d.Status.Message
		}
		if arrival.Err != nil {
			told.Error = arrival.Err.Error()
		}
		answer.Deliveries = append(answer.Deliveries, told)
	}
	answer.More = len(spread.Arrivals) - len(listed)
	return answer
}
