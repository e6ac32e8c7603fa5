// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/payload"
)

func TestByType_QueryThenHeaderThenEvent(t *testing.T) {
	for name, tc := range map[string]struct {
		path   string
		header []string
		want   string
	}{
		"query":                       {"/webhook?type=harbor", nil, "harbor"},
		"query before header":         {"/webhook?type=harbor", []string{typeHeader, "quay.io"}, "harbor"},
		"header":                      {"/webhook", []string{typeHeader, "quay.io"}, "quay.io"},
		"header, an empty query":      {"/webhook?type=", []string{typeHeader, "quay.io"}, "quay.io"},
		"query before events":         {"/webhook?type=ghcr.io", []string{"X-GitHub-Event", "push"}, "ghcr.io"},
		"events of GitHub":            {"/webhook", []string{"X-GitHub-Event", "push"}, "github"},
		"events of GitHub's registry": {"/webhook", []string{"X-GitHub-Event", "package"}, "ghcr.io"},
		"events of GitLab":            {"/webhook", []string{"X-Gitlab-Event", "Push Hook"}, "gitlab"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pipeline{}
			response := post(p.handler(t, "a,b"), tc.path, "{}", tc.header...)
			if response.Code != 200 || p.source != tc.want {
				t.Errorf("got %d %s for the source %q, want %q", response.Code, response.Body, p.source, tc.want)
			}
			if diff := cmp.Diff([]string{"a", "b"}, p.namespaces); diff != "" {
				t.Errorf("namespaces (-want +got):\n%s", diff)
			}
		})
	}
}

func TestByType_ServesEverySource(t *testing.T) {
	for _, source := range payload.Sources() {
		p := &pipeline{}
		if response := post(p.handler(t, "demo"), "/webhook?type="+source, "{}"); response.Code != 200 ||
			p.source != source {
			t.Errorf("%s: answered %d, delivered as %q", source, response.Code, p.source)
		}
	}
}

func TestByType_UnknownTypeListsKnown(t *testing.T) {
	const rest = ": the URL must have ?type= with one of docker.io, harbor; others are handled once there is a " +
		"secret for them"
	const noType = "the value given as type is not valid: it is too long, or has characters other than lower-case " +
		"letters, digits, dots and dashes" +
		": the URL must have ?type= with one of docker.io, harbor; the next parameter begins with &, as in " +
		"&secret=, not with ? or an encoded &" +
		"; others are handled once there is a secret for them"
	two := []string{"docker.io", "harbor"}
	for name, tc := range map[string]struct {
		canProve []string
		path     string
		header   []string
		want     string
	}{
		"unknown":              {two, "/webhook?type=nobody", nil, `the type "nobody" is not handled` + rest},
		"known, but no secret": {two, "/webhook?type=quay.io", nil, `the type "quay.io" is not handled` + rest},
		"in another case":      {two, "/webhook?type=Harbor", nil, noType},
		"a secret behind it":   {two, "/webhook?type=docker.io?secret=hunter2", nil, noType},
		"no type":              {two, "/webhook", nil, "no type was given" + rest},
		"an empty type":        {two, "/webhook?type=", nil, "no type was given" + rest},
		"from events": {two, "/webhook", []string{"X-GitHub-Event", "push"},
			`the type "github" is not handled` + rest},
		"twice in the query": {two, "/webhook?type=harbor&type=docker.io", nil,
			"the type was given more than once: give it once, in the query or in X-Registry-Type"},
		"twice in the header": {two, "/webhook", []string{typeHeader, "harbor", typeHeader, "docker.io"},
			"the type was given more than once: give it once, in the query or in X-Registry-Type"},
		"with control characters": {two, "/webhook?type=%1b[2J%0a", nil, noType},
		"long":                    {two, "/webhook?type=" + strings.Repeat("x", 1000), nil, noType},
		"no secret at all": {[]string{}, "/webhook?type=harbor", nil,
			"no type is handled, because no secret is configured: set one, such as webhook.docker-secret, or " +
				"--webhook-require-secret=false"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pipeline{acceptedSources: tc.canProve}
			response := post(p.handler(t, "demo"), tc.path, "{}", tc.header...)
			var got errorResponse
			decode(t, response.Body.Bytes(), &got)
			if response.Code != 400 || got.Error != tc.want {
				t.Errorf("got %d %q\nwant 400 %q", response.Code, got.Error, tc.want)
			}
			if p.called {
				t.Error("it was delivered")
			}
		})
	}
}

