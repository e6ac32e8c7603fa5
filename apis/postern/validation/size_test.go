// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/install"
	"postern.dev/postern/apis/postern/v1alpha1"
)

func TestCheckSize_CountsStoredBytes(t *testing.T) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	codec := serializer.NewCodecFactory(scheme).LegacyCodec(v1alpha1.SchemeGroupVersion)
	d := received()
	d.Annotations = map[string]string{"why": "<&>\u2028\x01ü"}
	d.CreationTimestamp = metav1.NewTime(time.Unix(1_000_000, 0))
	d.Spec.Events[0].Time = &metav1.MicroTime{Time: time.Unix(1_000_000, 5000)}
	d.Status.Targets = []postern.TargetResult{{Kind: "Application", Name: "shop", Message: "a & b"}}
	stored, err := runtime.Encode(codec, d)
	if err != nil {
		t.Fatal(err)
	}
	d.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}} // not stored
	if got, err := EncodedBytes(d); err != nil || got != len(stored) {
		t.Errorf("got %d, %v, want %d", got, err, len(stored))
	}
	d.ManagedFields[0].Operation = metav1.ManagedFieldsOperationApply
	if got, err := EncodedBytes(d); err != nil || got <= len(stored) {
		t.Errorf("applied: got %d, %v, want more than %d", got, err, len(stored))
	}
}

func TestCheckSize_CountsJSONEscapes(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		ok   bool
	}{
		"plain text":                  {strings.Repeat("a", 60<<10), true},
		"text that JSON escapes":      {strings.Repeat("&", 60<<10), false},
		"text that takes three bytes": {strings.Repeat("\u2027", 20<<10), true},
	} {
		t.Run(name, func(t *testing.T) {
			d := received()
			d.Annotations = map[string]string{"x": test.text}
			err := CheckSize(d)
			if ok := err == nil; ok != test.ok {
				t.Fatalf("got error %v", err)
			}
			if err != nil && !apierrors.IsRequestEntityTooLargeError(err) {
				t.Errorf("got error %v, want a 413", err)
			}
		})
	}
}

// The events of one payload, also after admission, must not exceed etcd's limit for a request.
func TestCheckSize_BoundsEventsWithRefs(t *testing.T) {
	d := received()
	d.Spec.Events = nil
	for range postern.MaxEvents {
		d.Spec.Events = append(d.Spec.Events, postern.DeliveryEvent{
			Source: "bitbucket-server", Ref: strings.Repeat("&", 250), Repository: strings.Repeat("&", 300),
		})
	}
	check(t, ValidateRecord(d), []string{"spec.events: Too long"})
}

// The changed files of a push, as long as JSON may make them, leave room for all else that a sender can fill.
func TestCheckSize_ChangedFilesFit(t *testing.T) {
	d := received()
	long := strings.Repeat("<", maxFieldBytes)
	d.Spec.Events = []postern.DeliveryEvent{{
		Source: "gitlab", Event: long, Ref: "main", RefType: postern.RefTypeBranch, Repository: long, SSHURL: long,
		Revision: long, DeliveryID: long, ChangedFiles: []string{strings.Repeat("<", postern.MaxChangedFilesBytes)},
	}}
	check(t, ValidateRecord(d), nil)
	if err := CheckSize(d); err != nil {
		t.Error(err)
	}
}
