// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package delivery is the pipeline that every webhook goes through, whichever door it came in by:
//
//	receive (verify, decode) → admit → carry (resolve, record, write)
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
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/tools/events"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/target"
)

// Targets finds and writes the objects that deliveries are for.
type Targets interface {
	// Resolve returns a NotFound error if the object does not exist.
	Resolve(ctx context.Context, key target.Key) error
	// Matches returns the objects in a namespace that want what is requested.
	Matches(namespace string, request target.Request) ([]target.Match, error)
	// Write makes the object hold what is requested. In a dry run it only finds out what it would do.
	Write(ctx context.Context, key target.Key, request target.Request, dryRun bool) (target.Outcome, error)
}

// Records keeps deliveries.
type Records interface {
	// Create returns an AlreadyExists error if there is a record of that name.
	Create(ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool) (*postern.WebhookDelivery, error)
	Get(ctx context.Context, namespace, name string) (*postern.WebhookDelivery, error)
	// UpdateStatus returns a Conflict error if the record is not as it was read.
	UpdateStatus(ctx context.Context, delivery *postern.WebhookDelivery) (*postern.WebhookDelivery, error)
}

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
	// Events gets a Kubernetes Event about each target that is written or could not be.
	Events events.EventRecorder
	// MaxPayloadBytes bounds a payload.
	MaxPayloadBytes int64
	// Tracing gets a span of each delivery and each of its stages; nil traces nothing.
	Tracing trace.TracerProvider
	// Now is the clock.
	Now func() time.Time
}

// Deliverer takes webhooks from a door to their target. It is safe for concurrent use.
type Deliverer struct {
	Config
	// closings are the final statuses that are being stored.
	closings errgroup.Group
	news     news
	tracer   trace.Tracer
}

// New returns a Deliverer. Drain it in the end.
func New(config Config) *Deliverer {
	if config.Tracing == nil {
		config.Tracing = noop.NewTracerProvider()
	}
	d := &Deliverer{Config: config, news: newNews(), tracer: config.Tracing.Tracer(instrumentation)}
	d.closings.SetLimit(maxClosings)
	return d
}

// Deliver takes a delivery, which says where it goes, and what came in through all stages. It returns the record, or
// an error that is ready to be answered.
func (d *Deliverer) Deliver(ctx context.Context, delivery *postern.WebhookDelivery, in Incoming, dryRun bool) (*postern.WebhookDelivery, error) {
	ctx, span := d.tracer.Start(ctx, spanDeliver)
	defer span.End()
	deliveryID, err := d.Receive(ctx, delivery, in)
	if err != nil {
		return nil, err
	}
	byContent := nameByContent(delivery, deliveryID)
	if err := d.admit(ctx, delivery, in.User, dryRun); err != nil {
		return nil, err
	}
	return d.carryAnd(ctx, delivery, manner{dryRun: dryRun, byContent: byContent, how: d.recordWhileWriting})
}
