// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/apiserver/filters"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/target"
)

// fakeChain is an admission chain that keeps a copy of each object.
type fakeChain struct {
	admitted, validated []runtime.Object
	mutate              func(*postern.WebhookDelivery)
	err                 error
}

func (c *fakeChain) Handles(admission.Operation) bool { return true }

func (c *fakeChain) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	c.admitted = append(c.admitted, a.GetObject().DeepCopyObject())
	if c.mutate != nil {
		c.mutate(a.GetObject().(*postern.WebhookDelivery))
	}
	return c.err
}

func (c *fakeChain) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	c.validated = append(c.validated, a.GetObject().DeepCopyObject())
	return c.err
}

func newReceivingAdmission() (*receivingAdmission, *fakeChain) {
	chain := &fakeChain{}
	verifier := credential.NewVerifier(credential.Config{IdentityIsCredential: true, RequireSecret: true},
		&credential.Secrets{})
	return &receivingAdmission{admissionChain: chain, deliverer: delivery.New(delivery.Config{
		Verifier: verifier, Admission: chain, Targets: slowWriter{target.NewClock(time.Now)}, MaxPayloadBytes: 1 << 10,
		Now: time.Now,
	})}, chain
}

// slowWriter has no targets.
type slowWriter struct{ *target.Clock }

func (slowWriter) Resolve(context.Context, postern.TargetKey, bool) error {
	return errors.New("there is none")
}

func (slowWriter) Choose(_ postern.TargetKey, requests []target.Request) []int {
	return []int{len(requests) - 1}
}

func (slowWriter) Matches(string, target.Request) ([]target.Match, error) { return nil, nil }

func (slowWriter) Write(_ context.Context, _ postern.TargetKey, requests []target.Request, _ bool) []target.Result {
	return slices.Repeat([]target.Result{{Err: errors.New("there is none")}}, len(requests))
}

func (slowWriter) RecordHeld(postern.TargetKey, ...target.Request) {}

func (slowWriter) IsHeld(postern.TargetKey) bool { return false }

func (slowWriter) Contest(context.Context, postern.TargetKey, []target.Request) ([]target.Result, error) {
	return nil, nil
}
func (slowWriter) RecordOwed(postern.TargetKey, ...target.Request) {}

// sent returns a delivery as created by a client, with the namespace only in the path.
func sent() *postern.WebhookDelivery {
	return &postern.WebhookDelivery{Spec: postern.WebhookDeliverySpec{
		Target:     &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: "plant"},
		RawPayload: []byte(`{"ref":"main"}`),
		Headers:    map[string]string{"X-Hub-Signature-256": "sha256=00", "Content-Type": "application/json"},
	}}
}

func attributes(
	obj runtime.Object, operation admission.Operation, subresource string, sender user.Info,
) admission.Attributes {
	return admission.NewAttributesRecord(obj, nil, v1alpha1.SchemeGroupVersion.WithKind("WebhookDelivery"), "demo", "",
		v1alpha1.SchemeGroupVersion.WithResource("webhookdeliveries"), subresource, operation, &metav1.CreateOptions{},
		false, sender)
}

var kubectlUser = &user.DefaultInfo{Name: "jane", Groups: []string{user.AllAuthenticated}}

// Otherwise policies would see an object without events, and webhooks would see its payload and signature.
func TestAdmission_SeesReceivedDelivery(t *testing.T) {
	a, chain := newReceivingAdmission()
	created := attributes(sent(), admission.Create, "", kubectlUser)
	if err := a.Admit(t.Context(), created, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Validate(t.Context(), created, nil); err != nil {
		t.Fatal(err)
	}
	if len(chain.admitted) != 1 || len(chain.validated) != 1 {
		t.Fatalf("admitted %d times and validated %d times, want once each", len(chain.admitted), len(chain.validated))
	}
	want := postern.WebhookDeliverySpec{
		Source:  "generic",
		Target:  &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: "plant"},
		Headers: map[string]string{"Content-Type": "application/json"},
		Events:  []postern.DeliveryEvent{{Source: "generic", Event: "request", Ref: "main"}},
	}
	for _, obj := range []runtime.Object{chain.admitted[0], chain.validated[0]} {
		got := obj.(*postern.WebhookDelivery)
		if diff := cmp.Diff(want, got.Spec); diff != "" {
			t.Errorf("spec (-want +got):\n%s", diff)
		}
		if got.Namespace != "demo" || got.Status.Sender.Name != "jane" {
			t.Errorf("in the namespace %q, by %q", got.Namespace, got.Status.Sender.Name)
		}
	}
}

func TestAdmission_NotCalledForRejectedDelivery(t *testing.T) {
	notValid := sent()
	notValid.Spec.Target.Kind = "Secret"
	notJSON := sent()
	notJSON.Spec.RawPayload = []byte("main")
	for name, test := range map[string]struct {
		delivery *postern.WebhookDelivery
		sender   user.Info
		is       func(error) bool
	}{
		"not valid":      {notValid, kubectlUser, apierrors.IsInvalid},
		"not verified":   {sent(), &user.DefaultInfo{Name: user.Anonymous}, apierrors.IsUnauthorized},
		"not understood": {notJSON, kubectlUser, apierrors.IsBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			a, chain := newReceivingAdmission()
			created := attributes(test.delivery, admission.Create, "", test.sender)
			if err := a.Admit(t.Context(), created, nil); !test.is(err) {
				t.Errorf("got %v", err)
			}
			if len(chain.admitted) > 0 {
				t.Errorf("the chain saw %v", chain.admitted)
			}
		})
	}
}

