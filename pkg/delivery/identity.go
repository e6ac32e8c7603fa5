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
	// maxNames bounds how many names a delivery may have by its identity. Objects of the same names may be there already.
	maxNames = 4
	// nameDigits is how much of an identity a name holds: 80 bits. In a namespace of a million deliveries two meet by
	// chance once in a trillion, and then the second one gets another name.
	nameDigits = 20
	// lookUpTimeout bounds the look for the record of an earlier delivery.
	lookUpTimeout = 3 * time.Second
)

// setIdentity gives a delivery the identity that its repeats share: the type of sender, the sender's id, the payload and the
// target. It names it after that, so that replicas agree on the name. Without an id there are no repeats, and it returns
// false.
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

// nthName is the nth name of a delivery that has an identity.
func nthName(delivery *postern.WebhookDelivery, n int) string {
	digits := delivery.Status.Identity
	if n > 0 {
		digest := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", digits, n))
		digits = hex.EncodeToString(digest[:])
	}
	return delivery.Spec.Source + "-" + digits[:nameDigits]
}

// findFirst returns the record of the delivery that this one repeats, nil if there is none, as etcd has it now. The delivery
// then has the name of that record, or one that is free. A record that has a name but not the identity is of something
// else, which anyone may have made who may create objects.
func (d *Deliverer) findFirst(ctx context.Context, delivery *postern.WebhookDelivery) (*postern.WebhookDelivery, error) {
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	for n := range maxNames {
		delivery.Name, delivery.GenerateName = nthName(delivery, n), ""
		found, err := d.Records.Get(ctx, delivery.Namespace, delivery.Name)
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil
		case err != nil:
			return nil, answerUnavailable("it could not be looked up whether this is a repeat", err)
		case found.Status.Identity == delivery.Status.Identity:
			return found, nil
		}
	}
	// All names are taken. To be taken for new is better than to be lost.
	delivery.Name, delivery.GenerateName = "", delivery.Spec.Source+"-"
	return nil, nil
}
