// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package story

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/generated/clientset/versioned/fake"
)

// The page tells a story again and again, and a namespace may have thousands of records.
func TestFindSuccessors_ReadsTheRecordsOnceForAllTargets(t *testing.T) {
	const targets = maxSuccessors + 1
	record := func(name, ref string, result v1alpha1.TargetResultType, number int64) *v1alpha1.WebhookDelivery {
		received := metav1.NewMicroTime(time.Unix(number, 0))
		d := &v1alpha1.WebhookDelivery{
			ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, UID: types.UID(name)},
			Spec:       v1alpha1.WebhookDeliverySpec{Events: []v1alpha1.DeliveryEvent{{Ref: ref}}},
			Status:     v1alpha1.WebhookDeliveryStatus{ReceivedTime: &received},
		}
		for i := range targets {
			d.Status.Targets = append(d.Status.Targets, v1alpha1.TargetResult{
				Kind: v1alpha1.TargetGatewaySync, Name: fmt.Sprint("plant-", i), Ref: ref, Result: result,
			})
		}
		return d
	}
	told := record("one", "v1", v1alpha1.TargetSuperseded, 1)
	client := fake.NewSimpleClientset(told, record("two", "v2", v1alpha1.TargetWritten, 2),
		record("three", "v3", v1alpha1.TargetWritten, 3), record("four", "v4", v1alpha1.TargetFailed, 4))
	s := &Story{Delivery: told}
	for _, r := range told.Status.Targets {
		s.Targets = append(s.Targets, TargetStory{TargetResult: r})
	}
	findSuccessors(t.Context(), &cli.Cluster{Postern: client}, s)
	for i := range s.Targets {
		want := "three"
		if i >= maxSuccessors {
			want = ""
		}
		if got := s.Targets[i].SupersededBy; got != want {
			t.Errorf("target %d is superseded by %q, want %q", i, got, want)
		}
	}
	if lists := len(client.Actions()); lists != 1 {
		t.Errorf("the records were listed %d times", lists)
	}
}
