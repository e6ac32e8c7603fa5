// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/randfill"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apierror"
	"postern.dev/postern/pkg/credential"
)

var anonymous = &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}

func TestRedact_NothingForIdentity(t *testing.T) {
	d := &postern.WebhookDelivery{Status: postern.WebhookDeliveryStatus{Message: "all of it"}}
	failed := errors.New("all of it too")
	if public, err := Redact(ci, d, failed); public != d || !errors.Is(err, failed) {
		t.Errorf("got %v and %v", public, err)
	}
}

// A field that is added to the API is not disclosed until redactDelivery names it.
func TestRedact_FieldsWithoutIdentity(t *testing.T) {
	full := &postern.WebhookDelivery{}
	randfill.NewWithSeed(1).NilChance(0).NumElements(1, 1).Funcs(
		func(s *string, _ randfill.Continue) { *s = "filled" },
		func(at *metav1.Time, _ randfill.Continue) { *at = metav1.NewTime(now) },
		func(at *metav1.MicroTime, _ randfill.Continue) { *at = metav1.NewMicroTime(now) },
		func(u *runtime.Unknown, _ randfill.Continue) { u.Raw = []byte(`"filled"`) },
		func(f *metav1.FieldsV1, _ randfill.Continue) { *f = metav1.FieldsV1{} },
	).Fill(full)
	public, _ := Redact(anonymous, full, nil)
	want := []string{
		"Spec.Events.Event", "Spec.Events.Image.Digest", "Spec.Events.Image.Host", "Spec.Events.Image.Repository",
		"Spec.Events.Image.Tag",
		"Spec.Events.Ref", "Spec.Events.RefType", "Spec.Events.Source", "Spec.Source", "Spec.Target.Kind",
		"Spec.Target.Name",
		"Status.Ignored.Message", "Status.Ignored.Reason", "Status.Phase", "name", "namespace",
	}
	if diff := cmp.Diff(want, setFields(t, public)); diff != "" {
		t.Errorf("public fields (-want +got):\n%s", diff)
	}
}

// setFields returns the sorted paths of all set fields, without list indexes.
func setFields(t *testing.T, d *postern.WebhookDelivery) []string {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	return leaves("", fields)
}

