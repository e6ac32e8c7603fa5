// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"postern.dev/postern/test/testcluster"
)

// history has all refs that each target of a world has had since follow, in the kube-apiserver's order. A watch skips
// no change. It is safe for concurrent use.
type history struct {
	mu   sync.Mutex
	refs map[target][]string
	// gap is the error if the watch ended early.
	gap error
}

// follow records the targets' refs until the test ends.
func (w *world) follow() *history {
	w.T.Helper()
	h := &history{refs: map[target][]string{}}
	for g, ref := range w.held() {
		h.refs[g] = []string{ref}
	}
	for _, resource := range []schema.GroupVersionResource{gatewaySyncs, applications} {
		objects := w.Objects.Resource(resource).Namespace(w.Namespace)
		list, err := objects.List(w.T.Context(), metav1.ListOptions{})
		if err != nil {
			w.T.Fatal(err)
		}
		changes, err := watchtools.NewRetryWatcherWithContext(w.T.Context(), list.GetResourceVersion(),
			&cache.ListWatch{
				WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
					return objects.Watch(ctx, o)
				},
			})
		if err != nil {
			w.T.Fatal(err)
		}
		go h.read(resource, changes)
	}
	return h
}

func (h *history) read(resource schema.GroupVersionResource, changes watch.Interface) {
	for event := range changes.ResultChan() {
		obj, ok := event.Object.(*unstructured.Unstructured)
		h.mu.Lock()
		if !ok {
			h.gap = fmt.Errorf("the watch of %s ended: %v", resource.Resource, event.Object)
		} else {
			h.enter(target{resource, obj.GetName()}, obj)
		}
		h.mu.Unlock()
	}
}

func (h *history) enter(g target, obj *unstructured.Unstructured) {
	ref, refs := obj.GetAnnotations()[g.requestedRef()], h.refs[g]
	if len(refs) == 0 || refs[len(refs)-1] != ref {
		h.refs[g] = append(refs, ref)
	}
}

// until waits until the history has the refs that the targets have, and returns all refs that each has had.
func (h *history) until(w *honest, held map[target]string) map[target]map[string]bool {
	w.T.Helper()
	w.Eventually(testcluster.Patience, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		for g, ref := range held {
			if refs := h.refs[g]; h.gap != nil || refs[len(refs)-1] != ref {
				return fmt.Errorf("%s has %s, which the watch has not reported: %w", g, ref, h.gap)
			}
		}
		return nil
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	written := map[target]map[string]bool{}
	for g, refs := range h.refs {
		written[g] = map[string]bool{}
		for _, ref := range refs {
			written[g][ref] = true
		}
	}
	return written
}

// lastNumber is the number at the end of a ref, which orders refs.
var lastNumber = regexp.MustCompile(`[0-9]+$`)

// backwards reports each ref that was written after a later one, or twice.
func (h *history) backwards() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var problems []string
	for g, refs := range h.refs {
		last := -1
		for i, ref := range refs {
			number, err := strconv.Atoi(lastNumber.FindString(ref))
			if err != nil || number <= last {
				problems = append(problems, fmt.Sprintf("%s went backwards: it had %q and then %q", g,
					refs[max(0, i-1)], ref))
			}
			last = max(last, number)
		}
	}
	return problems
}
