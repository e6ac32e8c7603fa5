// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
)

// reading is what a webhook asks for, as far as its sender has proved it.
type reading struct {
	delivery   *postern.WebhookDelivery
	deliveryID string
	err        error // why it can't be read so
}

// acceptedReading is a webhook as one of the namespaces reads it that accepted it.
type acceptedReading struct {
	*reading
	credential.Acceptance
}

// readingKey is all that namespaces can differ in when they read a webhook. Most do not.
type readingKey struct {
	signed       bool
	registryURLs string
}

// readAmong decodes a webhook once for all namespaces that read it alike. The error is that of a webhook that no namespace
// can read. Without any namespace it is decoded too, so that a sender learns of its mistakes.
func (d *Deliverer) readAmong(ctx context.Context, delivery *postern.WebhookDelivery, accepted []credential.Acceptance, in Incoming) ([]acceptedReading, error) {
	if len(accepted) == 0 {
		return nil, d.read(ctx, delivery, credential.Acceptance{}, in).err
	}
	readings := map[readingKey]*reading{}
	var read []acceptedReading
	var first *reading
	for _, a := range accepted {
		key := readingKey{a.Method == credential.MethodHMAC, d.Secrets.RegistryURLs(a.Namespace, delivery.Spec.Source)}
		r := readings[key]
		if r == nil {
			r = d.read(ctx, delivery.DeepCopy(), a, in)
			readings[key] = r
		}
		if first == nil || first.err != nil {
			first = r
		}
		if r.err == nil {
			read = append(read, acceptedReading{r, a})
		}
	}
	*delivery = *first.delivery.DeepCopy() // for the log and the answer, if it goes nowhere
	return read, first.err
}

func (d *Deliverer) read(ctx context.Context, delivery *postern.WebhookDelivery, by credential.Acceptance, in Incoming) *reading {
	delivery.Namespace = by.Namespace
	deliveryID, err := d.decode(ctx, delivery, in, by.Method)
	delivery.Namespace = ""
	return &reading{delivery, deliveryID, err}
}
