// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/target"
)

const secret = "s3cret"

// now has fractions of a second, which JSON drops from a metav1.Time, and of a microsecond, which it drops from a
// MicroTime too; received is what remains.
var (
	now      = time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.UTC)
	received = time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
)

// ci is a sender that the cluster has authenticated.
var ci = &user.DefaultInfo{Name: "system:serviceaccount:ci:release", Groups: []string{user.AllAuthenticated}}

// pipeline is a Deliverer with fakes that note their calls in a journal.
type pipeline struct {
	*Deliverer
	*fakes
}

type fakes struct {
	mu      sync.Mutex // targets are written concurrently with each other and with the record
	journal []string

	// What the fakes return and do: onStep gets the context of "record", "write" and "update".
	onMutate, onValidate, onRecord, onUpdate func(*postern.WebhookDelivery) error
	resolveErr, writeErr, contestErr         error
	onGet                                    func() (*postern.WebhookDelivery, error)
	outcome                                  target.Result
	matches                                  func(target.Request) ([]target.Match, error)
	nothingIn                                string              // a namespace in which nothing matches
	atTarget                                 map[string]atTarget // by name, in place of outcome and writeErr
	onStep                                   func(ctx context.Context, step string)

	// What the fakes received.
	attributes admission.Attributes
	request    target.Request
	requests   []target.Request         // in any order, without OnTakenBack
	takeBack   []func(target.TakenBack) // of the requests
	events     []string
	stamps     int
	// resolvedLive is whether the target was read for the last delivery.
	resolvedLive bool
}

// atTarget is the outcome of a write.
type atTarget struct {
	outcome target.Result
	err     error
}

// newPipeline returns a pipeline in which everything succeeds. The namespace demo has a secret for all senders, and
// strict has one for a sender and one for a target.
func newPipeline(config credential.Config) *pipeline {
	nothing := func(*postern.WebhookDelivery) error { return nil }
	f := &fakes{
		onMutate: nothing, onValidate: nothing, onRecord: nothing, onUpdate: nothing,
		onStep: func(context.Context, string) {},
		outcome: target.Result{
			Changes: []target.Change{{Field: "ref", New: "v2.0.0"}}, Previous: "v1.0.0", Held: true,
			Reason: target.ReasonRequested, Message: "it was written",
		},
	}
	f.matches = func(target.Request) ([]target.Match, error) { return nil, nil }
	f.onGet = func() (*postern.WebhookDelivery, error) {
		return nil, apierrors.NewNotFound(postern.Resource("webhookdeliveries"), "release")
	}
	secrets := &credential.Secrets{}
	secrets.Set("demo", map[string][]byte{"hmac": []byte(secret), "webhook.quay-secret": []byte(secret)})
	secrets.Set("strict", map[string][]byte{
		"webhook.github-secret": []byte(secret), "applications.shop.hmac": []byte(secret),
	})
	return &pipeline{New(Config{
		Verifier: credential.NewVerifier(config, secrets), Secrets: secrets,
		Admission: fakeAdmission{f}, Targets: fakeTargets{f},
		Records: fakeRecords{f}, Events: fakeEvents{f}, MaxPayloadBytes: 1 << 10, Now: func() time.Time { return now },
	}), f}
}

// newDefaultPipeline is newPipeline with the default credential flags.
func newDefaultPipeline() *pipeline {
	return newPipeline(credential.Config{IdentityIsCredential: true, RequireSecret: true})
}

// Deliver is Deliverer.Deliver of a request that was built without a delivery.
func (p *pipeline) Deliver(
	ctx context.Context, delivery *postern.WebhookDelivery, r Request, dryRun bool,
) (*postern.WebhookDelivery, error) {
	r.Delivery, r.DryRun = delivery, dryRun
	return p.Deliverer.Deliver(ctx, &r)
}

