// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package delivery is the pipeline of every webhook, for all endpoints:
//
//	verify → decode → deduplicate → admit → resolve → execute → observe
//
// Each stage is a file and a method. Deliver runs all of them; the other entry points begin or end it elsewhere:
// DeliverToNamespaces receives a webhook once for several namespaces, Redeliver has no payload, and ReceiveObject and
// Execute are the two halves for a delivery that is created as an object, which the framework admits in between. Resume
// retries a pending delivery from resolve on. The package must not depend on HTTP paths, on how records are stored or
// on how targets are patched: the endpoints, Records and Targets do.
package delivery

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/tools/events"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/fairness"
	"postern.dev/postern/pkg/target"
)

// Targets finds and writes the targets of deliveries.
type Targets interface {
	// Resolve returns a NotFound error if the object does not exist. If live is set it reads the object, for Choose.
	Resolve(ctx context.Context, key postern.TargetKey, live bool) error
	// Matches returns the objects in a namespace that want the request.
	Matches(namespace string, request target.Request) ([]target.Match, error)
	// Choose returns the indexes of the requests, of several for git refs, that are written to a named object.
	Choose(key postern.TargetKey, requests []target.Request) []int
	// Write makes the object hold the requests, and returns one result per request. A dry run writes nothing.
	Write(ctx context.Context, key postern.TargetKey, requests []target.Request, dryRun bool) []target.Result
	// Contest finds, among requests that are held at an object, those that others replace. Their results have the
	// reason Superseded; those of the others are empty.
	Contest(ctx context.Context, key postern.TargetKey, requests []target.Request) ([]target.Result, error)
	// IsHeld reports whether the object is held, or unknown, by what was last seen of it.
	IsHeld(key postern.TargetKey) bool
	// Stamp returns a time of receipt in whole microseconds. It is later than every time returned before.
	Stamp() time.Time
	// RecordHeld notes that, according to a record, the object held what was requested.
	RecordHeld(key postern.TargetKey, requests ...target.Request)
	// RecordOwed notes that, according to a record, git refs could not be written to the object.
	RecordOwed(key postern.TargetKey, requests ...target.Request)
}

// Records stores deliveries.
type Records interface {
	// Create returns an AlreadyExists error if the name is taken.
	Create(ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool) (*postern.WebhookDelivery, error)
	// Get returns a record from the storage, not from a cache, or a NotFound error.
	Get(ctx context.Context, namespace, name string) (*postern.WebhookDelivery, error)
	// UpdateStatus returns a Conflict error if the record has changed since it was read.
	UpdateStatus(ctx context.Context, delivery *postern.WebhookDelivery) (*postern.WebhookDelivery, error)
}

// CauseNoRoom is the cause in a 429 error for a delivery whose namespace has no room for its record.
const CauseNoRoom metav1.CauseType = "NoRoom"

// Work gives each flow its slots of the processors.
type Work interface {
	// Begin waits for a slot of a flow. Call end when the CPU-bound work is done. The error is for the client.
	Begin(ctx context.Context, flow fairness.Flow) (end func(), err error)
	// Await is Begin for a delivery that is already accepted: it waits until ctx ends.
	Await(ctx context.Context, flow fairness.Flow) (end func(), err error)
}

// unbounded is a Work without limits.
type unbounded struct{}

func (unbounded) Begin(context.Context, fairness.Flow) (end func(), err error) { return func() {}, nil }
func (unbounded) Await(context.Context, fairness.Flow) (end func(), err error) { return func() {}, nil }

// Config configures a Deliverer. Fields are required unless documented otherwise.
type Config struct {
	Verifier *credential.Verifier
	// Secrets reports which targets accept only their own secret.
	Secrets *credential.Secrets
	// Admission is the server's admission chain. The deliveries of all endpoints pass it.
	Admission admission.Interface
	// Objects lets admission plugins convert a delivery to its external versions.
	Objects admission.ObjectInterfaces
	Targets Targets
	Records Records
	// Shared is true if other replicas may use the same records.
	Shared bool
	// Events receives a Kubernetes Event for each target that is written or fails.
	Events events.EventRecorder
	// MaxPayloadBytes bounds a payload.
	MaxPayloadBytes int64
	// Accepting returns the error for a delivery to a namespace that accepts none at the moment; nil accepts all.
	Accepting func(namespace string) error
	// Work limits the concurrent work of each flow; nil is no limit.
	Work Work
	// RefreshesPerSecond limits how many Applications of a namespace a push refreshes; 0 is no limit.
	RefreshesPerSecond float64
	// Tracing receives a span of each delivery and of each stage; nil disables tracing.
	Tracing trace.TracerProvider
	// Now returns the current time.
	Now func() time.Time
}

