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
	// backlogRetryAfterSeconds is when a sender may try again: what is Pending is tried again about as often.
	backlogRetryAfterSeconds = 15

	// overshootPercent is how far the bytes of all records may exceed their bound: the oldest are deleted when they do,
	// but that takes time.
	overshootPercent = 25
)

// Causes for which a delivery is refused, as metrics tell them.
const (
	CausePending          = "Backlog"          // too many are Pending in all namespaces together
	CauseNamespacePending = "NamespacePending" // too many are Pending in this one
	CauseNamespaceBytes   = "NamespaceBytes"   // the records of this one are too large
)

// Backlog refuses deliveries whose records there is no room for. Nothing may delete a record that is Pending.
type Backlog struct {
	// Index knows what there is.
	Index *RecordIndex
	// Max is how many may be Pending, and MaxBytes how many bytes of JSON all records may take.
	Max, MaxBytes int64
	// SharePercent is how much of these one namespace may take; see fairness.Share.
	SharePercent int

	notices *fairness.Notices
}

// NewBacklog returns a Backlog.
func NewBacklog(index *RecordIndex, maxPending, maxBytes int64, sharePercent int) *Backlog {
	return &Backlog{Index: index, Max: maxPending, MaxBytes: maxBytes, SharePercent: sharePercent, notices: fairness.NewNotices()}
}

// Check returns why a delivery to a namespace is refused, and the error that answers it with 429; or no error. One more
// could be stored, but not for ever. It is safe for concurrent use.
func (b *Backlog) Check(namespace string) (cause string, err error) {
	one, all, namespaces := b.Index.usageOf(namespace)
	switch {
	case all.pending >= b.Max:
		return CausePending, tooManyRequests("too many deliveries wait until their targets can be written (--max-deliveries bounds them)")
	case fairness.Share{Total: b.Max, Percent: b.SharePercent}.Check(one.pending, all.pending, 1) != nil:
		cause, err = CauseNamespacePending, tooManyRequests("as many deliveries in this namespace wait until their targets can be written as it may have "+
			"(--max-namespace-share-percent says how much of --max-deliveries)")
	case fairness.Share{Total: b.MaxBytes, Percent: b.SharePercent}.Check(one.pendingBytes, all.pendingBytes, 1) != nil:
		cause, err = CauseNamespaceBytes, tooManyRequests("the deliveries in this namespace that wait until their targets can be written take as many bytes "+
			"as they may (--max-namespace-share-percent says how much of --max-delivery-bytes)")
	case all.bytes > b.MaxBytes/100*(100+overshootPercent) && one.bytes*int64(namespaces) >= all.bytes:
		cause, err = CauseNamespaceBytes, tooManyRequests(
			"the deliveries of all namespaces take more than --max-delivery-bytes, and those of this one more than most")
	default:
		return "", nil
	}
	b.notices.Refused(fairness.Flow{Namespace: namespace}, cause,
		"pending", one.pending, "pendingBytes", one.pendingBytes, "bytes", one.bytes)
	return cause, err
}

// tooManyRequests answers 429. It tells no number: anyone who may deliver to a namespace may read the answer.
func tooManyRequests(message string) error {
	err := apierrors.NewTooManyRequests(message+": send it again later", backlogRetryAfterSeconds)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: delivery.CauseNoRoom}}
	return err
}
