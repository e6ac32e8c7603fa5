// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

const holdKey = "postern.dev/hold"

// hold sets the annotation that holds an object.
func (w *world) hold(resource, name, why string) {
	w.T.Helper()
	w.kubectl("", "annotate", resource, name, holdKey+"="+why)
}

func (w *world) release(resource, name string) {
	w.T.Helper()
	w.kubectl("", "annotate", resource, name, holdKey+"-")
}

// inPhase waits until a delivery has a phase, and returns it.
func (w *world) inPhase(name string, phase v1alpha1.DeliveryPhase) *v1alpha1.WebhookDelivery {
	w.T.Helper()
	var d *v1alpha1.WebhookDelivery
	w.eventually(func() error {
		if d = w.recorded(name); d.Status.Phase != phase {
			return fmt.Errorf("%s is %s (%s): %s", name, d.Status.Phase, d.Status.Reason, d.Status.Message)
		}
		return nil
	})
	return d
}

// recorded returns the record of a delivery.
func (w *world) recorded(name string) *v1alpha1.WebhookDelivery {
	w.T.Helper()
	d, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).Get(w.T.Context(), name,
		metav1.GetOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return d
}

func (w *world) requestedRef(name string) string {
	w.T.Helper()
	return w.Get(gatewaySyncs, name).GetAnnotations()[requestedRef]
}

func TestHold_OfTarget(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("plant")
	ci, path := w.ci(), gatewaySyncPath("plant")
	deliver := func(ref string) *v1alpha1.WebhookDelivery {
		return ci.mustPost(t, path, `{"ref": "`+ref+`"}`, nil, http.StatusAccepted).delivery(t)
	}
	checkOutcome(t, deliver("v1"), v1alpha1.DeliveryApplied, "Requested")
	w.hold("gatewaysyncs.stoker.io", "plant", "freeze until Monday")

	first := deliver("v2")
	checkOutcome(t, first, v1alpha1.DeliveryHeld, "Held")
	release := "kubectl annotate gatewaysyncs.stoker.io plant -n " + w.Namespace + " " + holdKey + "-"
	for _, want := range []string{"freeze until Monday", release} {
		if !strings.Contains(first.Status.Message, want) {
			t.Errorf("the message %q lacks %q", first.Status.Message, want)
		}
	}
	held := meta.FindStatusCondition(first.Status.Conditions, "Held")
	applied := meta.FindStatusCondition(first.Status.Conditions, "Applied")
	if held == nil || held.Status != "True" || applied == nil || applied.Status != "False" || applied.Reason != "Held" {
		t.Errorf("got the conditions %+v", first.Status.Conditions)
	}
	second := deliver("v3")
	checkOutcome(t, second, v1alpha1.DeliveryHeld, "Held")
	superseded := w.inPhase(first.Name, v1alpha1.DeliverySuperseded)
	if c := meta.FindStatusCondition(superseded.Status.Conditions, "Held"); c == nil || c.Status != "False" {
		t.Errorf("got the conditions %+v", superseded.Status.Conditions)
	}
	if got := w.requestedRef("plant"); got != "v1" {
		t.Errorf("the target got %s while it was held", got)
	}

	// Redelivery is held, too, and a dry run says so.
	if said := w.kubectl("", "create", "--raw="+w.absolute(redelivery(first.Name))+"?dryRun=All",
		"--filename=/dev/null"); !strings.Contains(said, `"phase":"Held"`) {
		t.Errorf("the dry run says %s", said)
	}
	redelivered := w.redeliver(first.Name)
	checkOutcome(t, redelivered, v1alpha1.DeliveryHeld, "Held")
	w.inPhase(second.Name, v1alpha1.DeliverySuperseded)
	list := w.kubectl("", "get", "whd", "--field-selector=status.phase=Held", "--output=name")
	if want := "webhookdelivery.postern.dev/" + redelivered.Name; strings.TrimSpace(list) != want {
		t.Errorf("held are %q, want %q", list, want)
	}

	w.release("gatewaysyncs.stoker.io", "plant")
	done := w.inPhase(redelivered.Name, v1alpha1.DeliveryApplied)
	if c := meta.FindStatusCondition(done.Status.Conditions, "Held"); c == nil || c.Reason != "Released" ||
		!meta.IsStatusConditionTrue(done.Status.Conditions, "Applied") {
		t.Errorf("got the conditions %+v", done.Status.Conditions)
	}
	if got := w.requestedRef("plant"); got != "v2" {
		t.Errorf("the target got %s", got)
	}
	checkOutcome(t, deliver("v4"), v1alpha1.DeliveryApplied, "Requested")
	w.eventually(func() error {
		list, err := w.Kube.EventsV1().Events(w.Namespace).List(w.T.Context(),
			metav1.ListOptions{FieldSelector: "regarding.name=plant"})
		if err != nil {
			return err
		}
		var reasons []string
		for _, event := range list.Items {
			reasons = append(reasons, event.Reason)
		}
		for _, want := range []string{"Held", "Released", "RefRequested"} {
			if !slices.Contains(reasons, want) {
				return fmt.Errorf("the Events are %q", reasons)
			}
		}
		return nil
	})
}

