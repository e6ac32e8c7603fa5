// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/delivery"
)

// newDelivery returns a delivery as the pipeline returns it.
func newDelivery(
	phase postern.DeliveryPhase, reason, message string, results ...postern.TargetResult,
) *postern.WebhookDelivery {
	d := &postern.WebhookDelivery{
		Status: postern.WebhookDeliveryStatus{Phase: phase, Reason: reason, Message: message, Targets: results}}
	d.Namespace, d.Name = "demo", "github-x"
	d.Spec.Events = []postern.DeliveryEvent{{Ref: "1.0.0"}, {Ref: "2.0.0"}}
	return d
}

func result(result postern.TargetResultType) postern.TargetResult {
	return postern.TargetResult{Kind: postern.TargetGatewaySync, Name: "plant", Ref: "2.0.0", Result: result}
}

func TestToTarget_AnswersLikeStokerReceiver(t *testing.T) {
	ping := newDelivery(postern.DeliveryIgnored, "Ping", "GitHub tests the webhook")
	ping.Spec.Events = nil
	const examined = "; kubectl postern doctor gatewaysync/plant -n demo examines it"
	for name, tc := range map[string]struct {
		delivered *postern.WebhookDelivery
		err       error
		want      httpResult
	}{
		"written": {newDelivery(postern.DeliveryApplied, "Requested", "requested 2.0.0", result(postern.TargetWritten)),
			nil,
			jsonResult(202, `{"accepted":true,"ref":"2.0.0"}`)},
		"set already": {
			newDelivery(postern.DeliveryApplied, "AlreadyRequested", "held already", result(postern.TargetUnchanged)),
			nil,
			jsonResult(202, `{"accepted":true,"ref":"2.0.0","message":"ref already set"}`)},
		"a repeat": {
			newDelivery(postern.DeliveryApplied, delivery.ReasonAlreadyDelivered, "this is a repeat",
				result(postern.TargetWritten)), nil,
			jsonResult(202, `{"accepted":true,"ref":"2.0.0","message":"it was delivered before"}`)},
		"superseded": {
			newDelivery(postern.DeliverySuperseded, "Superseded", "something newer is there",
				result(postern.TargetSuperseded)), nil,
			jsonResult(202, `{"accepted":true,"ref":"2.0.0","message":"something newer was requested"}`)},
		"pending at its target": {
			newDelivery(postern.DeliveryPending, "TargetUnavailable", "timed out", result(postern.TargetPending)), nil,
			jsonResult(202, `{"accepted":true,"ref":"2.0.0","message":"recorded, and retried until it is written"}`)},
		"pending, no target known": {newDelivery(postern.DeliveryPending, "TargetUnavailable", "timed out"), nil,
			jsonResult(202, `{"accepted":true,"ref":"2.0.0","message":"recorded, and retried until it is written"}`)},
		"asks for nothing": {ping, nil,
			jsonResult(202, `{"accepted":true,"message":"GitHub tests the webhook"}`)},
		"skipped": {
			newDelivery(postern.DeliveryIgnored, "NotFollowed", "not wanted <here>", result(postern.TargetSkipped)),
			nil,
			jsonResult(202, `{"accepted":true,"ref":"2.0.0","message":"nothing wants it; the record says why`+
				`: kubectl postern why github-x -n demo"}`)},

		"no ref": {nil, apierrors.NewBadRequest("the body matches no known sender"),
			jsonResult(400, `{"error":"the body matches no known sender"}`)},
		"no credential": {nil, apierrors.NewUnauthorized("no credential was shown"),
			jsonResult(401, `{"error":"no credential was shown`+
				`; kubectl postern doctor KIND/NAME --source TYPE examines it"}`)},
		"a policy": {nil, status(403, "a policy says no", 0), jsonResult(403, `{"error":"a policy says no"}`)},
		"no such target": {nil, status(404, "there is no plant", 0),
			jsonResult(404, `{"error":"there is no plant`+examined+`"}`)},
		"invalid": {nil, status(422, "a policy says no", 0), jsonResult(422, `{"error":"a policy says no"}`)},
		"target refused": {newDelivery(postern.DeliveryFailed, "TargetRefused", "no"),
			status(500, "can't be written", 0), jsonResult(500, `{"error":"`+internalErrorMessage+
				`: kubectl postern why github-x -n demo"}`)},
		"no storage": {nil, status(503, "later", 1),
			httpResult{503, `{"error":"` + retryMessage + `"}`, "1", "application/json"}},
		"too much": {nil, status(429, "later", 9),
			httpResult{429, `{"error":"later"}`, "9", "application/json"}},
		"a slow body": {nil, apierrors.NewTimeoutError("the body did not arrive", 5),
			httpResult{504, `{"error":"` + retryMessage + `"}`, "5", "application/json"}},
		"an error inside": {nil, errString("broken"),
			jsonResult(500, `{"error":"`+internalErrorMessage+examined+`"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pipeline{delivered: tc.delivered, err: tc.err}
			got := toResult(post(p.handler(t, "demo"), "/webhook/demo/plant", "{}"))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
			want := &postern.WebhookDelivery{}
			want.Namespace = "demo"
			want.Spec.Target = &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: "plant"}
			if diff := cmp.Diff(want, p.delivery); diff != "" {
				t.Errorf("delivery (-want +got):\n%s", diff)
			}
			if p.in.Forbidden != nil {
				t.Errorf("forbidden: %v", p.in.Forbidden)
			}
		})
	}
}

type errString string

func (e errString) Error() string { return string(e) }

// The pipeline returns the error only to an authenticated sender.
func TestToTarget_NamespaceNotListed(t *testing.T) {
	for namespaces, want := range map[string]bool{"demo": true, "other,demo": true, "*": true, "other": false} {
		p := &pipeline{delivered: &postern.WebhookDelivery{}}
		post(p.handler(t, namespaces), "/webhook/demo/plant", "{}")
		if !p.called {
			t.Fatalf("%s: the pipeline was not called", namespaces)
		}
		if got := p.in.Forbidden == nil; got != want {
			t.Errorf("%s: got %v, want allowed: %t", namespaces, p.in.Forbidden, want)
		}
		if !want {
			p = &pipeline{err: p.in.Forbidden}
			const says = `{"error":"webhooks may not act on the namespace demo: --webhook-namespaces does not list it"}`
			got := toResult(post(p.handler(t, namespaces), "/webhook/demo/plant", "{}"))
			if diff := cmp.Diff(jsonResult(http.StatusForbidden, says), got); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		}
	}
}

func TestToTarget_ShareOnlyForDeliverable(t *testing.T) {
	for _, tc := range []struct {
		namespaces, path string
		none             bool
		want             string
	}{
		{"demo", "/webhook/demo/plant", false, "demo"},
		{"*", "/webhook/demo/plant", false, "demo"},
		{"*", "/webhook/demo/plant", true, ""},
		{"*", "/webhook/invented/plant", false, ""},
		{"other", "/webhook/demo/plant", false, ""},
		{"demo", "/webhook/demo/p%2Flant", false, ""},
		{"demo", "/webhook?type=docker.io", false, ""},
	} {
		p := &pipeline{delivered: &postern.WebhookDelivery{}, none: tc.none}
		post(p.handler(t, tc.namespaces), tc.path, "{}")
		if want := []string{tc.want, tc.want}; !slices.Equal(p.shares, want) {
			t.Errorf("%s %s: used the shares of %q, want %q", tc.namespaces, tc.path, p.shares, want)
		}
		if p.called && p.in.NoShare != (tc.want == "") {
			t.Errorf("%s %s: NoShare is %t", tc.namespaces, tc.path, p.in.NoShare)
		}
	}
}