// Deliverer takes webhooks from an endpoint to their targets. It is safe for concurrent use.
type Deliverer struct {
	Config
	// statusUpdates stores final statuses.
	statusUpdates errgroup.Group
	inFlight      inFlightCalls
	receipts      receipts
	unstored      unstored
	repeats       *repeatCounter
	takenBack     takenBackUpdates
	normalEvents  eventLimiter
	warningEvents eventLimiter
	pacer         pacer
	tracer        trace.Tracer
}

// New returns a Deliverer. Call Drain on shutdown.
func New(config Config) *Deliverer {
	if config.Tracing == nil {
		config.Tracing = noop.NewTracerProvider()
	}
	if config.Accepting == nil {
		config.Accepting = func(string) error { return nil }
	}
	if config.Work == nil {
		config.Work = unbounded{}
	}
	d := &Deliverer{
		Config: config, receipts: newReceipts(), unstored: newUnstored(), repeats: newRepeatCounter(config.Records),
		normalEvents: newNormalEvents(), warningEvents: newWarningEvents(),
		pacer: newPacer(config.RefreshesPerSecond), tracer: config.Tracing.Tracer(instrumentation),
	}
	d.statusUpdates.SetLimit(maxStatusUpdates)
	d.takenBack.updates.SetLimit(maxTakenBackUpdates)
	return d
}

// Deliver takes a webhook through all stages. It returns the record, an error for the client, or both if the delivery
// is recorded as failed.
func (d *Deliverer) Deliver(ctx context.Context, r *Request) (record *postern.WebhookDelivery, err error) {
	ctx, span := d.tracer.Start(ctx, r.spanName())
	defer span.End()
	defer func() { d.finish(r, record, err) }()
	defer func() { d.observe(ctx, r, record, err) }()
	if err := d.receive(ctx, r); err != nil { // verify and decode
		return nil, err
	}
	if err := d.deduplicate(ctx, r); err != nil {
		return nil, err
	}
	if err := d.admit(ctx, r); err != nil {
		return nil, err
	}
	return d.execute(ctx, r) // resolve, write and record
}

// receive verifies the sender and decodes its request, unless that is done. It sets spec.events and the status of the
// delivery. It looks up nothing before the sender is verified.
func (d *Deliverer) receive(ctx context.Context, r *Request) error {
	switch {
	case r.received && ctx.Err() != nil: // a new delivery would have a timeout of its own
		return answerUnavailable("other namespaces took too long", ctx.Err())
	case r.received:
		return nil
	case r.redelivery:
		return d.receiveAgain(ctx, r)
	}
	if err := r.checkDryRun(); err != nil {
		return err
	}
	end, err := d.Work.Begin(ctx, r.flow())
	if err != nil {
		return err
	}
	defer end()
	method, sourceKnown, err := d.verifySource(ctx, r)
	if err != nil {
		return err
	}
	if err := d.decode(ctx, r, method); err != nil {
		return err
	}
	if !sourceKnown {
		if err := d.confirm(ctx, r, method); err != nil {
			return err
		}
	}
	return r.Forbidden
}

// confirm verifies a sender again whose source was derived from the shape of the body only. A secret of one source must
// not authenticate another.
func (d *Deliverer) confirm(ctx context.Context, r *Request, method credential.Method) error {
	confirmed, err := d.verify(ctx, r)
	switch {
	case err != nil:
		r.Delivery.Status.Sender = nil
		return err
	case confirmed == credential.MethodHMAC && method != confirmed:
		return d.decode(ctx, r, confirmed) // an HMAC proves less of the request than the first method
	}
	return nil
}
