// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/lru"

	"postern.dev/postern/apis/postern"
)

// maxReceipts bounds how many receipts are remembered; of more, those noted longest ago are forgotten. One takes some
// 300 bytes.
const maxReceipts = 4096

// receipts remember when deliveries came in that have an identity, may have been written, and could not be recorded.
// Their senders are told to send them again, and there is no record by which the repeat would be known: with a
// receipt of its own it would be written over what was received since. It is safe for concurrent use.
type receipts struct{ first *lru.Cache }

func newReceipts() receipts { return receipts{lru.New(maxReceipts)} }

// of returns when a delivery came in for the first time, nil if that is not known.
func (r receipts) of(delivery *postern.WebhookDelivery) *metav1.MicroTime {
	first, known := r.first.Get(callKey(delivery))
	if !known {
		return nil
	}
	received := first.(metav1.MicroTime)
	return &received
}

// note remembers the receipt of a delivery.
func (r receipts) note(delivery *postern.WebhookDelivery) {
	if delivery.Status.Identity != "" && delivery.Status.ReceivedTime != nil {
		r.first.Add(callKey(delivery), *delivery.Status.ReceivedTime)
	}
}

// forget forgets a delivery, whose record tells its receipt from now on.
func (r receipts) forget(delivery *postern.WebhookDelivery) { r.first.Remove(callKey(delivery)) }
