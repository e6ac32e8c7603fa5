// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/target"
)

// jane may redeliver.
var jane = &user.DefaultInfo{Name: "jane", Groups: []string{user.AllAuthenticated}}

// yesterday returns the record of a release that was delivered a day ago.
func yesterday() *postern.WebhookDelivery {
	d := toPlant()
	d.Name, d.UID, d.Labels = "github-1a2b", "uid-1", map[string]string{"team": "a"}
	d.Spec.Source, d.Spec.Headers = "github", map[string]string{"X-Github-Event": "release", "X-Github-Delivery": "d-1"}
	d.Spec.Events = []postern.DeliveryEvent{{
		Source: "github", Event: "release", Ref: "v1.0.0", RefType: postern.RefTypeTag, DeliveryID: "d-1",
		Repository: "https://git.example.com/plant.git", Time: &metav1.MicroTime{Time: received.Add(-25 * time.Hour)},
	}}
	d.Status = postern.WebhookDeliveryStatus{
		Phase: postern.DeliveryFailed, Reason: ReasonTargetRefused, AuditID: "audit-0", Payload: digest(released),
		ReceivedTime: &metav1.MicroTime{Time: received.Add(-24 * time.Hour)},
		Sender:       &postern.Sender{Name: user.Anonymous, Method: "HMAC"},
	}
	setOutcome(d, result(postern.TargetResult{Result: postern.TargetFailed}), now.Add(-24*time.Hour))
	return d
}

// A redelivery is a new request by its caller. It is written however old the original is.
func TestRedeliver_RequestsTheSame(t *testing.T) {
	p, original := newDefaultPipeline(), yesterday()
	var recorded *postern.WebhookDelivery
	p.onRecord = func(d *postern.WebhookDelivery) error { recorded = d.DeepCopy(); return nil }
	ctx := audit.WithAuditContext(t.Context())
	audit.WithAuditID(ctx, "audit-1")
	delivered, err := p.Redeliver(ctx, original, jane, false)
	if err != nil {
		t.Fatal(err)
	}
	want := &postern.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", GenerateName: "github-"}, Spec: yesterday().Spec,
	}
	want.Spec.RedeliveryOf = "github-1a2b"
	want.Status = postern.WebhookDeliveryStatus{
		AuditID: "audit-1", ReceivedTime: &metav1.MicroTime{Time: received},
		Sender:     &postern.Sender{Name: "jane", Method: "User"},
		Conditions: []metav1.Condition{condition("Verified", "True", "User", "the sender proved itself")},
	}
	setOutcome(want, []postern.TargetResult{{
		Kind: postern.TargetGatewaySync, Name: "plant", Ref: "v1.0.0", PreviousRef: "v1.0.0", Time: metav1.NewTime(now),
		Result: postern.TargetWritten, Reason: target.ReasonRequested, Message: "it was written",
		Changes: []postern.FieldChange{{Field: "ref", New: "v2.0.0"}},
	}}, now)
	if diff := cmp.Diff(want, recorded); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	request := target.Request{
		DeliveryEvent: &postern.DeliveryEvent{
			Source: "github", Event: "release", Ref: "v1.0.0", RefType: postern.RefTypeTag, DeliveryID: "d-1",
			Repository: "https://git.example.com/plant.git",
			Time:       &metav1.MicroTime{Time: received.Add(-25 * time.Hour)},
		},
		At: now, Received: received, Override: true,
	}
	if diff := cmp.Diff(request, p.request); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if delivered.Status.Phase != postern.DeliveryApplied {
		t.Errorf("answered %s, want Applied", delivered.Status.Phase)
	}
	journal := []string{
		"mutate", "validate", "resolve " + plant, "write " + plant + " v1.0.0", "record Applied",
	}
	if diff := cmp.Diff(journal, p.calls()); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

// Each redelivery is a new delivery, although the sender's id is the same.
func TestRedeliver_IsNoDuplicate(t *testing.T) {
	p := newDefaultPipeline()
	p.onRecord = nameTaken
	_, err := p.Redeliver(t.Context(), yesterday(), jane, false)
	if got := answered(t, err).Code; got != http.StatusConflict {
		t.Errorf("answered %d, want the error of the storage", got)
	}
}

func TestRedeliver_WithoutTargetMatchesAnew(t *testing.T) {
	p, original := newDefaultPipeline(), yesterday()
	original.Spec.Target = nil
	p.matches = matching("demo", "shop")
	delivered, err := p.Redeliver(t.Context(), original, jane, false)
	if err != nil {
		t.Fatal(err)
	}
	want := summary{"Applied", "Requested", "it was written", []string{"shop v1.0.0: Written Requested"}}
	if diff := cmp.Diff(want, summaryOf(delivered.Status)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if !p.request.Override || !p.request.IfFollowed {
		t.Errorf("got request %+v, want one with Override and IfFollowed", p.request)
	}
}

// The original was not verified with the target's own secret.
func TestRedeliver_TargetWithOwnSecretNeedsIdentity(t *testing.T) {
	for suffices, want := range map[bool]string{
		true: "shop v1.0.0: Written Requested", false: "shop v1.0.0: Skipped OwnSecret",
	} {
		p, original := newPipeline(credential.Config{IdentityIsCredential: suffices, RequireSecret: true}), yesterday()
		original.Namespace, original.Spec.Target = "strict", nil
		p.matches = matching("strict", "shop")
		delivered, err := p.Redeliver(t.Context(), original, jane, false)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{want}, summaryOf(delivered.Status).Targets); diff != "" {
			t.Errorf("identity suffices %v: targets (-want +got):\n%s", suffices, diff)
		}
	}
}

