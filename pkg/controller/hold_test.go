// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

// groupRecorder is a queue that only records what is added.
type groupRecorder struct {
	retryQueue
	groups []string
}

func (r *groupRecorder) Add(group string) { r.groups = append(r.groups, group) }

// A delivery to many targets is updated once and more at a hold. Each update must not settle all of its targets again.
func TestEnqueueGroups(t *testing.T) {
	heldAt := func(names ...string) *postern.WebhookDelivery {
		d := &postern.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "push"}}
		d.Status.Phase = postern.DeliveryHeld
		for _, name := range []string{"blog", "shop"} {
			result := postern.TargetResult{
				Kind: postern.TargetApplication, Name: name, Result: postern.TargetSuperseded,
			}
			if slices.Contains(names, name) {
				result.Result = postern.TargetHeld
			}
			d.Status.Targets = append(d.Status.Targets, result)
		}
		return d
	}
	const blog, shop = "demo/Application/blog", "demo/Application/shop"
	both := heldAt("blog", "shop")
	released, deleted, unlisted := both.DeepCopy(), both.DeepCopy(), both.DeepCopy()
	released.Annotations = map[string]string{postern.AnnotationHold: "false"}
	deleted.DeletionTimestamp = new(metav1.Now())
	unlisted.Status.Progress = &postern.DeliveryProgress{}
	for name, test := range map[string]struct {
		old, is any
		want    []string
	}{
		"new":                      {nil, both, []string{blog, shop}},
		"superseded at one":        {both, heldAt("shop"), nil},
		"held at another":          {heldAt("shop"), both, []string{blog}},
		"released by itself":       {both, released, []string{blog, shop}},
		"deleted with a finalizer": {both, deleted, []string{blog, shop}},
		"not all are listed":       {unlisted, unlisted, []string{"demo//"}},
	} {
		var queue groupRecorder
		enqueueGroups(&queue, test.old, test.is)
		if diff := cmp.Diff(test.want, queue.groups, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
}

func TestTurns(t *testing.T) {
	const blog, shop, other = "demo/Application/blog", "demo/Application/shop", "other/Application/shop"
	var queue groupRecorder
	var turns turns
	turns.queue(&queue)
	end, ok := turns.begin(blog)
	_, second := turns.begin(shop)
	_, elsewhere := turns.begin(other)
	if !ok || second || !elsewhere || len(queue.groups) > 0 {
		t.Fatalf("got %t, %t, %t and %q in the queue", ok, second, elsewhere, queue.groups)
	}
	end()
	if diff := cmp.Diff([]string{shop}, queue.groups); diff != "" {
		t.Errorf("queued again (-want +got):\n%s", diff)
	}
	if _, ok := turns.begin(shop); !ok {
		t.Error("the turn of the first group does not end")
	}
}
