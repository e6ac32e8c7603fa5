// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package delivery is the pipeline that every webhook goes through, whichever door it came in by:
//
//	receive (verify, decode) → admit → carry (resolve, record, write)
//
// What a sender repeats is found before it is written, see underway.go and repeat.go.
//
// The stages are in files of these names; carry has its parts in tasks.go (which targets), write.go and close.go (the final
// status). What stays pending is taken up again by resume.go. The package must not know HTTP paths, how records are stored,
// or how a target is patched; doors, Records and Targets do.
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

// Targets finds and writes the objects that deliveries are for.
type Targets interface {
	// Resolve returns a NotFound error if the object does not exist.
	Resolve(ctx context.Context, key target.Key) error
	// Matches returns the objects in a namespace that want what is requested.
	Matches(namespace string, request target.Request) ([]target.Match, error)
	// Write makes the object hold what is requested, and returns a result of each request. In a dry run it only finds
	// out what it would do.
	Write(ctx context.Context, key target.Key, requests []target.Request, dryRun bool) []target.Result
	// Stamp returns the time of a receipt, in whole microseconds: later than every one before it.
	Stamp() time.Time
	// RecordHeld takes note that the object held what was requested, as a record tells.
	RecordHeld(key target.Key, requests ...target.Request)
}

// Records keeps deliveries.
type Records interface {
	// Create returns an AlreadyExists error if there is a record of that name.
	Create(ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool) (*postern.WebhookDelivery, error)
	// Get returns a record as it is now, not as some cache has it, or a NotFound error.
	Get(ctx context.Context, namespace, name string) (*postern.WebhookDelivery, error)
	// UpdateStatus returns a Conflict error if the record is not as it was read.
	UpdateStatus(ctx context.Context, delivery *postern.WebhookDelivery) (*postern.WebhookDelivery, error)
}

// CauseNoRoom is the cause in an error, beside 429, of a delivery whose record its namespace has no room for.
const CauseNoRoom metav1.CauseType = "NoRoom"

// Work gives each flow its turn of the processors.
type Work interface {
	// Begin waits for the turn of a flow. Call end when what keeps a processor busy is done. The error is ready to be
	// answered.
	Begin(ctx context.Context, flow fairness.Flow) (end func(), err error)
	// Await waits until ctx ends, for what was accepted before.
	Await(ctx context.Context, flow fairness.Flow) (end func(), err error)
}

// unbounded lets all work go on at once.
type unbounded struct{}

func (unbounded) Begin(context.Context, fairness.Flow) (end func(), err error) { return func() {}, nil }
func (unbounded) Await(context.Context, fairness.Flow) (end func(), err error) { return func() {}, nil }

// Config is what a Deliverer works with. Every field is needed unless it says otherwise.
type Config struct {
	Verifier *credential.Verifier
	// Secrets tells which targets take no secret but their own.
	Secrets *credential.Secrets
	// Admission is the server's chain, which deliveries of every door run through.
	Admission admission.Interface
	// Objects lets admission plugins make external versions of a delivery.
	Objects admission.ObjectInterfaces
	Targets Targets
	Records Records
	// Shared says that other replicas may use the same records.
	Shared bool
	// Events gets a Kubernetes Event about each target that is written or could not be.
	Events events.EventRecorder
	// MaxPayloadBytes bounds a payload.
	MaxPayloadBytes int64
	// Accepting returns the error that answers a delivery to a namespace while none can be taken there; nil always takes one.
	Accepting func(namespace string) error
	// Work bounds how much is worked on at a time for one flow; nil bounds nothing.
	Work Work
	// Tracing gets a span of each delivery and each of its stages; nil traces nothing.
	Tracing trace.TracerProvider
	// Now is the clock.
	Now func() time.Time
}

// Deliverer takes webhooks from a door to their target. It is safe for concurrent use.
type Deliverer struct {
	Config
	// statusUpdates are the final statuses that are being stored.
	statusUpdates errgroup.Group
	inFlight      inFlightCalls
	receipts      receipts
	unstored      unstored
	repeats       *repeatCounter
	eventLimiter  eventLimiter
	tracer        trace.Tracer
}

// New returns a Deliverer. Drain it in the end.
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
		Config: config, receipts: newReceipts(), unstored: newUnstored(), repeats: newTallies(config.Records),
		eventLimiter: newEventLimiter(), tracer: config.Tracing.Tracer(instrumentation),
	}
	d.statusUpdates.SetLimit(maxStatusUpdates)
	return d
}

// Deliver takes a delivery, which says where it goes, and what came in through all stages. It returns the record, or
// an error that is ready to be answered.
func (d *Deliverer) Deliver(ctx context.Context, delivery *postern.WebhookDelivery, in Request, dryRun bool) (*postern.WebhookDelivery, error) {
	ctx, span := d.tracer.Start(ctx, spanDeliver)
	defer span.End()
	if dryRun {
		if err := d.AllowDryRun(ctx, delivery, in.User); err != nil {
			return nil, err
		}
	}
	deliveryID, err := d.Receive(ctx, delivery, in)
	if err != nil {
		return nil, err
	}
	if setIdentity(delivery, deliveryID) {
		return d.deliverOnce(ctx, delivery, in.User, dryRun)
	}
	if err := d.admit(ctx, delivery, in.User, dryRun); err != nil {
		return nil, err
	}
	return d.execute(ctx, delivery, executeOptions{dryRun: dryRun, record: d.recordWhileWriting})
}