// DeliverToNamespaces is Deliverer.DeliverToNamespaces of a request that was built without a delivery.
func (p *pipeline) DeliverToNamespaces(
	ctx context.Context, source string, namespaces []string, r Request,
) (FanoutResult, error) {
	r.Delivery = &postern.WebhookDelivery{Spec: postern.WebhookDeliverySpec{Source: source}}
	return p.Deliverer.DeliverToNamespaces(ctx, &r, namespaces)
}

// receiveOnly runs only the stages verify and decode.
func (p *pipeline) receiveOnly(ctx context.Context, delivery *postern.WebhookDelivery, r Request) error {
	r.Delivery = delivery
	err := p.receive(ctx, &r)
	p.observeError(ctx, delivery, err)
	return err
}

func (f *fakes) note(dryRun bool, words ...any) {
	line := fmt.Sprint(words...)
	if dryRun {
		line += ", dry run"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.journal = append(f.journal, line)
}

// calls returns the journal after all updates.
func (p *pipeline) calls() []string {
	p.Drain()
	return p.journal
}

// lastCall returns the last line of the journal after all updates.
func (p *pipeline) lastCall() string {
	journal := p.calls()
	return journal[len(journal)-1]
}

// writeSlowly makes each write take so long that the delivery is recorded as Pending. It needs a fake clock.
func (p *pipeline) writeSlowly() {
	then := p.onStep
	p.onStep = func(ctx context.Context, step string) {
		if step == "write" {
			advance(2 * pendingDelay)
		}
		then(ctx, step)
	}
}

// testBothWays runs a test with targets that are written so soon that a delivery is recorded once, and with slow ones,
// so that it is recorded as Pending first. arrange prepares a pipeline. The clock is fake.
func testBothWays(t *testing.T, test func(t *testing.T, arrange func(*pipeline))) {
	t.Helper()
	for name, arrange := range map[string]func(*pipeline){
		"recorded once": func(*pipeline) {}, "recorded as Pending first": (*pipeline).writeSlowly,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, arrange) })
		})
	}
}

type fakeAdmission struct{ *fakes }

func (f fakeAdmission) Handles(operation admission.Operation) bool {
	return operation == admission.Create
}

func (f fakeAdmission) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	f.note(a.IsDryRun(), "mutate")
	f.mu.Lock()
	f.attributes = a
	f.mu.Unlock()
	return f.onMutate(a.GetObject().(*postern.WebhookDelivery))
}

func (f fakeAdmission) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	f.note(a.IsDryRun(), "validate")
	return f.onValidate(a.GetObject().(*postern.WebhookDelivery))
}

type fakeTargets struct{ *fakes }

func (f fakeTargets) Resolve(_ context.Context, key postern.TargetKey, live bool) error {
	f.note(false, "resolve ", key)
	f.mu.Lock()
	f.resolvedLive = live
	f.mu.Unlock()
	return f.resolveErr
}

// Choose chooses the last request.
func (f fakeTargets) Choose(_ postern.TargetKey, requests []target.Request) []int {
	return []int{len(requests) - 1}
}

func (f fakeTargets) Write(
	ctx context.Context, key postern.TargetKey, requests []target.Request, dryRun bool,
) []target.Result {
	results := make([]target.Result, len(requests))
	for i, request := range requests {
		request.Since = time.Time{} // from another clock
		result, err := f.writeOne(ctx, key, request, dryRun)
		result.Err = err
		results[i] = result
	}
	return results
}

func (f fakeTargets) writeOne(
	ctx context.Context, key postern.TargetKey, request target.Request, dryRun bool,
) (target.Result, error) {
	f.note(dryRun, "write ", key, " ", request.Ref)
	f.mu.Lock()
	f.takeBack = append(f.takeBack, request.OnTakenBack)
	request.OnTakenBack = nil // functions can't be compared
	f.request, f.requests = request, append(f.requests, request)
	f.mu.Unlock()
	f.onStep(ctx, "write")
	if at, found := f.atTarget[key.Name]; found {
		return at.outcome, at.err
	}
	return f.outcome, f.writeErr
}

