// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
)

// in moves records to a namespace and names them after it.
func in(namespace string, records []postern.WebhookDelivery) []postern.WebhookDelivery {
	records = slices.Clone(records)
	for i := range records {
		records[i].Namespace = namespace
	}
	return records
}

// indexOf returns a RecordIndex of records.
func indexOf(t *testing.T, records ...postern.WebhookDelivery) *RecordIndex {
	t.Helper()
	l := NewRecordIndex()
	objects := make([]any, 0, len(records))
	for i := range records {
		objects = append(objects, &records[i])
	}
	if err := (indexStore{l}).Replace(objects, "1"); err != nil {
		t.Fatal(err)
	}
	return l
}

// bytesOf returns the bytes of JSON of records.
func bytesOf(t *testing.T, records ...postern.WebhookDelivery) int64 {
	t.Helper()
	return indexOf(t, records...).total().bytes
}

const noByteLimit = 1 << 30

func TestBacklog_RefusesNamespaceOverPendingShare(t *testing.T) {
	pending, applied := recordsOf(10, postern.DeliveryPending), recordsOf(10, postern.DeliveryApplied)
	for _, test := range []struct {
		name           string
		records        []postern.WebhookDelivery
		demo, another  string // causes
		sharePercent   int
		maxDeliveryAll int64
	}{
		{"none", nil, "", "", 50, 10},
		{"less than its share", in("demo", pending[:4]), "", "", 50, 10},
		{"its share", in("demo", pending[:5]), CauseNamespacePending, "", 50, 10},
		{"finished ones", in("demo", applied), "", "", 50, 10},
		{
			"two namespaces with their shares", slices.Concat(in("demo", pending[:4]), in("hostile", pending[:4])),
			CauseNamespacePending, "", 50, 10,
		},
		{"all, where one namespace may take all", in("demo", pending[:9]), "", "", 100, 10},
		{"the maximum", in("demo", pending), CausePending, CausePending, 100, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := NewBacklog(indexOf(t, test.records...), test.maxDeliveryAll, noByteLimit, test.sharePercent)
			for namespace, want := range map[string]string{"demo": test.demo, "another": test.another} {
				cause, err := b.Check(namespace)
				if cause != want || (err != nil) != (want != "") {
					t.Errorf("%s: got cause %q, want %q: %v", namespace, cause, want, err)
				}
				if seconds, ok := apierrors.SuggestsClientDelay(err); err != nil &&
					(!ok || seconds != 15 || !apierrors.IsTooManyRequests(err)) {
					t.Errorf("%v has Retry-After %d, want 429 with 15", err, seconds)
				}
			}
		})
	}
}

func TestBacklog_RefusesNamespaceOverBytes(t *testing.T) {
	pending, applied := recordsOf(10, postern.DeliveryPending), recordsOf(10, postern.DeliveryApplied)
	few := in("another", applied[:1])
	for _, test := range []struct {
		name     string
		records  []postern.WebhookDelivery
		maxBytes int64
		demo     string
	}{
		{"the maximum", slices.Concat(in("demo", applied), few), bytesOf(t, applied...), ""},
		{
			"more, until the oldest are deleted", slices.Concat(in("demo", applied), few), bytesOf(t, applied[:7]...),
			CauseNamespaceBytes,
		},
		{"those that are pending, its share", in("demo", pending), bytesOf(t, pending...) * 2, CauseNamespaceBytes},
		{"those that are pending, less than its share", in("demo", pending), bytesOf(t, pending...) * 3, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := NewBacklog(indexOf(t, test.records...), noByteLimit, test.maxBytes, 50)
			if cause, err := b.Check("demo"); cause != test.demo {
				t.Errorf("got cause %q, want %q: %v", cause, test.demo, err)
			}
			if cause, err := b.Check("another"); err != nil {
				t.Errorf("another namespace: got cause %q: %v", cause, err)
			}
		})
	}
}

func TestBacklog_FollowsStorage(t *testing.T) {
	d := in("demo", recordsOf(1, postern.DeliveryPending))[0]
	l := indexOf(t)
	b := NewBacklog(l, 10, noByteLimit, 1) // one, and no more
	follow := func(step string, do func(any) error, want string) {
		t.Helper()
		if err := do(d.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		if cause, _ := b.Check("demo"); cause != want {
			t.Errorf("%s: got cause %q, want %q", step, cause, want)
		}
	}
	follow("recorded", indexStore{l}.Add, CauseNamespacePending)
	follow("recorded, and reported twice", indexStore{l}.Add, CauseNamespacePending)
	d.Status.Phase = postern.DeliveryApplied
	follow("ended", indexStore{l}.Update, "")
	d.Status.Phase = postern.DeliveryPending
	follow("pending again", indexStore{l}.Update, CauseNamespacePending)
	follow("deleted", indexStore{l}.Delete, "")
	if total := l.total(); total != (usage{}) || len(l.namespaces) != 0 || len(l.entries) != 0 {
		t.Errorf("left at the end: %+v, %d namespaces, %d records", total, len(l.namespaces), len(l.entries))
	}
}
