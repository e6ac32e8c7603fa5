// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/lru"

	"postern.dev/postern/apis/postern"
)

// maxReceipts bounds the remembered receipts, of about 300 bytes each. The least recently used ones are forgotten.
const maxReceipts = 4096

// receipts remembers when a delivery with an identity was received that may have been written but could not be
// recorded. Its sender has to send it again, and no record identifies the repeat. With a new receipt, the repeat would
// overwrite what was received in between. It is safe for concurrent use.
type receipts struct{ first *lru.Cache }

func newReceipts() receipts { return receipts{lru.New(maxReceipts)} }

// of returns when a delivery was first received, or nil if that is unknown.
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

// forget drops the receipt of a delivery whose record now holds it.
func (r receipts) forget(delivery *postern.WebhookDelivery) { r.first.Remove(callKey(delivery)) }
