// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"errors"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

func TestRetry_RefusedWritesAreAppliedAfterCrash(t *testing.T) {
	postern := startPostern(t, controlplane.PosternOptions{})
	w := newWorld(t, 2, 2)
	mend := w.breakTargets()
	l := &ledger{}
	w.acceptPending(l, 3)

	if err := postern.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := postern.Start(testcluster.StartContext(t)); err != nil {
		t.Fatal(err)
	}
	mend()
	w.check(l)
}

func TestRetry_HangingStorageOfTargets(t *testing.T) {
	if !long() {
		t.Skip("it waits until Postern gives up a write; set CHAOS=long")
	}
	startPostern(t, controlplane.PosternOptions{})
	w := newWorld(t, 4, 4)
	resume := func() {
		if err := w.ResumeEtcd(); err != nil {
			t.Error(err)
		}
	}
	if err := w.PauseEtcd(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(resume) // idempotent
	l := &ledger{}
	w.acceptPending(l, 1)
	resume()
	w.check(l)
}

// acceptPending delivers to each target several times, and fails the test unless all are accepted as Pending.
func (w *world) acceptPending(l *ledger, times int) {
	w.T.Helper()
	for i := range times {
		var requests []request
		for j, g := range w.targets {
			requests = append(requests, plain(g, fmt.Sprintf("r%d-%d", i, j)))
		}
		l.sendAll(w.ci, requests)
	}
	shown := 0
	for _, e := range l.all() {
		if e.phase == v1alpha1.DeliveryPending {
			continue
		}
		if shown++; shown <= 5 {
			w.T.Errorf("%s to %s: got phase %q %s, want Pending", e.ref, e.target, e.phase, e.refusal)
		}
	}
}

// breakTargets makes the kube-apiserver answer all writes of targets in this namespace with 500. mend restores them.
func (w *world) breakTargets() (mend func()) {
	w.T.Helper()
	mend = w.RegisterWebhook(`
failurePolicy: Fail
clientConfig: {url: "https://127.0.0.1:1/"} # unreachable
rules:
- apiGroups: [stoker.io, argoproj.io]
  apiVersions: ['*']
  operations: [UPDATE]
  resources: [gatewaysyncs, applications]`)
	w.Eventually(testcluster.Patience, w.targetsAreBroken)
	return mend
}

// targetsAreBroken returns nil if each kind of target rejects a write.
func (w *world) targetsAreBroken() error {
	for _, g := range w.targets {
		patch := []byte(`{"metadata":{"annotations":{"chaos.example.com/tried":"true"}}}`)
		_, err := w.Objects.Resource(g.resource).Namespace(w.Namespace).Patch(w.T.Context(), g.name,
			types.MergePatchType, patch,
			metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("the kube-apiserver does not call the webhook yet")
		}
	}
	return nil
}