// A delivery after the release is newer than what was held.
func TestHold_NewerAfterRelease(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("plant")
	ci, path := w.ci(), gatewaySyncPath("plant")
	w.hold("gatewaysyncs.stoker.io", "plant", "true")
	held := ci.mustPost(t, path, `{"ref": "v1"}`, nil, http.StatusAccepted).delivery(t)
	checkOutcome(t, held, v1alpha1.DeliveryHeld, "Held")
	w.release("gatewaysyncs.stoker.io", "plant")
	newer := ci.mustPost(t, path, `{"ref": "v2"}`, nil, http.StatusAccepted).delivery(t)
	checkOutcome(t, newer, v1alpha1.DeliveryApplied, "Requested")
	w.eventually(func() error {
		if d := w.recorded(held.Name); d.Status.Phase == v1alpha1.DeliveryHeld {
			return fmt.Errorf("it is still held")
		}
		return nil
	})
	if got := w.requestedRef("plant"); got != "v2" {
		t.Errorf("the target got %s", got)
	}
}

// Of several targets, only one is held.
func TestHold_OfOneOfSeveralTargets(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b"} {
		w.application(name, nil)
	}
	w.hold("applications.argoproj.io", "b", "incident 7")
	event := map[string]string{"X-GitHub-Event": "push"}
	github, path := w.trier(), sourcePath("github")
	w.untilFound(github, path, request{body: pushOfMain(firstCommit), header: event},
		map[string]string{"a": written, "b": "Held Held"})
	push := github.mustPost(t, path, pushOfMain(firstCommit), event, http.StatusAccepted).delivery(t)
	checkOutcome(t, push, v1alpha1.DeliveryHeld, "Held")
	mustHaveResults(t, push, map[string]string{"a": written, "b": "Held Held"})
	w.release("applications.argoproj.io", "b")
	done := w.inPhase(push.Name, v1alpha1.DeliveryApplied)
	mustHaveResults(t, done, map[string]string{"a": written, "b": written})
	w.mustHold(applications, "b", "postern.dev/requested-revision", firstCommit)
}

// Of the refreshes of an ApplicationSet that were held, one suffices.
func TestHold_OfApplicationSet(t *testing.T) {
	w := newWorld(t)
	w.Create(applicationSets, testcluster.ApplicationSet("apps"))
	w.hold("applicationsets.argoproj.io", "apps", "freeze until Monday")
	const refresh = "argocd.argoproj.io/application-set-refresh"
	for _, name := range []string{"first", "second"} {
		w.kubectl(delivery(name, toApps+", ref: main"), "create", "--filename=-")
		if d := w.recorded(name); d.Status.Phase != v1alpha1.DeliveryHeld || d.Status.Reason != "Held" {
			t.Errorf("got %+v", d.Status)
		}
	}
	w.inPhase("first", v1alpha1.DeliverySuperseded)
	if d := w.recorded("second"); d.Status.Phase != v1alpha1.DeliveryHeld {
		t.Errorf("got %+v", d.Status)
	}
	if at, found := w.Get(applicationSets, "apps").GetAnnotations()[refresh]; found {
		t.Errorf("the ApplicationSet was refreshed at %s", at)
	}

	w.release("applicationsets.argoproj.io", "apps")
	w.inPhase("second", v1alpha1.DeliveryApplied)
	if _, found := w.Get(applicationSets, "apps").GetAnnotations()[refresh]; !found {
		t.Error("the ApplicationSet is not refreshed")
	}
}

