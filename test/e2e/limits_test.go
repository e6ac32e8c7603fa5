// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hanging is the longest outage that a process may cause that hangs: what the livenessProbe of the manifests allows it,
// and a restart on a busy machine.
const hanging = 50 * time.Second

// TestLimits lets the kernel and the kubelet kill Postern, and takes it away.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	w.addVolume(w.Nodes()[0])
	w.install("manifests/base", "")

	t.Run("out of memory", func(t *testing.T) {
		there := w.on(t)
		there.disturb("out of memory", (*world).exhaustMemory)
		if reason := there.container().LastTerminationState.Terminated; reason == nil || reason.Reason != "OOMKilled" {
			t.Errorf("the container was last terminated as %v, want OOMKilled", reason)
		}
	})
	t.Run("a process that hangs", func(t *testing.T) {
		o := w.on(t).disturb("a process that hangs", func(w *world) {
			before := w.container().RestartCount
			w.signalPostern("STOP")
			w.awaitRestart(before)
		})
		if o.outage() > hanging {
			t.Errorf("deliveries were refused for %v, want %v at most", o.outage(), hanging)
		}
	})
	t.Run("no endpoint", func(t *testing.T) {
		there := w.on(t)
		there.kubectl("scale", "statefulset/postern", "--replicas=0", "--namespace="+system)
		there.kubectl("wait", "--for=delete", "pod/postern-0", "--namespace="+system, "--timeout="+patience.String())
		there.kubectl("wait", "--for=condition=Available=False", "apiservice/v1alpha1.postern.dev",
			"--timeout="+patience.String())
		l := there.startLoad()
		there.eventually("a sender gets an answer", func(context.Context) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			if len(l.requests) == 0 || l.requests[0].attempts[0].answered.IsZero() {
				return errors.New("no answer")
			}
			return nil
		})
		there.kubectl("scale", "statefulset/postern", "--replicas=1", "--namespace="+system)
		l.await()
		o := l.end()
		disturbances.add("no replica", o)
		if first := l.requests[0].attempts[0]; first.code != http.StatusServiceUnavailable ||
			!strings.Contains(first.complaint, "service unavailable") {
			t.Errorf("a sender without a replica was answered %d: %s", first.code, first.complaint)
		}
	})
}

// exhaustMemory lowers the memory limit of the container to what it uses, and sends large deliveries until the kernel
// has killed it.
func (w *world) exhaustMemory() {
	w.t.Helper()
	pod, err := w.kube.CoreV1().Pods(system).Get(w.t.Context(), "postern-0", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	before := w.container()
	_, id, _ := strings.Cut(before.ContainerID, "://")
	cgroup := filepath.Join("/sys/fs/cgroup/memory/kubepods/burstable", "pod"+string(pod.UID), id)
	const lower = `cd "$1" && cat memory.usage_in_bytes > memory.limit_in_bytes`
	w.eventually("the limit is lowered", func(ctx context.Context) error {
		_, err := w.Nodes()[0].Run(ctx, "bash", "-c", lower, "lower", cgroup)
		return err // the usage may have grown in between
	})
	sender := w.newSender()
	body := fmt.Sprintf(`{"ref": "v1.0.0", "filler": %q}`, strings.Repeat("x", 1_000_000))
	var large errgroup.Group
	large.SetLimit(32)
	defer func() { _ = large.Wait() }() // none of them has to succeed
	w.eventually("the container is killed", func(context.Context) error {
		if w.container().RestartCount > before.RestartCount {
			return nil
		}
		for range 32 {
			large.TryGo(func() error {
				sender.post("plant", body, nil)
				return nil
			})
		}
		return errors.New("it lives")
	})
}

// container returns the status of Postern's container.
func (w *world) container() corev1.ContainerStatus {
	w.t.Helper()
	pod, err := w.kube.CoreV1().Pods(system).Get(w.t.Context(), "postern-0", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return pod.Status.ContainerStatuses[0]
}

// awaitRestart returns once the container has been restarted more often than before.
func (w *world) awaitRestart(before int32) {
	w.t.Helper()
	w.eventually("the container is restarted", func(context.Context) error {
		if n := w.container().RestartCount; n <= before {
			return fmt.Errorf("%d restarts", n)
		}
		return nil
	})
}
