// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apierror"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/target"
)

// anonymousUser is the user of a request to an endpoint of the receiver.
var anonymousUser = &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}

// allNamespaces returns a pipeline in which a and b have a Docker Hub secret each, c has none, and the default is
// another. Each namespace has an Application shop that matches every push.
func allNamespaces() *pipeline {
	p := newPipeline(credential.Config{IdentityIsCredential: true, RequireSecret: true})
	p.Secrets.Set("a", map[string][]byte{"webhook.docker-secret": []byte("of-a\nof-both")})
	p.Secrets.Set("b", map[string][]byte{"webhook.docker-secret": []byte("of-b\nof-both")})
	p.Secrets.SetDefaults(map[string][]byte{"webhook.docker-secret": []byte("default")})
	p.matches = matching("any", "shop")
	return p
}

// dockerPush returns a push of Docker Hub, with a secret in the query.
func dockerPush(secret string) Request {
	return Request{Header: http.Header{}, Body: []byte(docker), QuerySecret: secret, User: anonymousUser}
}

// summaryOfNamespaces summarizes the outcomes of a webhook.
func summaryOfNamespaces(result FanoutResult) []string {
	var lines []string
	for _, a := range result.Results {
		line := a.Namespace
		if a.Delivery != nil {
			line += " " + string(a.Delivery.Status.Phase) + " " + a.Delivery.Status.Sender.Method
		}
		if a.Err != nil {
			line += " error"
		}
		lines = append(lines, line)
	}
	return lines
}

func TestFanout_NamespacesWithSecretAndMatch(t *testing.T) {
	for name, tc := range map[string]struct {
		secret, nothingIn string
		namespaces        []string
		want              []string
		says              string
	}{
		"one namespace's secret": {
			"of-a", "", []string{"a", "b", "c"}, []string{"a Applied QueryToken"}, "",
		},
		"the secret of two": {
			"of-both", "", []string{"a", "b", "c"}, []string{"a Applied QueryToken", "b Applied QueryToken"}, "",
		},
		"of two, one wants nothing": {
			"of-both", "a", []string{"a", "b", "c"}, []string{"b Applied QueryToken"}, "",
		},
		"the default secret": {
			"default", "", []string{"a", "b", "c"}, []string{"c Applied QueryToken"}, "",
		},
		"nothing wants it": {
			"of-a", "a", []string{"a", "b", "c"}, nil, "nothing wants docker.io/acme/shop:2.0.0",
		},
		"no namespace, the default secret":       {"default", "", nil, nil, "nothing wants docker.io/acme/shop:2.0.0"},
		"a namespace that is not among them":     {"of-a", "", []string{"b", "c"}, nil, "401"},
		"the default, for those with their own":  {"default", "", []string{"a", "b"}, nil, "401"},
		"a wrong secret":                         {"x", "", []string{"a", "b", "c"}, nil, "401"},
		"no secret":                              {"", "", []string{"a", "b", "c"}, nil, "401"},
		"a wrong secret, where nothing wants it": {"x", "c", []string{"c"}, nil, "401"},
	} {
		t.Run(name, func(t *testing.T) {
			p := allNamespaces()
			p.nothingIn = tc.nothingIn
			result, err := p.DeliverToNamespaces(t.Context(), "docker.io", tc.namespaces, dockerPush(tc.secret))
			says := result.Message
			if err != nil {
				says = fmt.Sprint(answered(t, err).Code)
			}
			if diff := cmp.Diff(tc.want, summaryOfNamespaces(result)); diff != "" || says != tc.says {
				t.Errorf("message %q, want %q; namespaces (-want +got):\n%s", says, tc.says, diff)
			}
			for _, line := range p.calls() {
				if len(tc.want) == 0 && !strings.HasPrefix(line, "match ") {
					t.Errorf("unexpected call: %s", line)
				}
				if tc.says == "401" {
					t.Errorf("an unverified sender caused a look-up: %s", line)
				}
			}
		})
	}
}