func TestHold_TargetDeletedMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("plant")
	w.hold("gatewaysyncs.stoker.io", "plant", "true")
	held := w.ci().mustPost(t, gatewaySyncPath("plant"), `{"ref": "v1"}`, nil, http.StatusAccepted).delivery(t)
	w.kubectl("", "delete", "gatewaysyncs.stoker.io", "plant")
	if d := w.inPhase(held.Name, v1alpha1.DeliveryFailed); d.Status.Reason != "TargetGone" {
		t.Errorf("got %+v", d.Status)
	}
}

// A delivery with the annotation is held by itself.
func TestHold_OfDelivery(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("plant")
	w.kubectl(`
apiVersion: postern.dev/v1alpha1
kind: WebhookDelivery
metadata: {name: first, annotations: {postern.dev/hold: awaits approval}}
spec:
  target: {kind: GatewaySync, name: plant}
  ref: v1
`, "create", "-f", "-")
	if d := w.inPhase("first", v1alpha1.DeliveryHeld); d.Status.Reason != "DeliveryHeld" ||
		!strings.Contains(d.Status.Message, "awaits approval") {
		t.Errorf("got %+v", d.Status)
	}
	if got := w.requestedRef("plant"); got != "" {
		t.Errorf("the target got %s", got)
	}
	w.release("webhookdeliveries.postern.dev", "first")
	w.inPhase("first", v1alpha1.DeliveryApplied)
	if got := w.requestedRef("plant"); got != "v1" {
		t.Errorf("the target got %s", got)
	}
}

func TestHold_AfterRollbackByHand(t *testing.T) {
	w := newWorld(t)
	w.application("shop", map[string]string{"postern.dev/update-target-revision": "true"})
	ci, path := w.ci(), applicationPath("shop")
	deliver := func(ref string) *v1alpha1.WebhookDelivery {
		return ci.mustPost(t, path, `{"ref": "`+ref+`"}`, nil, http.StatusAccepted).delivery(t)
	}
	for _, ref := range []string{"v1.0.0", "v1.1.0"} {
		checkOutcome(t, deliver(ref), v1alpha1.DeliveryApplied, "Requested")
	}
	w.patchApp("shop", "kubectl-edit", `{"spec": {"source": {"targetRevision": "v1.0.0"}}}`)

	held := deliver("v1.2.0")
	checkOutcome(t, held, v1alpha1.DeliveryHeld, "RolledBack")
	const says = `kubectl-edit set spec.source.targetRevision from "v1.1.0" back to "v1.0.0" at 20`
	if !strings.Contains(held.Status.Message, says) {
		t.Errorf("the message is %q", held.Status.Message)
	}
	app := w.Get(applications, "shop")
	if why := app.GetAnnotations()[holdKey]; !strings.Contains(why, says) {
		t.Errorf("the annotation is %q", why)
	}
	if got := in[string](app.Object, "spec", "source", "targetRevision"); got != "v1.0.0" {
		t.Errorf("the rollback was undone: %s", got)
	}
	checkOutcome(t, deliver("v1.3.0"), v1alpha1.DeliveryHeld, "RolledBack")
	last := deliver("v1.4.0")
	w.inPhase(held.Name, v1alpha1.DeliverySuperseded)

	w.release("applications.argoproj.io", "shop")
	w.inPhase(last.Name, v1alpha1.DeliveryApplied)
	if got := in[string](w.Get(applications, "shop").Object, "spec", "source", "targetRevision"); got != "v1.4.0" {
		t.Errorf("targetRevision is %s", got)
	}
	checkOutcome(t, deliver("v1.5.0"), v1alpha1.DeliveryApplied, "Requested")
}

