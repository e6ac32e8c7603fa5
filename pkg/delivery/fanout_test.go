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
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/target"
)

// anonymousUser is who a sender is to the cluster at a door of our own.
var anonymousUser = &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}

// allNamespaces returns a pipeline in which a and b have a secret for Docker Hub each, c has none and the default is a
// third, and in each an Application shop wants whatever is pushed.
func allNamespaces() *pipeline {
	p := newPipeline(credential.Config{IdentityIsCredential: true, RequireSecret: true})
	p.Secrets.Set("a", map[string][]byte{"webhook.docker-secret": []byte("of-a\nof-both")})
	p.Secrets.Set("b", map[string][]byte{"webhook.docker-secret": []byte("of-b\nof-both")})
	p.Secrets.SetDefaults(map[string][]byte{"webhook.docker-secret": []byte("default")})
	p.matches = matching("any", "shop")
	return p
}

// dockerPush is what Docker Hub says of a push, with a secret in the query.
func dockerPush(secret string) Request {
	return Request{Header: http.Header{}, Body: []byte(docker), QuerySecret: secret, User: anonymousUser}
}

// summaryOfNamespaces sums up what came of a webhook.
func summaryOfNamespaces(spread FanoutResult) []string {
	var lines []string
	for _, a := range spread.Results {
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

func TestAWebhookArrivesWhereTheSecretIsRightAndSomethingWantsIt(t *testing.T) {
	for name, tc := range map[string]struct {
		secret, nothingIn string
		namespaces        []string
		want              []string
		says              string
	}{
		"one namespace's secret":                 {"of-a", "", []string{"a", "b", "c"}, []string{"a Applied QueryToken"}, ""},
		"the secret of two":                      {"of-both", "", []string{"a", "b", "c"}, []string{"a Applied QueryToken", "b Applied QueryToken"}, ""},
		"of two, one wants nothing":              {"of-both", "a", []string{"a", "b", "c"}, []string{"b Applied QueryToken"}, ""},
		"the default secret":                     {"default", "", []string{"a", "b", "c"}, []string{"c Applied QueryToken"}, ""},
		"nothing wants it":                       {"of-a", "a", []string{"a", "b", "c"}, nil, "nothing wants docker.io/acme/shop:2.0.0"},
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
			spread, err := p.DeliverToNamespaces(t.Context(), "docker.io", tc.namespaces, dockerPush(tc.secret))
			says := spread.Message
			if err != nil {
				says = fmt.Sprint(answered(t, err).Code)
			}
			if diff := cmp.Diff(tc.want, summaryOfNamespaces(spread)); diff != "" || says != tc.says {
				t.Errorf("says %q, want %q; arrived (-want +got):\n%s", says, tc.says, diff)
			}
			for _, line := range p.told() {
				if len(tc.want) == 0 && !strings.HasPrefix(line, "match ") {
					t.Errorf("it did this: %s", line)
				}
				if tc.says == "401" {
					t.Errorf("a stranger made it look: %s", line)
				}
			}
		})
	}
}

func TestAWebhookIsDecodedAsItsClaimedSenderAndNoOther(t *testing.T) {
	p := allNamespaces()
	in := dockerPush("of-a")
	in.Body = []byte(two)
	_, err := p.DeliverToNamespaces(t.Context(), "docker.io", []string{"a"}, in)
	if got := answered(t, err); got.Code != http.StatusBadRequest || !strings.Contains(got.Message, "docker.io") {
		t.Errorf("got %d: %s", got.Code, got.Message)
	}
	if journal := p.told(); len(journal) > 0 {
		t.Errorf("it did this: %q", journal)
	}
}

func TestAWebhookThatAsksForNothingLeavesNothing(t *testing.T) {
	deliveries.Reset()
	p := allNamespaces()
	p.Secrets.SetDefaults(map[string][]byte{"hmac": []byte(secret)})
	in := ping()
	in.User = anonymousUser
	in.Header.Set("X-Hub-Signature-256", sign(in.Body))
	spread, err := p.DeliverToNamespaces(t.Context(), "github", []string{"a", "b"}, in)
	if err != nil || len(spread.Results) > 0 || spread.Message != "GitHub tests the webhook" {
		t.Errorf("got %+v, %v", spread, err)
	}
	if journal := p.told(); len(journal) > 0 {
		t.Errorf("it did this: %q", journal)
	}
	expectCounted(t, map[string]int{`method="HMAC",outcome="Ignored",source="github"`: 1})
}

