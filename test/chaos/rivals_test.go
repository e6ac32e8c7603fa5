// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/retry"
)

// fieldInterval results in 50 changes a second of three fields.
const fieldInterval = 60 * time.Millisecond

// rival changes an annotation, a spec field and a status field of a target, one at a time, as other controllers do. It
// checks each time that its own earlier changes are still there.
type rival struct {
	target dynamic.ResourceInterface
	name   string
	fields []*rivalField
	work   sync.WaitGroup
	lasted time.Duration
	// stop waits for the last changes. It is idempotent.
	stop func()
}

// rivalField is a field that only the rival changes. Its counts may be read once the rival has stopped.
type rivalField struct {
	name   string
	path   []string
	change func(r *rival, f *rivalField, value string) (*unstructured.Unstructured, error)

	last               string // the last written value
	changes, conflicts int
	problems           []string
}

func (w *world) startRival(g target) *rival {
	ctx, cancel := context.WithCancel(context.Background())
	r := &rival{target: w.Objects.Resource(g.resource).Namespace(w.Namespace), name: g.name, fields: []*rivalField{
		{name: "the annotation", path: []string{"metadata", "annotations", "chaos.example.com/count"},
			change: (*rival).update},
		{name: "the field of the spec", path: []string{"spec", "sync", "defaults", "vars", "rival"},
			change: (*rival).patch},
		{name: "the field of the status", path: []string{"status", "lastSyncRef"}, change: (*rival).patchStatus},
	}}
	began := time.Now()
	for _, f := range r.fields {
		r.work.Go(func() { r.keepChanging(ctx, f) })
	}
	r.stop = sync.OnceFunc(func() {
		cancel()
		r.work.Wait()
		r.lasted = since(began)
	})
	w.T.Cleanup(r.stop)
	return r
}

func (r *rival) keepChanging(ctx context.Context, f *rivalField) {
	ticks := time.NewTicker(fieldInterval)
	defer ticks.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			f.note(f.change(r, f, fmt.Sprint(i)))
		}
	}
}

// update writes the whole object as it was just read, and retries on a conflict.
func (r *rival) update(f *rivalField, value string) (changed *unstructured.Unstructured, err error) {
	err = retry.RetryOnConflict(wait.Backoff{Steps: 10}, func() error {
		if changed, err = r.updateOnce(f, value); apierrors.IsConflict(err) {
			f.conflicts++
		}
		return err
	})
	return changed, err
}

func (r *rival) updateOnce(f *rivalField, value string) (*unstructured.Unstructured, error) {
	obj, err := r.target.Get(context.Background(), r.name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	f.compare(obj)
	if err := unstructured.SetNestedField(obj.Object, value, f.path...); err != nil {
		return nil, err
	}
	changed, err := r.target.Update(context.Background(), obj, metav1.UpdateOptions{})
	return changed, f.keep(value, err)
}

func (r *rival) patch(f *rivalField, value string) (*unstructured.Unstructured, error) {
	return r.merge(f, value)
}

func (r *rival) patchStatus(f *rivalField, value string) (*unstructured.Unstructured, error) {
	return r.merge(f, value, "status")
}

func (r *rival) merge(f *rivalField, value string, subresources ...string) (*unstructured.Unstructured, error) {
	patch := fmt.Sprintf("%q", value)
	for _, name := range slices.Backward(f.path) {
		patch = fmt.Sprintf("{%q:%s}", name, patch)
	}
	changed, err := r.target.Patch(context.Background(), r.name, types.MergePatchType, []byte(patch),
		metav1.PatchOptions{}, subresources...)
	return changed, f.keep(value, err)
}

// keep records the written value.
func (f *rivalField) keep(value string, err error) error {
	if err == nil {
		f.last = value
	}
	return err
}

func (f *rivalField) note(changed *unstructured.Unstructured, err error) {
	switch {
	case apierrors.IsConflict(err): // other writers were always faster
	case err != nil:
		f.problems = append(f.problems, fmt.Sprintf("%s could not be changed: %v", f.name, err))
	default:
		f.changes++
		f.compare(changed)
	}
}

// compare records a problem if the field, or a constant field, has changed.
func (f *rivalField) compare(obj *unstructured.Unstructured) {
	got, _, _ := unstructured.NestedString(obj.Object, f.path...)
	if got != f.last {
		f.problems = append(f.problems, fmt.Sprintf("%s was reverted: got %q, want %q", f.name, got, f.last))
	}
	const unchanged = "https://github.com/example/plant.git"
	if repo, _, _ := unstructured.NestedString(obj.Object, "spec", "git", "repo"); repo != unchanged {
		f.problems = append(f.problems, fmt.Sprintf("spec.git.repo is %q, want %q", repo, unchanged))
	}
}
