// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
)

const (
	// maxNames bounds the names that a delivery may have by its identity. Other objects may have taken some of them.
	maxNames = 4
	// nameDigits is how many hex digits of an identity a name has: 80 bits. Among a million deliveries in a namespace,
	// two collide with a probability of one in a trillion, and then the second one gets another name.
	nameDigits = 20
	// lookUpTimeout bounds the search for the record of an earlier delivery.
	lookUpTimeout = 3 * time.Second
)

// setIdentity sets the identity that a delivery shares with its repeats: a hash of the type of sender, the sender's id,
// the payload and the target. It derives the name from it, so that replicas agree on the name. It returns false if
// there is no id, because repeats then can't be detected.
func setIdentity(delivery *postern.WebhookDelivery, deliveryID string) bool {
	if deliveryID == "" || delivery.Status.Payload == nil {
		return false
	}
	to := postern.TargetReference{}
	if delivery.Spec.Target != nil {
		to = *delivery.Spec.Target
	}
	identity := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%s",
		delivery.Spec.Source, to.Kind, to.Name, deliveryID, delivery.Status.Payload.SHA256))
	delivery.Status.Identity = hex.EncodeToString(identity[:])
	delivery.Name, delivery.GenerateName = nthName(delivery, 0), ""
	return true
}

// nthName returns the nth name of a delivery that has an identity.
func nthName(delivery *postern.WebhookDelivery, n int) string {
	digits := delivery.Status.Identity
	if n > 0 {
		digest := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", digits, n))
		digits = hex.EncodeToString(digest[:])
	}
	return delivery.Spec.Source + "-" + digits[:nameDigits]
}

// findFirst returns the stored record of the delivery that this one repeats, or nil. It sets the name of the delivery
// to the name of that record, or to a free one. A record with the name but not the identity is unrelated: every client
// that may create objects may have made it.
func (d *Deliverer) findFirst(
	ctx context.Context, delivery *postern.WebhookDelivery,
) (*postern.WebhookDelivery, error) {
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	for n := range maxNames {
		delivery.Name, delivery.GenerateName = nthName(delivery, n), ""
		found, err := d.Records.Get(ctx, delivery.Namespace, delivery.Name)
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil
		case err != nil:
			return nil, answerUnavailable("could not check whether the delivery is a repeat", err)
		case found.Status.Identity == delivery.Status.Identity:
			return found, nil
		}
	}
	// All names are taken. A repeat that passes for new is better than a lost delivery.
	delivery.Name, delivery.GenerateName = "", delivery.Spec.Source+"-"
	return nil, nil
}