func TestWhatFailsInOneNamespaceStopsNoOther(t *testing.T) {
	refused := errors.New("a policy says no")
	p := allNamespaces()
	p.onValidate = func(d *postern.WebhookDelivery) error {
		if d.Namespace == "a" {
			return refused
		}
		return nil
	}
	spread, err := p.DeliverToNamespaces(t.Context(), "docker.io", []string{"a", "b"}, dockerPush("of-both"))
	if diff := cmp.Diff([]string{"a error", "b Applied QueryToken"}, summaryOfNamespaces(spread)); diff != "" || err != nil {
		t.Errorf("%v; arrived (-want +got):\n%s", err, diff)
	}
	if !errors.Is(spread.Results[0].Err, refused) {
		t.Errorf("got %v", spread.Results[0].Err)
	}
}

func TestWhatFailsAtATargetIsRecorded(t *testing.T) {
	p := allNamespaces()
	p.writeErr = errors.New("no permission")
	spread, err := p.DeliverToNamespaces(t.Context(), "docker.io", []string{"a"}, dockerPush("of-a"))
	if diff := cmp.Diff([]string{"a Failed QueryToken error"}, summaryOfNamespaces(spread)); diff != "" || err != nil {
		t.Fatalf("%v; arrived (-want +got):\n%s", err, diff)
	}
	if got := answered(t, spread.Results[0].Err).Code; got != http.StatusInternalServerError {
		t.Errorf("answered %d, want 500", got)
	}
}

func TestNothingIsCarriedWhileItIsNotKnownWhoWantsIt(t *testing.T) {
	p := allNamespaces()
	p.matches = func(target.Request) ([]target.Match, error) { return nil, unavailable(t) }
	_, err := p.DeliverToNamespaces(t.Context(), "docker.io", []string{"a", "b"}, dockerPush("of-both"))
	if got := answered(t, err); got.Code != http.StatusServiceUnavailable || got.Details == nil || got.Details.RetryAfterSeconds != 1 {
		t.Errorf("got %+v, want 503 with Retry-After", got)
	}
	if diff := cmp.Diff([]string{"match a 2.0.0"}, p.told()); diff != "" {
		t.Errorf("did (-want +got):\n%s", diff)
	}
}

// Each target would otherwise have as long as if it were the only one, one after the other.
func TestAWebhookIsBegunInNoMoreNamespacesOnceItsTimeIsOver(t *testing.T) {
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
		spread, err := p.DeliverToNamespaces(t.Context(), "docker.io", namespaces, dockerPush("default"))
		if took, want := time.Since(began), 4*answerTimeout; err != nil || took != want {
			t.Errorf("took %s, want %s: %v", took, want, err)
		}
		want := make([]string, len(namespaces))
		for i, namespace := range namespaces {
			want[i] = namespace + " Applied QueryToken"
		}
		want[inTime] = namespaces[inTime] + " error"
		if diff := cmp.Diff(want, summaryOfNamespaces(spread)); diff != "" {
			t.Fatalf("arrived (-want +got):\n%s", diff)
		}
		if got := answered(t, spread.Results[inTime].Err); got.Code != http.StatusServiceUnavailable || got.Details.RetryAfterSeconds != retryAfterSeconds {
			t.Errorf("got %+v, want 503 with Retry-After", got)
		}
		p.Drain()
	})
}

func TestARepeatMakesNoSecondRecordInAnyNamespace(t *testing.T) {
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
		spread, err := p.DeliverToNamespaces(t.Context(), "github", []string{"a"}, in)
		if err != nil || len(spread.Results) != 1 {
			t.Fatalf("got %+v, %v", spread, err)
		}
		reasons = append(reasons, spread.Results[0].Delivery.Status.Reason)
	}
	p.Drain()
	if diff := cmp.Diff([]string{target.ReasonRequested, ReasonAlreadyDelivered}, reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if records := s.all(); len(records) != 1 || records[0].Namespace != "a" {
		t.Errorf("got the records %+v, want one", records)
	}
}

// Nothing about the namespace may be told to who has shown no credential.
func TestADoorThatLeadsNowhereSaysSoOnlyToWhoHasProvedItself(t *testing.T) {
	forbidden := errors.New("nowhere")
	p := newDefaultPipeline()
	in := release()
	in.Forbidden = forbidden
	if _, err := p.Deliver(t.Context(), toPlant(), in, false); !errors.Is(err, forbidden) {
		t.Errorf("got %v, want what is forbidden", err)
	}
	in.User = anonymousUser
	_, err := p.Deliver(t.Context(), toPlant(), in, false)
	if got := answered(t, err).Code; got != http.StatusUnauthorized {
		t.Errorf("a stranger is answered %d, want 401", got)
	}
	if journal := p.told(); len(journal) > 0 {
		t.Errorf("it did this: %q", journal)
	}
}

// An alert says that the storage is away when deliveries are answered 503, and a stranger could raise it.
func TestASenderThatLeavesBeforeItIsVerifiedIsRejected(t *testing.T) {
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
