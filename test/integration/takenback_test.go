// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// generatedApp is an Application as an ApplicationSet generates it.
func (w *world) generatedApp(name string) *unstructured.Unstructured {
	w.T.Helper()
	return w.Create(applications, `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: `+name+`
  annotations: {postern.dev/update-target-revision: "true"}
  ownerReferences: [{apiVersion: argoproj.io/v1alpha1, kind: ApplicationSet, name: shops, uid: "1", controller: true}]
spec:
  project: default
  destination: {server: "https://kubernetes.default.svc", namespace: shop}
  source: {repoURL: "https://github.com/example/shop.git", path: deploy, targetRevision: main}`)
}

// reset resets an Application to a template, as the ApplicationSet controller does.
func (w *world) reset(template *unstructured.Unstructured, manager string) {
	w.T.Helper()
	app := w.Get(applications, template.GetName())
	app.Object["spec"] = template.DeepCopy().Object["spec"]
	app.SetAnnotations(template.GetAnnotations())
	_, err := w.Objects.Resource(applications).Namespace(w.Namespace).Update(w.T.Context(), app,
		metav1.UpdateOptions{FieldManager: manager})
	if err != nil {
		w.T.Fatal(err)
	}
}

// takenBack waits until a record says that a target was taken back, and returns the record.
func (w *world) takenBack(name string) *v1alpha1.WebhookDelivery {
	w.T.Helper()
	var d *v1alpha1.WebhookDelivery
	w.eventually(func() error {
		if d = w.concluded(name); !meta.IsStatusConditionFalse(d.Status.Conditions, "Kept") {
			return fmt.Errorf("the conditions are %+v", d.Status.Conditions)
		}
		return nil
	})
	return d
}

func TestTakenBack_ByApplicationSet(t *testing.T) {
	w := newWorld(t)
	template := w.generatedApp("shop")
	ci := w.ci()
	newer := ci.mustPost(t, applicationPath("shop"), releaseOf(shopRepository, "v2", later), nil,
		http.StatusAccepted).delivery(t)
	const note = `the ApplicationSet "shops" generates the Application, and takes back what its preservedFields`
	if !strings.Contains(newer.Status.Message, note) {
		t.Errorf("the answer does not say so: %q", newer.Status.Message)
	}
	w.reset(template, "argocd-applicationset-controller")

	d := w.takenBack(newer.Name)

	held := meta.FindStatusCondition(d.Status.Conditions, "Kept")
	for _, want := range []string{"Application shop: argocd-applicationset-controller changed " +
		"postern.dev/requested-ref, " +
		"spec.source.targetRevision at 20", note} {
		if !strings.Contains(held.Message, want) {
			t.Errorf("the condition lacks %q: %+v", want, held)
		}
	}
	if d.Status.Phase != v1alpha1.DeliveryApplied || d.Status.Reason != "TakenBack" ||
		d.Status.Targets[0].Reason != "TakenBack" || !meta.IsStatusConditionTrue(d.Status.Conditions, "Applied") {
		t.Errorf("got %+v", d.Status)
	}
	events := w.targetEvents("shop", 2)
	if event := events[1]; event.Reason != "RefTakenBack" || event.Type != "Warning" ||
		!strings.Contains(event.Note, `no longer holds "v2": argocd-applicationset-controller changed`) ||
		event.Related.Name != d.Name {
		t.Errorf("got the Event %+v", event)
	}

	// The record of the last event is gone from the Application, but not from Postern.
	older := ci.mustPost(t, applicationPath("shop"), releaseOf(shopRepository, "v1", earlier), nil,
		http.StatusAccepted).delivery(t)
	checkOutcome(t, older, v1alpha1.DeliverySuperseded, "Superseded")
	got := w.Get(applications, "shop")
	if got := in[string](got.Object, "spec", "source", "targetRevision"); got != "main" {
		t.Errorf("targetRevision is %s: Postern fights", got)
	}
}

// A client removes an annotation, which managedFields do not show; a parent with selfHeal resets a field.
func TestTakenBack_ByOthers(t *testing.T) {
	w := newWorld(t)
	w.application("shop", map[string]string{
		"postern.dev/update-target-revision": "true",
		"argocd.argoproj.io/tracking-id":     "apps:argoproj.io/Application:" + w.Namespace + "/shop",
	})
	w.gatewaySync("web")
	ci := w.ci()
	toApp := ci.mustPost(t, applicationPath("shop"), `{"ref": "v2"}`, nil, http.StatusAccepted).delivery(t)
	toSync := ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v2"}`, nil, http.StatusAccepted).delivery(t)
	w.patchApp("shop", "argocd-controller", `{"spec": {"source": {"targetRevision": "main"}}}`)
	w.kubectl("", "annotate", "gatewaysync", "web", requestedRef+"-")

	for name, want := range map[string]string{
		toApp.Name:  `argocd-controller changed spec.source.targetRevision at 20`,
		toSync.Name: `changed stoker.io/requested-ref`,
	} {
		if got := w.takenBack(name).Status.Message; !strings.Contains(got, want) {
			t.Errorf("got the message %q, want %q", got, want)
		}
	}
	const note = `the Application "apps" deploys this one, and with selfHeal takes back fields`
	if got := w.concluded(toApp.Name).Status.Message; !strings.Contains(got, note) ||
		!strings.Contains(toApp.Status.Message, note) {
		t.Errorf("got the messages %q and %q", toApp.Status.Message, got)
	}
}

// What a later delivery replaces, and what Stoker removes since the spec has caught up, is not taken back.
func TestTakenBack_NotIfReplaced(t *testing.T) {
	w := newWorld(t)
	w.application("shop", map[string]string{"postern.dev/update-target-revision": "true"})
	w.gatewaySync("web")
	ci := w.ci()
	var names []string
	for _, ref := range []string{"v1", "v2"} {
		for _, path := range []string{applicationPath("shop"), gatewaySyncPath("web")} {
			names = append(names, ci.mustPost(t, path, `{"ref": "`+ref+`"}`, nil, http.StatusAccepted).delivery(t).Name)
		}
	}
	w.kubectl("", "patch", "gatewaysync", "web", "--type=merge", "--patch",
		`{"spec": {"git": {"ref": "v2"}}, "metadata": {"annotations": {"`+requestedRef+`": null}}}`)
	w.argoServes("shop", firstCommit)
	// A change that is taken back marks the end of what was observed before it.
	last := ci.mustPost(t, applicationPath("shop"), `{"ref": "v3"}`, nil, http.StatusAccepted).delivery(t)
	w.patchApp("shop", "kubectl-edit", `{"spec": {"source": {"targetRevision": "main"}}}`)
	w.takenBack(last.Name)
	for _, name := range names {
		if d := w.concluded(name); meta.FindStatusCondition(d.Status.Conditions, "Kept") != nil {
			t.Errorf("%s of %s: %s", name, d.Spec.Events[0].Ref, d.Status.Message)
		}
	}
	if events := w.targetEvents("web", 2); events[1].Reason != "RefRequested" {
		t.Error("an Event says that the GatewaySync was taken back")
	}
}
