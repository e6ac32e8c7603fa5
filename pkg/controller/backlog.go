// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/fairness"
)

const (
	// backlogRetryAfterSeconds is when a sender may retry; pending deliveries are retried about as often.
	backlogRetryAfterSeconds = 15

	// overshootPercent is how far the bytes of all records may exceed their limit, since eviction takes time.
	overshootPercent = 25
)

// Causes of refused deliveries, as in metrics.
const (
	CausePending          = "Backlog"          // too many pending deliveries in all namespaces together
	CauseNamespacePending = "NamespacePending" // too many pending deliveries in the namespace
	CauseNamespaceBytes   = "NamespaceBytes"   // the records of the namespace are too large
)

// Backlog refuses deliveries whose records have no room. Pending and held records can't be deleted to make room.
type Backlog struct {
	// Index is the usage of all records.
	Index *RecordIndex
	// Max is how many deliveries may be pending or held, and MaxBytes how many bytes of JSON all records may take.
	Max, MaxBytes int64
	// SharePercent is how much of these one namespace may take; see fairness.Share.
	SharePercent int

	notices *fairness.Notices
}

// NewBacklog returns a Backlog.
func NewBacklog(index *RecordIndex, maxPending, maxBytes int64, sharePercent int) *Backlog {
	return &Backlog{
		Index: index, Max: maxPending, MaxBytes: maxBytes, SharePercent: sharePercent, notices: fairness.NewNotices(),
	}
}

// Check returns the cause and the 429 error for a delivery that a namespace can't accept, or none. It refuses while
// there is still room for a few more. It is safe for concurrent use.
func (b *Backlog) Check(namespace string) (cause string, err error) {
	one, all, namespaces := b.Index.usageOf(namespace)
	bytes := fairness.Share{Total: b.MaxBytes, Percent: b.SharePercent}
	switch {
	case all.unfinished >= b.Max:
		return CausePending, tooManyRequests("too many deliveries are pending or held (--max-deliveries bounds them)")
	case fairness.Share{Total: b.Max, Percent: b.SharePercent}.Check(one.unfinished, all.unfinished, 1) != nil:
		cause, err = CauseNamespacePending, tooManyRequests("too many deliveries in this namespace are pending or "+
			"held (--max-namespace-share-percent says how much of --max-deliveries it may have)")
	case bytes.Check(one.unfinishedBytes, all.unfinishedBytes, 1) != nil:
		cause, err = CauseNamespaceBytes, tooManyRequests("the pending and held deliveries in this namespace take "+
			"too many bytes (--max-namespace-share-percent says how much of --max-delivery-bytes it may have)")
	case all.bytes > b.MaxBytes/100*(100+overshootPercent) && one.bytes*int64(namespaces) >= all.bytes:
		cause, err = CauseNamespaceBytes, tooManyRequests("the deliveries of all namespaces take more than "+
			"--max-delivery-bytes, and this namespace uses at least the average")
	default:
		return "", nil
	}
	b.notices.Refused(fairness.Flow{Namespace: namespace}, cause,
		"pending", one.unfinished-one.held, "held", one.held, "pendingBytes", one.unfinishedBytes, "bytes", one.bytes)
	return cause, err
}

// tooManyRequests returns 429. It discloses no numbers: everyone who may deliver to a namespace can read the answer.
func tooManyRequests(message string) error {
	err := apierrors.NewTooManyRequests(message+": send it again later", backlogRetryAfterSeconds)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: delivery.CauseNoRoom}}
	return err
}