// What is held survives the end of the process, and what is released meanwhile is delivered by the next one.
func TestHold_AcrossRestart(t *testing.T) {
	s := newSuite(t)
	for name, end := range map[string]func(t *testing.T) error{
		"on request": func(t *testing.T) error { return s.postern.Stop(t.Context()) },
		"by SIGKILL": func(*testing.T) error { return s.postern.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			w := s.newWorld(t)
			for _, name := range []string{"during", "after"} {
				w.gatewaySync(name)
				w.hold("gatewaysyncs.stoker.io", name, "true")
			}
			held := map[string]*v1alpha1.WebhookDelivery{}
			for _, name := range []string{"during", "after"} {
				for _, ref := range []string{"v1", "v2"} {
					held[name] = w.ci().mustPost(t, gatewaySyncPath(name), `{"ref": "`+ref+`"}`, nil,
						http.StatusAccepted).delivery(t)
				}
			}
			if err := end(t); err != nil {
				t.Fatal(err)
			}
			w.release("gatewaysyncs.stoker.io", "during")
			w.startPostern()

			w.inPhase(held["during"].Name, v1alpha1.DeliveryApplied)
			if got := w.requestedRef("during"); got != "v2" {
				t.Errorf("the target that was released meanwhile got %q", got)
			}
			d := w.recorded(held["after"].Name)
			if d.Status.Phase != v1alpha1.DeliveryHeld || w.requestedRef("after") != "" {
				t.Errorf("got %+v, and the target got %q", d.Status, w.requestedRef("after"))
			}
			w.release("gatewaysyncs.stoker.io", "after")
			w.inPhase(held["after"].Name, v1alpha1.DeliveryApplied)
			if got := w.requestedRef("after"); got != "v2" {
				t.Errorf("the target that was released afterwards got %q", got)
			}
		})
	}
}

// A held delivery does not expire. Its time to live begins when it is released.
func TestHold_DoesNotExpire(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("plant")
	w.hold("gatewaysyncs.stoker.io", "plant", "true")
	held := w.ci().mustPost(t, gatewaySyncPath("plant"), `{"ref": "v1"}`, nil, http.StatusAccepted).delivery(t)
	if lease := w.lease(held.Name); lease != 0 {
		t.Errorf("the held record has the lease %x", lease)
	}
	w.release("gatewaysyncs.stoker.io", "plant")
	w.inPhase(held.Name, v1alpha1.DeliveryApplied)
	w.checkLeases(72 * 60 * 60)
}

// lease returns the id of the lease of a record in etcd; zero if it has none.
func (w *world) lease(name string) int64 {
	w.T.Helper()
	etcd, err := w.EtcdClient(w.T.Context())
	if err != nil {
		w.T.Fatal(err)
	}
	defer func() { _ = etcd.Close() }()
	stored, err := etcd.Get(w.T.Context(), "/registry/postern.dev/", clientv3.WithPrefix())
	if err != nil {
		w.T.Fatal(err)
	}
	for _, kv := range stored.Kvs {
		if strings.HasSuffix(string(kv.Key), "/"+w.Namespace+"/"+name) {
			return kv.Lease
		}
	}
	w.T.Fatalf("%s is not in etcd", name)
	return 0
}

// The example of docs/holds.md: a policy holds what no one has approved.
func TestHold_ByPolicy(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	w.policy("MutatingAdmissionPolicy", `
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >-
        Object{metadata: Object.metadata{annotations: {"postern.dev/hold": "awaits approval"}}}
`, "")
	w.untilTried(ci, `{"ref": "v1"}`, func(a answer) error {
		if got := a.delivery(t).Status; got.Phase != v1alpha1.DeliveryHeld || got.Reason != "DeliveryHeld" {
			return fmt.Errorf("got %+v", got)
		}
		return nil
	})
	deliver := func(ref string) *v1alpha1.WebhookDelivery {
		d := ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "`+ref+`"}`, nil, http.StatusAccepted).delivery(t)
		checkOutcome(t, d, v1alpha1.DeliveryHeld, "DeliveryHeld")
		return d
	}
	first, second := deliver("v1"), deliver("v2")
	w.inPhase(first.Name, v1alpha1.DeliverySuperseded)
	w.release("webhookdeliveries.postern.dev", second.Name)
	w.inPhase(second.Name, v1alpha1.DeliveryApplied)
	if got := w.requestedRef("web"); got != "v2" {
		t.Errorf("the target got %s", got)
	}
}