func (f fakeTargets) IsHeld(key postern.TargetKey) bool { return f.atTarget[key.Name].outcome.OnHold }

// Contest lets each request replace those received before it.
func (f fakeTargets) Contest(
	_ context.Context, key postern.TargetKey, requests []target.Request,
) ([]target.Result, error) {
	results := make([]target.Result, len(requests))
	for i, r := range requests {
		isLater := func(other target.Request) bool { return other.Received.After(r.Received) }
		if slices.ContainsFunc(requests, isLater) {
			results[i] = target.Result{Reason: target.ReasonSuperseded, Message: "replaced at " + key.Name}
		}
	}
	return results, f.contestErr
}

// Stamp returns received, and one more microsecond in each further call.
func (f fakeTargets) Stamp() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stamps++
	return received.Add(time.Duration(f.stamps-1) * time.Microsecond)
}

func (f fakeTargets) RecordHeld(key postern.TargetKey, requests ...target.Request) {
	for _, request := range requests {
		what := request.Ref
		if request.Image != nil {
			what = request.Image.Name() + ":" + what
		}
		f.note(false, "held ", key, " ", what, " ", request.Received.Sub(received))
	}
}

func (f fakeTargets) RecordOwed(key postern.TargetKey, requests ...target.Request) {
	for _, request := range requests {
		f.note(false, "owed ", key, " ", request.Ref, " ", request.Received.Sub(received))
	}
}

func (f fakeTargets) Matches(namespace string, request target.Request) ([]target.Match, error) {
	f.note(false, "match ", namespace, " ", request.Ref)
	if namespace == f.nothingIn {
		return nil, nil
	}
	return f.matches(request)
}

type fakeRecords struct{ *fakes }

// Create generates a name if there is none, as the storage does.
func (f fakeRecords) Create(
	ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool,
) (*postern.WebhookDelivery, error) {
	f.note(dryRun, "record ", delivery.Status.Phase)
	f.onStep(ctx, "record")
	if err := f.onRecord(delivery); err != nil {
		return nil, err
	}
	created := delivery.DeepCopy()
	if created.Name == "" {
		created.Name = created.GenerateName + "x"
	}
	return created, nil
}

func (f fakeRecords) Get(_ context.Context, namespace, name string) (*postern.WebhookDelivery, error) {
	f.note(false, "get ", namespace, "/", name)
	return f.onGet()
}

func (f fakeRecords) UpdateStatus(
	ctx context.Context, delivery *postern.WebhookDelivery,
) (*postern.WebhookDelivery, error) {
	f.note(false, "update ", delivery.Status.Phase)
	f.onStep(ctx, "update")
	if err := f.onUpdate(delivery); err != nil {
		return nil, err
	}
	return delivery.DeepCopy(), nil
}

type fakeEvents struct{ *fakes }

func (f fakeEvents) Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any) {
	name := func(obj runtime.Object) string {
		r := obj.(*corev1.ObjectReference)
		return fmt.Sprintf("%s %s %s/%s", r.APIVersion, r.Kind, r.Namespace, r.Name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, fmt.Sprintf("%s %s %s | %s | %s | %s",
		eventType, reason, action, name(regarding), name(related), fmt.Sprintf(note, args...)))
}

// toPlant returns a delivery to the endpoint of the GatewaySync plant.
func toPlant() *postern.WebhookDelivery {
	return &postern.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo"},
		Spec: postern.WebhookDeliverySpec{
			Target: &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: "plant"},
		},
	}
}

// release returns a request for v2.0.0 as a CI job sends it.
func release() Request {
	return Request{Header: http.Header{}, Body: []byte(`{"ref":"v2.0.0"}`), User: ci}
}

// ping returns a request that requests nothing.
func ping() Request {
	return Request{Header: http.Header{"X-Github-Event": {"ping"}}, Body: []byte(`{}`), User: ci}
}

// advance advances the fake clock of a test.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the clock is fake
}