func TestRedact_OutcomeIsGeneral(t *testing.T) {
	const private = "secret-project-x wants >=1, call alice"
	for name, tt := range map[string]struct {
		phase       postern.DeliveryPhase
		reason      string
		wantReason  string
		wantItsOwn  bool
		wantMessage string
	}{
		"written": {postern.DeliveryApplied, "Requested", "Requested", false, ""},
		"held already": {
			postern.DeliveryApplied, "AlreadyRequested", "AlreadyRequested", false, "ref already set",
		},
		"an image": {postern.DeliveryApplied, "NewerVersion", "Requested", false, ""},
		"something newer": {
			postern.DeliverySuperseded, "Superseded", "Superseded", false, "something newer was requested",
		},
		"a repeat": {
			postern.DeliverySuperseded, "AlreadyDelivered", "AlreadyDelivered", false, "it was delivered before",
		},
		"no target": {
			postern.DeliveryIgnored, "NoTarget", "NotWanted", false, publicMessages[ReasonNotWanted],
		},
		"a target with its own key": {
			postern.DeliveryIgnored, "OwnSecret", "NotWanted", false, publicMessages[ReasonNotWanted],
		},
		"a constraint": {
			postern.DeliveryIgnored, "NotFollowed", "NotWanted", false, publicMessages[ReasonNotWanted],
		},
		"an invalid constraint": {
			postern.DeliveryIgnored, "InvalidConfiguration", "NotWanted", false, publicMessages[ReasonNotWanted],
		},
		"an image that is not used": {
			postern.DeliveryIgnored, "NotInUse", "NotWanted", false, publicMessages[ReasonNotWanted],
		},
		"pending": {
			postern.DeliveryPending, "TargetUnavailable", "TargetUnavailable", false,
			publicMessages[ReasonTargetUnavailable],
		},
		"pending and not yet tried": {
			postern.DeliveryPending, "", "TargetUnavailable", false, publicMessages[ReasonTargetUnavailable],
		},
		"failed": {
			postern.DeliveryFailed, "SomeTargetsFailed", "TargetRefused", false, publicMessages[ReasonTargetRefused],
		},
		"what the payload says":      {postern.DeliveryIgnored, "Ping", "Ping", true, ""},
		"what the payload says, too": {postern.DeliveryIgnored, "RefDeleted", "RefDeleted", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := &postern.WebhookDelivery{
				Status: postern.WebhookDeliveryStatus{Phase: tt.phase, Reason: tt.reason, Message: private},
			}
			public, _ := Redact(anonymous, d, nil)
			want := postern.WebhookDeliveryStatus{Phase: tt.phase, Reason: tt.wantReason, Message: tt.wantMessage}
			if tt.wantItsOwn {
				want.Message = private
			}
			if diff := cmp.Diff(want, public.Status); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRedact_InternalErrorIsGeneral(t *testing.T) {
	const private = "applications.argoproj.io payroll: etcdserver at 10.0.0.7"
	policy := apierrors.NewForbidden(postern.Resource("webhookdeliveries"), "x",
		errors.New("only tags, says the policy"))
	for name, tt := range map[string]struct {
		err        error
		code       int32
		public     string
		retryAfter int32
	}{
		"a policy": {policy, http.StatusForbidden, "only tags, says the policy", 0},
		"a wrong body": {
			apierrors.NewBadRequest("the body is not JSON"), http.StatusBadRequest, "the body is not JSON", 0,
		},
		"target refused": {
			apierror.New(http.StatusInternalServerError, metav1.StatusReasonInternalError, private),
			http.StatusInternalServerError, publicFailureMessage, 0,
		},
		"not in time": {
			answerUnavailable("the target can't be written now", errors.New(private)), http.StatusServiceUnavailable,
			"later", 1,
		},
		"unknown": {errors.New(private), http.StatusInternalServerError, publicFailureMessage, 0},
	} {
		t.Run(name, func(t *testing.T) {
			public, err := Redact(anonymous, nil, tt.err)
			status := answered(t, err)
			if public != nil || status.Code != tt.code || !strings.Contains(status.Message, tt.public) ||
				strings.Contains(err.Error(), private) {
				t.Errorf("got %v, %v", public, err)
			}
			if tt.retryAfter > 0 && (status.Details == nil || status.Details.RetryAfterSeconds != tt.retryAfter) {
				t.Errorf("details %v, want Retry-After %d s", status.Details, tt.retryAfter)
			}
		})
	}
}

func TestRedact_DryRunNeedsIdentity(t *testing.T) {
	p := newPipeline(credential.Config{RequireSecret: true, IdentityIsCredential: true})
	in := release()
	in.User = anonymous
	in.Header = http.Header{"X-Hub-Signature-256": {sign(in.Body)}}
	if _, err := p.Deliver(t.Context(), toPlant(), in, true); !apierrors.IsUnauthorized(err) {
		t.Errorf("got %v, want 401", err)
	}
	if len(p.journal) > 0 {
		t.Errorf("unexpected calls: %q", p.journal)
	}
	if _, err := p.Deliver(t.Context(), toPlant(), in, false); err != nil {
		t.Errorf("without a dry run: %v", err)
	}
}

// leaves returns the paths of the non-empty values in an object.
func leaves(at string, value any) []string {
	var paths []string
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			paths = append(paths, leaves(strings.TrimPrefix(at+"."+name, "."), value[name])...)
		}
	case []any:
		for _, item := range value {
			paths = append(paths, leaves(at, item)...)
		}
	case nil:
	case string:
		if value != "" {
			paths = append(paths, at)
		}
	case bool:
		if value {
			paths = append(paths, at)
		}
	default:
		paths = append(paths, at)
	}
	return paths
}