func TestRedeliver_OnlyRequestsAndAuthenticatedCallers(t *testing.T) {
	for name, test := range map[string]struct {
		sender  user.Info
		arrange func(*pipeline, *postern.WebhookDelivery)
		code    int32
		journal []string
	}{
		"no user": {nil, nil, http.StatusUnauthorized, nil},
		"anonymous": {
			&user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}, nil,
			http.StatusUnauthorized, nil,
		},
		"no events": {
			jane, func(_ *pipeline, d *postern.WebhookDelivery) { d.Spec.Events = nil }, http.StatusBadRequest, nil,
		},
		"a policy": {
			jane, func(p *pipeline, _ *postern.WebhookDelivery) { p.onMutate = denied }, http.StatusForbidden,
			[]string{"mutate"},
		},
		"another policy": {
			jane, func(p *pipeline, _ *postern.WebhookDelivery) { p.onValidate = denied }, http.StatusForbidden,
			[]string{"mutate", "validate"},
		},
		"no such target": {
			jane, func(p *pipeline, _ *postern.WebhookDelivery) { p.resolveErr = notFound() }, http.StatusNotFound,
			[]string{"mutate", "validate", "resolve " + plant},
		},
		"anonymous, no events": {
			nil, func(_ *pipeline, d *postern.WebhookDelivery) { d.Spec.Events = nil }, http.StatusUnauthorized, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, original := newDefaultPipeline(), yesterday()
			if test.arrange != nil {
				test.arrange(p, original)
			}
			_, err := p.Redeliver(t.Context(), original, test.sender, false)
			if got := answered(t, err).Code; got != test.code {
				t.Errorf("answered %d, want %d: %v", got, test.code, err)
			}
			if diff := cmp.Diff(test.journal, p.calls()); diff != "" {
				t.Errorf("journal (-want +got):\n%s", diff)
			}
		})
	}
}

// Policies that are newer than the original apply too.
func TestRedeliver_AdmissionSeesCreateByCaller(t *testing.T) {
	p := newDefaultPipeline()
	if _, err := p.Redeliver(t.Context(), yesterday(), jane, false); err != nil {
		t.Fatal(err)
	}
	if a := p.attributes; a.GetOperation() != "CREATE" || a.GetUserInfo().GetName() != "jane" {
		t.Errorf("admission saw %s by %s", a.GetOperation(), a.GetUserInfo().GetName())
	}
	if got := p.attributes.GetObject().(*postern.WebhookDelivery).Spec.RedeliveryOf; got != "github-1a2b" {
		t.Errorf("admission saw a redelivery of %q", got)
	}
}

func TestRedeliver_DryRunLeavesNothing(t *testing.T) {
	p := newDefaultPipeline()
	delivered, err := p.Redeliver(t.Context(), yesterday(), jane, true)
	if err != nil {
		t.Fatal(err)
	}
	journal := []string{
		"mutate, dry run", "validate, dry run", "resolve " + plant, "write " + plant + " v1.0.0, dry run",
		"record Applied, dry run",
	}
	if diff := cmp.Diff(journal, p.calls()); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if len(p.events) > 0 || delivered.Status.Phase != postern.DeliveryApplied {
		t.Errorf("answered %s, and left the events %q", delivered.Status.Phase, p.events)
	}
}

// The original may be in a cache, and is the record of what happened then.
func TestRedeliver_OriginalIsUnchanged(t *testing.T) {
	for _, writeErr := range []error{nil, errors.New("frozen")} {
		p, original := newDefaultPipeline(), yesterday()
		p.writeErr = writeErr
		p.onMutate = func(d *postern.WebhookDelivery) error {
			d.Spec.Events[0].Ref = "v1.0.1"
			return nil
		}
		if _, err := p.Redeliver(t.Context(), original, jane, false); (err != nil) != (writeErr != nil) {
			t.Errorf("got %v, want %v", err, writeErr)
		}
		p.Drain()
		if diff := cmp.Diff(yesterday(), original); diff != "" {
			t.Errorf("the original (-before +after):\n%s", diff)
		}
		if p.request.Ref != "v1.0.1" {
			t.Errorf("got ref %s, want the one of admission", p.request.Ref)
		}
	}
}

// By now the target might choose another ref of the push.
func TestRedeliver_OnlyTheChosenRef(t *testing.T) {
	p, original := newDefaultPipeline(), yesterday()
	original.Spec.Events = []postern.DeliveryEvent{
		{Source: "github", Event: "push", Ref: "release/1.1"}, {Source: "github", Event: "push", Ref: "main"},
	}
	original.Status.Targets[0].Ref = "release/1.1"
	delivered, err := p.Redeliver(t.Context(), original, jane, false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(original.Spec.Events[:1], delivered.Spec.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