func TestAdmission_MutationMayNotReplaceDelivery(t *testing.T) {
	a, chain := newReceivingAdmission()
	chain.mutate = func(d *postern.WebhookDelivery) { d.Spec.Target.Name = "other" }
	created := attributes(sent(), admission.Create, "", kubectlUser)
	if err := a.Admit(t.Context(), created, nil); !apierrors.IsInvalid(err) {
		t.Errorf("got %v, want an invalid error", err)
	}
}

func TestAdmission_RefusalIsTheAnswer(t *testing.T) {
	a, chain := newReceivingAdmission()
	chain.err = errors.New("a policy says no")
	created := attributes(sent(), admission.Create, "", kubectlUser)
	if err := a.Admit(t.Context(), created, nil); !errors.Is(err, chain.err) {
		t.Errorf("mutating: got %v", err)
	}
	if err := a.Validate(t.Context(), created, nil); !errors.Is(err, chain.err) {
		t.Errorf("validating: got %v", err)
	}
}

func TestAdmission_OtherRequestsPassThrough(t *testing.T) {
	for name, a := range map[string]admission.Attributes{
		"another object": attributes(&postern.Application{}, admission.Create, "", kubectlUser),
		"an update":      attributes(sent(), admission.Update, "", kubectlUser),
		"a subresource":  attributes(sent(), admission.Create, "status", kubectlUser),
	} {
		t.Run(name, func(t *testing.T) {
			receiving, chain := newReceivingAdmission()
			before := a.GetObject().DeepCopyObject()
			if err := receiving.Admit(t.Context(), a, nil); err != nil {
				t.Fatal(err)
			}
			if err := receiving.Validate(t.Context(), a, nil); err != nil {
				t.Fatal(err)
			}
			for _, seen := range [][]runtime.Object{chain.admitted, chain.validated} {
				if diff := cmp.Diff([]runtime.Object{before}, seen); diff != "" {
					t.Errorf("seen (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// The secret is not valid here, but the response says whether one was presented.
func TestAdmission_QuerySecretReachesVerifier(t *testing.T) {
	answer := func(ctx context.Context) string {
		a, _ := newReceivingAdmission()
		unsigned := sent()
		unsigned.Spec.Headers = nil
		err := a.Admit(ctx, attributes(unsigned, admission.Create, "", &user.DefaultInfo{Name: user.Anonymous}), nil)
		return err.Error()
	}
	if got := answer(t.Context()); !strings.HasPrefix(got, "no credential was shown") {
		t.Errorf("without: %s", got)
	}
	withSecret := delivery.WithQuerySecret(t.Context(), "s3cret")
	if got := answer(withSecret); !strings.HasPrefix(got, "the credential shown was not accepted") {
		t.Errorf("with: %s", got)
	}
}

func TestAdmission_AcceptsLargestPayload(t *testing.T) {
	for _, payload := range []int{1 << 10, 1 << 20, 25 << 20} {
		room := filters.ObjectBytes(int64(payload)) - int64(base64.StdEncoding.EncodedLen(payload))
		if room < 60<<10 || room > 64<<10 {
			t.Errorf("a payload of %d bytes leaves %d bytes for the rest", payload, room)
		}
	}
}

// With all plugins disabled the chain handles nothing, so the framework would skip receivingAdmission.
func TestAdmission_ReceivesWithoutPlugins(t *testing.T) {
	a := &receivingAdmission{admissionChain: admission.NewChainHandler()}
	if !a.Handles(admission.Create) {
		t.Error("creates are not handled")
	}
}

func TestAdmission_UpdateIsReceivedFirst(t *testing.T) {
	record := sent()
	record.Namespace, record.Name, record.ResourceVersion = "demo", "push", "7"
	record.Spec.RawPayload, record.Spec.Headers = nil, nil
	for name, test := range map[string]struct {
		change func(*postern.WebhookDelivery)
		want   int
	}{
		"a label":   {func(d *postern.WebhookDelivery) { d.Labels = map[string]string{"a": "b"} }, 1},
		"a payload": {func(d *postern.WebhookDelivery) { d.Spec.RawPayload = []byte("s3cret") }, 0},
	} {
		a, chain := newReceivingAdmission()
		updated := record.DeepCopy()
		test.change(updated)
		err := a.Admit(t.Context(), admission.NewAttributesRecord(updated, record,
			v1alpha1.SchemeGroupVersion.WithKind("WebhookDelivery"), "demo", "push",
			v1alpha1.SchemeGroupVersion.WithResource("webhookdeliveries"), "", admission.Update,
			&metav1.UpdateOptions{},
			false, kubectlUser), nil)
		if len(chain.admitted) != test.want || apierrors.IsInvalid(err) != (test.want == 0) {
			t.Errorf("%s: the chain saw %v, error %v", name, chain.admitted, err)
		}
	}
}