func TestFanout_ClaimedSourceOnly(t *testing.T) {
	p := allNamespaces()
	in := dockerPush("of-a")
	in.Body = []byte(two)
	_, err := p.DeliverToNamespaces(t.Context(), "docker.io", []string{"a"}, in)
	if got := answered(t, err); got.Code != http.StatusBadRequest || !strings.Contains(got.Message, "docker.io") {
		t.Errorf("got %d: %s", got.Code, got.Message)
	}
	if journal := p.calls(); len(journal) > 0 {
		t.Errorf("unexpected calls: %q", journal)
	}
}

func TestFanout_NothingRequestedLeavesNothing(t *testing.T) {
	deliveries.Reset()
	p := allNamespaces()
	p.Secrets.SetDefaults(map[string][]byte{"hmac": []byte(secret)})
	in := ping()
	in.User = anonymousUser
	in.Header.Set("X-Hub-Signature-256", sign(in.Body))
	result, err := p.DeliverToNamespaces(t.Context(), "github", []string{"a", "b"}, in)
	if err != nil || len(result.Results) > 0 || result.Message != "GitHub tests the webhook" {
		t.Errorf("got %+v, %v", result, err)
	}
	if journal := p.calls(); len(journal) > 0 {
		t.Errorf("unexpected calls: %q", journal)
	}
	expectCounted(t, map[string]int{`method="HMAC",outcome="Ignored",source="github"`: 1})
}

func TestFanout_ErrorStopsNoOtherNamespace(t *testing.T) {
	refused := errors.New("a policy says no")
	p := allNamespaces()
	p.onValidate = func(d *postern.WebhookDelivery) error {
		if d.Namespace == "a" {
			return refused
		}
		return nil
	}
	result, err := p.DeliverToNamespaces(t.Context(), "docker.io", []string{"a", "b"}, dockerPush("of-both"))
	if diff := cmp.Diff([]string{"a error", "b Applied QueryToken"}, summaryOfNamespaces(result)); diff != "" ||
		err != nil {
		t.Errorf("%v; namespaces (-want +got):\n%s", err, diff)
	}
	if !errors.Is(result.Results[0].Err, refused) {
		t.Errorf("got %v", result.Results[0].Err)
	}
}

func TestFanout_RecordedOnceInEachNamespace(t *testing.T) {
	p := allNamespaces()
	result, err := p.DeliverToNamespaces(t.Context(), "docker.io", []string{"a", "b"}, dockerPush("of-both"))
	if err != nil || len(result.Results) != 2 {
		t.Fatalf("got %+v, %v", result, err)
	}
	var records []string
	for _, line := range p.calls() {
		if strings.HasPrefix(line, "record ") || strings.HasPrefix(line, "update ") {
			records = append(records, line)
		}
	}
	if diff := cmp.Diff([]string{"record Applied", "record Applied"}, records); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestFanout_TargetErrorIsRecorded(t *testing.T) {
	p := allNamespaces()
	p.writeErr = errors.New("no permission")
	result, err := p.DeliverToNamespaces(t.Context(), "docker.io", []string{"a"}, dockerPush("of-a"))
	if diff := cmp.Diff([]string{"a Failed QueryToken error"}, summaryOfNamespaces(result)); diff != "" || err != nil {
		t.Fatalf("%v; namespaces (-want +got):\n%s", err, diff)
	}
	if got := answered(t, result.Results[0].Err).Code; got != http.StatusInternalServerError {
		t.Errorf("answered %d, want 500", got)
	}
}

func TestFanout_UnknownMatchesDeliverNothing(t *testing.T) {
	p := allNamespaces()
	p.matches = func(target.Request) ([]target.Match, error) { return nil, unavailable(t) }
	_, err := p.DeliverToNamespaces(t.Context(), "docker.io", []string{"a", "b"}, dockerPush("of-both"))
	if got := answered(t, err); got.Code != http.StatusServiceUnavailable || got.Details == nil ||
		got.Details.RetryAfterSeconds != 1 {
		t.Errorf("got %+v, want 503 with Retry-After", got)
	}
	if diff := cmp.Diff([]string{"match a 2.0.0"}, p.calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// Otherwise each target would have the whole timeout, one after the other.
func TestFanout_StopsAtDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := allNamespaces()
		p.onStep = func(ctx context.Context, step string) {
			if step == "write" {
				<-ctx.Done()
			}
		}
		const inTime = maxNamespacesAtOnce * 4 // at 0, 8, 16 and 24 seconds
		namespaces := make([]string, inTime+1)
		for i := range namespaces {
			namespaces[i] = fmt.Sprintf("ns-%d", i)
		}
		began := time.Now()
		result, err := p.DeliverToNamespaces(t.Context(), "docker.io", namespaces, dockerPush("default"))
		if took, want := time.Since(began), 4*answerTimeout; err != nil || took != want {
			t.Errorf("took %s, want %s: %v", took, want, err)
		}
		want := make([]string, len(namespaces))
		for i, namespace := range namespaces {
			want[i] = namespace + " Applied QueryToken"
		}
		want[inTime] = namespaces[inTime] + " error"
		if diff := cmp.Diff(want, summaryOfNamespaces(result)); diff != "" {
			t.Fatalf("namespaces (-want +got):\n%s", diff)
		}
		if got := answered(t, result.Results[inTime].Err); got.Code != http.StatusServiceUnavailable ||
			got.Details.RetryAfterSeconds != apierror.RetryAfterSeconds {
			t.Errorf("got %+v, want 503 with Retry-After", got)
		}
		p.Drain()
	})
}

