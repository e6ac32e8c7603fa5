// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
)

func TestWhatIsAcceptedWhileTargetsCannotBeWrittenIsAppliedLaterEvenAfterACrash(t *testing.T) {
	postern := startPostern(t, controlplane.PosternOptions{})
	w := newWorld(t, 2, 2)
	mend := w.breakTargets()
	l := &ledger{}
	w.acceptPending(l, 3)

	if err := postern.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := postern.Start(starting(t)); err != nil {
		t.Fatal(err)
	}
	mend()
	w.check(l)
}

func TestWhatIsAcceptedWhileTheStorageOfTargetsHangsIsAppliedLater(t *testing.T) {
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
	w.t.Helper()
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
			w.t.Errorf("%s to %s: got phase %q %s, want Pending", e.ref, e.target, e.phase, e.refusal)
		}
	}
}

// breakTargets makes the kube-apiserver answer all writes of targets in this namespace with 500. mend restores them.
func (w *world) breakTargets() (mend func()) {
	w.t.Helper()
	// A required admission webhook that is unreachable.
	unreachable, fail, none := "https://127.0.0.1:1/", admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone
	configurations := w.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	created, err := configurations.Create(w.t.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "broken-"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:                    "unreachable.example.com",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: &unreachable},
			FailurePolicy:           &fail,
			SideEffects:             &none,
			AdmissionReviewVersions: []string{"v1"},
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.namespace}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{gatewaySyncs.Group, applications.Group}, APIVersions: []string{"*"},
					Resources: []string{gatewaySyncs.Resource, applications.Resource},
				},
			}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	mend = func() {
		err := configurations.Delete(context.Background(), created.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			w.t.Error(err)
		}
	}
	w.t.Cleanup(mend) // idempotent
	w.eventually(patience, w.targetsAreBroken)
	return mend
}

// targetsAreBroken returns nil if each kind of target rejects a write.
func (w *world) targetsAreBroken() error {
	for _, g := range w.targets {
		patch := []byte(`{"metadata":{"annotations":{"chaos.example.com/tried":"true"}}}`)
		_, err := w.objects.Resource(g.resource).Namespace(w.namespace).Patch(w.t.Context(), g.name, types.MergePatchType, patch,
			metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("the kube-apiserver does not call the webhook yet")
		}
	}
	return nil
}
