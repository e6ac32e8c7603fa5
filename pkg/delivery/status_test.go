// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/audit"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/install"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/target"
)

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	}
}

var verified = condition("Verified", metav1.ConditionTrue, "ServiceAccount", "the sender proved itself")

// result returns the result at the target plant.
func result(r postern.TargetResult) []postern.TargetResult {
	r.Kind, r.Name, r.Ref, r.Time = postern.TargetGatewaySync, "plant", "v2.0.0", metav1.NewTime(now)
	return []postern.TargetResult{r}
}

func TestStatus_OfResults(t *testing.T) {
	down := unavailable(t)
	for name, test := range map[string]struct {
		arrange func(*pipeline, *Request)
		want    postern.WebhookDeliveryStatus
	}{
		"written": {
			func(*pipeline, *Request) {},
			postern.WebhookDeliveryStatus{
				Phase: "Applied", Reason: "Requested", Message: "it was written",
				Conditions: []metav1.Condition{verified, condition("Applied", "True", "Requested", "it was written")},
				Targets: result(postern.TargetResult{
					PreviousRef: "v1.0.0", Result: "Written", Reason: "Requested", Message: "it was written",
					Changes: []postern.FieldChange{{Field: "ref", New: "v2.0.0"}},
				}),
			},
		},
		"unchanged": {
			func(p *pipeline, _ *Request) {
				p.outcome = target.Result{
					Previous: "v2.0.0", Held: true, Reason: target.ReasonAlreadyRequested, Message: "it is so already",
				}
			},
			postern.WebhookDeliveryStatus{
				Phase: "Applied", Reason: "AlreadyRequested", Message: "it is so already",
				Conditions: []metav1.Condition{
					verified, condition("Applied", "True", "AlreadyRequested", "it is so already"),
				},
				Targets: result(postern.TargetResult{
					PreviousRef: "v2.0.0", Result: "Unchanged", Reason: "AlreadyRequested", Message: "it is so already",
				}),
			},
		},
		"not wanted": {
			func(p *pipeline, _ *Request) {
				p.outcome = target.Result{
					Previous: "v1.0.0", Reason: target.ReasonNotApplicable, Message: "it can't hold that",
				}
			},
			postern.WebhookDeliveryStatus{
				Phase: "Ignored", Reason: "NotApplicable", Message: "it can't hold that",
				Conditions: []metav1.Condition{
					verified, condition("Applied", "False", "NotApplicable", "it can't hold that"),
				},
				Targets: result(postern.TargetResult{
					PreviousRef: "v1.0.0", Result: "Skipped", Reason: "NotApplicable", Message: "it can't hold that",
				}),
			},
		},
		"refused": {
			func(p *pipeline, _ *Request) { p.writeErr = errors.New("a policy says no") },
			postern.WebhookDeliveryStatus{
				Phase: "Failed", Reason: "TargetRefused", Message: "a policy says no",
				Conditions: []metav1.Condition{
					verified, condition("Applied", "False", "TargetRefused", "a policy says no"),
				},
				Targets: result(postern.TargetResult{
					Result: "Failed", Reason: "TargetRefused", Message: "a policy says no",
				}),
			},
		},
		"unavailable": {
			func(p *pipeline, _ *Request) { p.writeErr = down },
			postern.WebhookDeliveryStatus{
				Phase: "Pending", Reason: "TargetUnavailable", Message: down.Error(),
				Conditions: []metav1.Condition{
					verified, condition("Applied", "False", "TargetUnavailable", down.Error()),
				},
				Targets: result(postern.TargetResult{
					Result: "Pending", Reason: "TargetUnavailable", Message: down.Error(),
				}),
			},
		},
		"outdated": {
			func(p *pipeline, _ *Request) {
				p.outcome = target.Result{
					Previous: "v3.0.0", Reason: target.ReasonSuperseded, Message: "it holds something newer",
				}
			},
			postern.WebhookDeliveryStatus{
				Phase: "Superseded", Reason: "Superseded", Message: "it holds something newer",
				Conditions: []metav1.Condition{
					verified, condition("Applied", "False", "Superseded", "it holds something newer"),
				},
				Targets: result(postern.TargetResult{
					PreviousRef: "v3.0.0", Result: "Superseded", Reason: "Superseded",
					Message: "it holds something newer",
				}),
			},
		},
		"not found for now": {
			func(p *pipeline, _ *Request) { p.resolveErr = down },
			postern.WebhookDeliveryStatus{
				Phase: "Pending", Reason: "TargetUnavailable", Message: down.Error(),
				Conditions: []metav1.Condition{
					verified, condition("Applied", "False", "TargetUnavailable", down.Error()),
				},
			},
		},
		"asks for nothing": {
			func(_ *pipeline, in *Request) { *in = ping() },
			postern.WebhookDeliveryStatus{
				Phase: "Ignored", Reason: "Ping", Message: "GitHub tests the webhook",
				Conditions: []metav1.Condition{
					verified, condition("Applied", "False", "Ping", "GitHub tests the webhook"),
				},
			},
		},
		"admission leaves nothing": {
			func(p *pipeline, _ *Request) {
				p.onMutate = func(d *postern.WebhookDelivery) error { d.Spec.Events = nil; return nil }
			},
			postern.WebhookDeliveryStatus{
				Phase: "Ignored", Reason: "NothingRequested", Message: "admission left nothing to request",
				Conditions: []metav1.Condition{
					verified, condition("Applied", "False", "NothingRequested", "admission left nothing to request"),
				},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			testBothWays(t, func(t *testing.T, arrange func(*pipeline)) {
				p, in := newDefaultPipeline(), release()
				arrange(p)
				test.arrange(p, &in)
				var got postern.WebhookDeliveryStatus
				keep := func(d *postern.WebhookDelivery) error { got = d.DeepCopy().Status; return nil }
				p.onRecord, p.onUpdate = keep, keep

				ctx := audit.WithAuditContext(t.Context())
				audit.WithAuditID(ctx, "audit-1")
				_, _ = p.Deliver(ctx, toPlant(), in, false)
				p.Drain()

				digest := sha256.Sum256(in.Body)
				want := test.want
				want.Sender = &postern.Sender{Name: ci.Name, Method: "ServiceAccount"}
				want.Payload = &postern.PayloadDigest{
					SHA256: hex.EncodeToString(digest[:]), Bytes: int64(len(in.Body)),
				}
				want.AuditID = "audit-1"
				want.ReceivedTime = &metav1.MicroTime{Time: received}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("stored status (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestStatus_DryRun(t *testing.T) {
	delivered, err := newDefaultPipeline().Deliver(t.Context(), toPlant(), release(), true)
	if err != nil {
		t.Fatal(err)
	}
	want := result(postern.TargetResult{
		PreviousRef: "v1.0.0", Result: "Written", Reason: "Requested", Message: "it was written",
		Changes: []postern.FieldChange{{Field: "ref", New: "v2.0.0"}},
	})
	if diff := cmp.Diff(want, delivered.Status.Targets); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

func TestStatus_VerifiedCondition(t *testing.T) {
	body := []byte(`{"ref":"v2.0.0"}`)
	for name, test := range map[string]struct {
		namespace string
		in        Request
		sender    string
		want      metav1.Condition
	}{
		"by identity": {"demo", Request{Body: body, User: ci}, ci.Name, verified},
		"by signature": {
			"demo", Request{Body: body, Header: http.Header{"X-Hub-Signature-256": {sign(body)}}}, "system:anonymous",
			condition("Verified", "True", "HMAC", "the sender proved itself"),
		},
		"not at all, where no secret is required": {
			"open", Request{Body: body}, "system:anonymous",
			condition("Verified", "False", "None",
				"no secret is required for this delivery, and the sender presented no valid one"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPipeline(credential.Config{IdentityIsCredential: true, RequireSecret: false})
			d := toPlant()
			d.Namespace = test.namespace
			if err := p.receiveOnly(t.Context(), d, test.in); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]metav1.Condition{test.want}, d.Status.Conditions); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(&postern.Sender{Name: test.sender, Method: test.want.Reason},
				d.Status.Sender); diff != "" {
				t.Errorf("sender (-want +got):\n%s", diff)
			}
		})
	}
}

// Mutating policies work on JSON, which drops fractions of a second. An unchanged status must compare as unchanged.
func TestStatus_AdmissionJSONRoundTrip(t *testing.T) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	codec := serializer.NewCodecFactory(scheme).LegacyCodec(v1alpha1.SchemeGroupVersion)
	p := newDefaultPipeline()
	p.onMutate = func(d *postern.WebhookDelivery) error {
		data, err := runtime.Encode(codec, d)
		if err != nil {
			return err
		}
		*d = postern.WebhookDelivery{}
		return runtime.DecodeInto(codec, data, d)
	}
	if _, err := p.Deliver(t.Context(), toPlant(), release(), false); err != nil {
		t.Error(err)
	}
}

func TestStatus_NamesUnmatchedPush(t *testing.T) {
	image := postern.DeliveryEvent{
		Ref: "1.2.3",
		Image: &postern.ImageReference{
			Host: "docker.io", Repository: "library/nginx", Tag: "1.2.3", Digest: "sha256:0a",
		},
	}
	commit := postern.DeliveryEvent{Ref: "main", Repository: "https://github.com/acme/plant.git"}
	alone := postern.DeliveryEvent{Ref: "v2.0.0"}
	long := postern.DeliveryEvent{Ref: strings.Repeat("x", 2*maxTextBytes)}
	for want, events := range map[string][]postern.DeliveryEvent{
		"nothing wants what was pushed":                                     nil,
		"nothing wants docker.io/library/nginx:1.2.3":                       {image},
		"nothing wants main of https://github.com/acme/plant.git":           {commit},
		"nothing wants v2.0.0":                                              {alone},
		"nothing wants v2.0.0, or the other ref":                            {alone, commit},
		"nothing wants docker.io/library/nginx:1.2.3, or the 2 other refs":  {image, alone, commit},
		"nothing wants " + strings.Repeat("x", maxTextBytes-len("…")) + "…": {long},
	} {
		if got := noMatchMessage("nothing", events); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// A run that no target deploys on is a common reason to ask why nothing happens.
func TestNoMatchMessage_SaysHowToDeployOnWhatPassed(t *testing.T) {
	event := postern.DeliveryEvent{Ref: "main", Repository: "https://git.example.com/plant.git"}
	for passed, want := range map[string]string{
		"": "nothing wants main of https://git.example.com/plant.git",
		"workflow_run:CI": `nothing wants main of https://git.example.com/plant.git, which passed "workflow_run:CI": ` +
			"a target does if its annotation postern.dev/deploy-on lists that",
	} {
		event.Passed = passed
		if got := noMatchMessage("nothing", []postern.DeliveryEvent{event}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