func TestByType_AllNamespacesWithTargets(t *testing.T) {
	p := &pipeline{targetNamespaces: func() ([]string, error) { return []string{"a", "b"}, nil }}
	post(p.handler(t, "*"), "/webhook?type=quay.io", "{}")
	if diff := cmp.Diff([]string{"a", "b"}, p.namespaces); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
}

// The cause is only logged, because the sender is not authenticated yet.
func TestByType_HidesCauseFromAnonymous(t *testing.T) {
	const cause = `gatewaysyncs.stoker.io is forbidden: User "system:serviceaccount:postern-system:postern" cannot list`
	p := &pipeline{targetNamespaces: func() ([]string, error) { return nil, errors.New(cause) }}
	response, log := postLogged(p.handler(t, "*"), "/webhook?type=quay.io")
	want := httpResult{503, `{"error":"the targets are not loaded yet: send the webhook again later"}`, "5",
		"application/json"}
	if diff := cmp.Diff(want, toResult(response)); diff != "" || p.called {
		t.Errorf("response (-want +got):\n%s", diff)
	}
	if !strings.Contains(strings.ReplaceAll(log, `\"`, `"`), cause) {
		t.Errorf("the cause is not in the log: %s", log)
	}
}

// Messages that replace internal errors.
const (
	retryMessage         = "it can't be delivered now: send the webhook again later"
	internalErrorMessage = "it could not be delivered, and sending it again does not help; the record or the log of " +
		"Postern says why"
	refusedMessage = "it can't be written until its target is changed; the record says why"
)

// Results of a webhook by outcome.
var (
	applied = delivery.NamespaceResult{Namespace: "a",
		Delivery: newDelivery(postern.DeliveryApplied, "Requested", "requested")}
	pending = delivery.NamespaceResult{Namespace: "b",
		Delivery: newDelivery(postern.DeliveryPending, "TargetUnavailable", "timed out")}
	failed = delivery.NamespaceResult{Namespace: "c",
		Delivery: newDelivery(postern.DeliveryFailed, "TargetRefused", "no"), Err: status(500, "can't be written", 0)}
	denied        = delivery.NamespaceResult{Namespace: "d", Err: status(403, "a policy says no", 0)}
	notRecorded   = delivery.NamespaceResult{Namespace: "e", Err: status(503, "could not be recorded", 1)}
	throttled     = delivery.NamespaceResult{Namespace: "f", Err: noRoom("too many")}
	busy          = delivery.NamespaceResult{Namespace: "f", Err: status(429, "too much", 5)}
	internalError = delivery.NamespaceResult{Namespace: "g", Err: errString("broken")}
	appliedA      = `{"delivery":"github-x","phase":"Applied"}`
)

// noRoom is the error of a namespace with too many deliveries.
func noRoom(message string) error {
	err := apierrors.NewTooManyRequests(message, 5)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: delivery.CauseNoRoom}}
	return err
}