func TestFanout_DuplicateMakesNoRecord(t *testing.T) {
	p := allNamespaces()
	p.Secrets.Set("a", map[string][]byte{"hmac": []byte(secret)})
	s := &memoryRecords{}
	config := p.Config
	config.Records = s
	p.Deliverer = New(config)
	var reasons []string
	for range 2 {
		in := Request{Header: http.Header{
			"X-Github-Event": {"push"}, "X-Github-Delivery": {"d-1"}, "X-Hub-Signature-256": {sign([]byte(pushed))},
		}, Body: []byte(pushed), User: anonymousUser}
		result, err := p.DeliverToNamespaces(t.Context(), "github", []string{"a"}, in)
		if err != nil || len(result.Results) != 1 {
			t.Fatalf("got %+v, %v", result, err)
		}
		reasons = append(reasons, result.Results[0].Delivery.Status.Reason)
	}
	p.Drain()
	if diff := cmp.Diff([]string{target.ReasonRequested, ReasonAlreadyDelivered}, reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if records := s.all(); len(records) != 1 || records[0].Namespace != "a" {
		t.Errorf("got the records %+v, want one", records)
	}
}

// A sender that presented no credential must learn nothing about the namespace.
func TestDeliverer_ForbiddenOnlyAfterVerify(t *testing.T) {
	forbidden := errors.New("nowhere")
	p := newDefaultPipeline()
	in := release()
	in.Forbidden = forbidden
	if _, err := p.Deliver(t.Context(), toPlant(), in, false); !errors.Is(err, forbidden) {
		t.Errorf("got %v, want the forbidden error", err)
	}
	in.User = anonymousUser
	_, err := p.Deliver(t.Context(), toPlant(), in, false)
	if got := answered(t, err).Code; got != http.StatusUnauthorized {
		t.Errorf("an anonymous sender is answered %d, want 401", got)
	}
	if journal := p.calls(); len(journal) > 0 {
		t.Errorf("unexpected calls: %q", journal)
	}
}

// Answers of 503 raise an alert about the storage, which an anonymous sender must not be able to cause.
func TestFanout_CanceledBeforeVerifyIsRejected(t *testing.T) {
	p := allNamespaces()
	p.Secrets.Set("a", map[string][]byte{"hmac": []byte(secret)})
	ctx, leave := context.WithCancel(t.Context())
	leave()
	in := Request{Header: http.Header{
		"X-Github-Event": {"push"}, "X-Hub-Signature-256": {sign([]byte("another body"))},
	}, Body: []byte(pushed), User: anonymousUser}
	_, err := p.DeliverToNamespaces(ctx, "github", []string{"a"}, in)
	if reason, _ := rejectionOf(err); reason != reasonSenderLeft || outcomeOf(nil, err) != outcomeRejected {
		t.Errorf("got outcome %s with reason %q: %v", outcomeOf(nil, err), reason, err)
	}
}