func TestByType_AnswersByResult(t *testing.T) {
	for name, tc := range map[string]struct {
		spread delivery.FanoutResult
		err    error
		want   httpResult
	}{
		"nothing wants it": {delivery.FanoutResult{Message: "nothing wants what was pushed"}, nil,
			jsonResult(200, `{"accepted":true,"message":"nothing wants what was pushed"}`)},
		"one": {delivery.FanoutResult{Results: []delivery.NamespaceResult{applied}}, nil,
			jsonResult(200, `{"accepted":true,"deliveries":[`+appliedA+`]}`)},
		"pending": {delivery.FanoutResult{Results: []delivery.NamespaceResult{pending}}, nil,
			jsonResult(200,
				`{"accepted":true,"deliveries":[{"delivery":"github-x","phase":"Pending",`+
					`"message":"recorded, and retried until it is written"}]}`)},
		"one, and one failed": {delivery.FanoutResult{Results: []delivery.NamespaceResult{applied, failed}}, nil,
			jsonResult(200,
				`{"accepted":true,"deliveries":[`+appliedA+`,{"delivery":"github-x","phase":"Failed",`+
					`"message":"`+refusedMessage+`","error":"`+internalErrorMessage+`"}]}`)},
		"one, and one denied": {delivery.FanoutResult{Results: []delivery.NamespaceResult{denied, applied}}, nil,
			jsonResult(200, `{"accepted":true,"deliveries":[{"error":"a policy says no"},`+appliedA+`]}`)},
		"one, and one lost": {delivery.FanoutResult{Results: []delivery.NamespaceResult{applied, notRecorded}}, nil,
			httpResult{503, `{"error":"` + retryMessage + `"}`, "1", "application/json"}},
		"one, and one without room": {delivery.FanoutResult{Results: []delivery.NamespaceResult{throttled, applied}},
			nil,
			jsonResult(200, `{"accepted":true,"deliveries":[{"error":"too many"},`+appliedA+`]}`)},
		"one, and one whose turn did not come": {
			delivery.FanoutResult{Results: []delivery.NamespaceResult{busy, applied}}, nil,
			httpResult{429, `{"error":"too much"}`, "5", "application/json"}},
		"denied and without room": {delivery.FanoutResult{Results: []delivery.NamespaceResult{denied, throttled}},
			nil, httpResult{429, `{"error":"too many"}`, "5", "application/json"}},
		"one, and an error inside": {
			delivery.FanoutResult{Results: []delivery.NamespaceResult{applied, internalError}}, nil,
			jsonResult(500, `{"error":"`+internalErrorMessage+`"}`)},
		"failed": {delivery.FanoutResult{Results: []delivery.NamespaceResult{failed}}, nil,
			jsonResult(500, `{"error":"`+internalErrorMessage+`"}`)},
		"denied": {delivery.FanoutResult{Results: []delivery.NamespaceResult{denied, denied}},
			nil, jsonResult(403, `{"error":"a policy says no"}`)},
		"denied and lost": {
			delivery.FanoutResult{Results: []delivery.NamespaceResult{denied, notRecorded}}, nil,
			httpResult{503, `{"error":"` + retryMessage + `"}`, "1", "application/json"}},
		"denied and failed": {delivery.FanoutResult{Results: []delivery.NamespaceResult{denied, failed}},
			nil, jsonResult(403, `{"error":"a policy says no"}`)},
		"no credential": {delivery.FanoutResult{}, status(401, "no credential was shown", 0),
			jsonResult(401, `{"error":"no credential was shown"}`)},
		"a body that can't be decoded": {delivery.FanoutResult{}, status(400, "it lacks push_data", 0),
			jsonResult(400, `{"error":"it lacks push_data"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pipeline{fanout: tc.spread, err: tc.err}
			got := toResult(post(p.handler(t, "demo"), "/webhook?type=docker.io", "{}"))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

func TestByType_AnswerListsHundredNamespaces(t *testing.T) {
	p := &pipeline{}
	for i := range 250 {
		p.fanout.Results = append(p.fanout.Results,
			delivery.NamespaceResult{Namespace: fmt.Sprint("ns-", i),
				Delivery: namedDelivery(fmt.Sprint("github-", i))})
	}
	var got typeResponse
	decode(t, post(p.handler(t, "demo"), "/webhook?type=docker.io", "{}").Body.Bytes(), &got)
	if !got.Accepted || len(got.Deliveries) != 100 || got.More != 150 || got.Deliveries[99].Delivery != "github-99" {
		t.Errorf("got %d deliveries and %d more", len(got.Deliveries), got.More)
	}
}

func namedDelivery(name string) *postern.WebhookDelivery {
	d := newDelivery(postern.DeliveryApplied, "Requested", "requested")
	d.Name = name
	return d
}

// The secret may be for all namespaces. Its owner must not learn which of them have targets.
func TestByType_AnswerNamesNoNamespace(t *testing.T) {
	p := &pipeline{fanout: delivery.FanoutResult{Results: []delivery.NamespaceResult{
		{Namespace: "secret-project-x", Delivery: namedDelivery("github-x")},
		{Namespace: "secret-project-y", Err: status(403, "a policy says no", 0)},
	}}}
	body := post(p.handler(t, "demo"), "/webhook?type=docker.io", "{}").Body.String()
	if strings.Contains(body, "secret-project") {
		t.Errorf("got %s", body)
	}
}
