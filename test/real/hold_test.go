// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

const holdAnnotation = "postern.dev/hold"

// hold holds a target, as a user does.
func (w *world) hold(resource schema.GroupVersionResource, name string) {
	w.T.Helper()
	w.MustKubectl(w.T, "", "annotate", resource.GroupResource().String(), name, "--namespace="+w.Namespace,
		holdAnnotation+"=freeze until Monday")
}

// release releases a target, as the message of a held delivery says, and returns when it was released.
func (w *world) release(resource schema.GroupVersionResource, name string) time.Time {
	w.T.Helper()
	w.MustKubectl(w.T, "", "annotate", resource.GroupResource().String(), name, "--namespace="+w.Namespace,
		holdAnnotation+"-")
	return time.Now()
}

func mustBeHeld(t *testing.T, d *v1alpha1.WebhookDelivery) {
	t.Helper()
	if d.Status.Phase != v1alpha1.DeliveryHeld {
		t.Fatalf("got phase %q, reason %q: %s", d.Status.Phase, d.Status.Reason, d.Status.Message)
	}
}

// waitPhase waits until a delivery has the phase.
func (w *world) waitPhase(d *v1alpha1.WebhookDelivery, phase v1alpha1.DeliveryPhase) {
	w.T.Helper()
	w.Eventually(reactionTimeout, func() error {
		got, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).Get(w.T.Context(), d.Name,
			metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got.Status.Phase != phase {
			return fmt.Errorf("%s is %s, want %s: %s", d.Name, got.Status.Phase, phase, got.Status.Message)
		}
		return nil
	})
}

// Of the releases while the gateways are frozen, they get the last one, once they are released.
func TestStoker_Hold(t *testing.T) {
	w := newWorld(t)
	reacted := scenario(t, "Stoker: release that was held, from its release on")
	stoker := w.stoker()
	g, r := w.github(), w.newPlant()
	tracked := r.git("rev-parse", "HEAD")

	w.hold(testcluster.GatewaySyncs, "plant")
	var commit string
	var held []*v1alpha1.WebhookDelivery
	for _, tag := range []string{"v2.0.0", "v2.1.0"} {
		commit = r.commit(map[string]string{"project.json": fmt.Sprintf(`{"version": %q}`, tag)})
		r.git("update-ref", mainBranch, tracked)
		r.git("tag", tag, commit)
		d, _ := g.release(toPlant, r, tag)
		mustBeHeld(t, d)
		held = append(held, d)
	}
	w.waitPhase(held[0], v1alpha1.DeliverySuperseded)
	stoker.clock.Step(2 * pollingInterval)
	w.waitGateways(r, "main", tracked)

	released := w.release(testcluster.GatewaySyncs, "plant")
	w.waitGateways(r, "v2.1.0", commit)
	reacted(released)
	w.waitPhase(held[1], v1alpha1.DeliveryApplied)
}

// Who sets an older release on a GatewaySync keeps it: neither does Postern undo that, nor does Stoker.
func TestStoker_RollbackByHand(t *testing.T) {
	w := newWorld(t)
	reacted := scenario(t, "Stoker: release after a rollback by hand, from its release on")
	w.stoker()
	g, r := w.github(), w.newPlant()
	commits := map[string]string{}
	publish := func(tag string) *v1alpha1.WebhookDelivery {
		commits[tag] = r.commit(map[string]string{"project.json": fmt.Sprintf(`{"version": %q}`, tag)})
		r.tag(tag)
		d, _ := g.release(toPlant, r, tag)
		return d
	}
	for _, tag := range []string{"v1.0.0", "v1.1.0"} {
		mustBeApplied(t, publish(tag))
		w.waitGateways(r, tag, commits[tag])
	}

	w.MustKubectl(t, "", "annotate", "gatewaysyncs.stoker.io", "plant", "--namespace="+w.Namespace, "--overwrite",
		"stoker.io/requested-ref=v1.0.0")
	w.waitGateways(r, "v1.0.0", commits["v1.0.0"])
	d := publish("v1.2.0")
	mustBeHeld(t, d)
	w.waitGateways(r, "v1.0.0", commits["v1.0.0"])

	released := w.release(testcluster.GatewaySyncs, "plant")
	w.waitGateways(r, "v1.2.0", commits["v1.2.0"])
	reacted(released)
	w.waitPhase(d, v1alpha1.DeliveryApplied)
}

func TestArgoCD_Hold(t *testing.T) {
	shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: push that was held, from its release on")
	g, r := w.github(), w.newShop("")
	first := r.git("rev-parse", "HEAD")

	w.hold(applications, "shop")
	var commit string
	var held []*v1alpha1.WebhookDelivery
	for _, version := range []string{"2", "3"} {
		commit = r.commit(map[string]string{"shop.yaml": configMap("shop", version)})
		d, _ := g.push(byGitHub, r, mainBranch, commit)
		mustBeHeld(t, d)
		held = append(held, d)
	}
	w.waitPhase(held[0], v1alpha1.DeliverySuperseded)
	w.waitSynced("shop", first)
	w.waitVersion("shop", "1")

	released := w.release(applications, "shop")
	w.waitSynced("shop", commit)
	reacted(released)
	w.waitVersion("shop", "3")
	w.waitPhase(held[1], v1alpha1.DeliveryApplied)
}

func TestArgoCD_RollbackByHand(t *testing.T) {
	shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: tag after a rollback by hand, from its release on")
	g, r := w.github(), w.newShop(followTagsAndWrite)
	first, _, _ := g.pushTag(r, "v1.0.0")
	w.waitSynced("shop", first)
	second, _, _ := g.pushTag(r, "v1.1.0")
	w.waitSynced("shop", second)

	w.patchShop(`{"spec": {"source": {"targetRevision": "v1.0.0"}}}`)
	w.waitSynced("shop", first)
	third := r.commit(map[string]string{"shop.yaml": configMap("shop", "v1.2.0")})
	r.git("tag", "v1.2.0")
	d, _ := g.push(byGitHub, r, "refs/tags/v1.2.0", third)
	mustBeHeld(t, d)
	w.waitSynced("shop", first)
	w.waitVersion("shop", "v1.0.0")

	released := w.release(applications, "shop")
	w.waitSynced("shop", third)
	reacted(released)
	w.waitVersion("shop", "v1.2.0")
}

// Argo CD's own rollback, which it refuses while the Application syncs itself: a sync to an entry of the history. What
// is pushed afterwards does not run until the owner lets the Application sync itself again.
func TestArgoCD_OwnRollback(t *testing.T) {
	for name, annotations := range map[string]string{"of a branch": "", "of a tag": followTagsAndWrite} {
		t.Run(name, func(t *testing.T) {
			shared.needsArgoCD(t)
			w := newWorld(t)
			scenario(t, "Argo CD: its own rollback, "+name+", is not undone by a push")
			g, r := w.github(), w.newShop(annotations)
			deliver := func(version string) (commit string) {
				t.Helper()
				if annotations != "" {
					commit, _, _ = g.pushTag(r, version)
					return commit
				}
				commit = r.commit(map[string]string{"shop.yaml": configMap("shop", version)})
				d, _ := g.push(byGitHub, r, mainBranch, commit)
				mustBeApplied(t, d)
				return commit
			}
			first := deliver("v1.0.0")
			w.waitSynced("shop", first)
			w.waitVersion("shop", "v1.0.0")
			second := deliver("v1.1.0")
			w.waitSynced("shop", second)
			w.waitVersion("shop", "v1.1.0")

			w.patchShop(`{"spec": {"syncPolicy": {"automated": null}}}`)
			w.rollBack("shop", first)
			w.waitVersion("shop", "v1.0.0")
			third := deliver("v1.2.0")
			w.waitCompared("shop", third)
			w.waitVersion("shop", "v1.0.0")
			if got := w.Get(applications, "shop"); got.GetAnnotations()[holdAnnotation] != "" {
				t.Errorf("the Application is held: %v", got.GetAnnotations())
			}

			w.patchShop(`{"spec": {"syncPolicy": {"automated": {"prune": true}}}}`)
			w.waitSynced("shop", third)
			w.waitVersion("shop", "v1.2.0")
		})
	}
}

func TestApplicationSet_Hold(t *testing.T) {
	a := shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: new directories of an ApplicationSet that was held, from its release on")
	w.runApplicationSets(a)
	g := w.github()
	// What the Applications deploy is elsewhere: their changes make Argo CD run the generators, too.
	r := w.newRepository("apps", map[string]string{"apps/shop/name": "shop"})
	deployed := w.newRepository("deploy", map[string]string{"shop.yaml": configMap("shop", "1")})
	w.Create(applicationSets, w.applicationSet(directories(r), "{{.path.basename}}", deployed, "."))
	w.waitGenerated("shop")

	w.hold(applicationSets, "apps")
	var held []*v1alpha1.WebhookDelivery
	for _, name := range []string{"desk", "till"} {
		commit := r.commit(map[string]string{"apps/" + name + "/name": name})
		d, _ := g.push(byGitHub, r, mainBranch, commit)
		mustBeHeld(t, d)
		held = append(held, d)
	}
	w.waitPhase(held[0], v1alpha1.DeliverySuperseded)
	w.waitGenerated("shop")

	released := w.release(applicationSets, "apps")
	w.waitGenerated("desk", "shop", "till")
	reacted(released)
	w.waitPhase(held[1], v1alpha1.DeliveryApplied)
}

// An ApplicationSet releases the Applications that it generates, unless its owner lists the annotation.
func TestArgoCD_ApplicationSetAndHold(t *testing.T) {
	for name, test := range map[string]struct {
		preserved string
		want      v1alpha1.DeliveryPhase
	}{
		"keeps it":    {keptByApplicationSet, v1alpha1.DeliveryHeld},
		"releases it": {"", v1alpha1.DeliveryApplied},
	} {
		t.Run(name, func(t *testing.T) {
			a := shared.needsArgoCD(t)
			w := newWorld(t)
			scenario(t, "Argo CD: hold of an Application, the ApplicationSet "+name)
			w.runApplicationSets(a)
			g, r := w.github(), w.newShopOfSet(test.preserved)

			w.hold(applications, "shop")
			w.reconcileSet()
			commit := r.commit(map[string]string{"shop.yaml": configMap("shop", "2")})
			d, _ := g.push(byGitHub, r, mainBranch, commit)
			if d.Status.Phase != test.want {
				t.Errorf("got phase %q, want %q: %s", d.Status.Phase, test.want, d.Status.Message)
			}
		})
	}
}

// patchShop changes the Application shop, as a user does.
func (w *world) patchShop(patch string) {
	w.T.Helper()
	_, err := w.Objects.Resource(applications).Namespace(w.Namespace).Patch(w.T.Context(), "shop",
		types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	if err != nil {
		w.T.Fatal(err)
	}
}

// rollBack starts the operation that Argo CD's API server starts for a rollback to a revision of the history, and waits
// for its end.
func (w *world) rollBack(application, revision string) {
	w.T.Helper()
	history, _, _ := unstructured.NestedSlice(w.Get(applications, application).Object, "status", "history")
	for _, item := range history {
		entry := item.(map[string]any)
		if entry["revision"] != revision {
			continue
		}
		operation, err := json.Marshal(map[string]any{"operation": map[string]any{
			"initiatedBy": map[string]any{"username": "jane"},
			"sync": map[string]any{
				"revision": revision, "source": entry["source"],
				"syncStrategy": map[string]any{"apply": map[string]any{}},
			},
		}})
		if err != nil {
			w.T.Fatal(err)
		}
		w.patchShop(string(operation))
		w.Eventually(reactionTimeout, func() error {
			got := w.Get(applications, application)
			state, _, _ := unstructured.NestedMap(got.Object, "status", "operationState")
			done, _, _ := unstructured.NestedString(state, "syncResult", "revision")
			if _, pending := got.Object["operation"]; pending || state["phase"] != "Succeeded" || done != revision {
				return fmt.Errorf("the rollback is %v at %q", state["phase"], done)
			}
			return nil
		})
		return
	}
	w.T.Fatalf("the history lacks %s: %v", revision, history)
}

// waitCompared waits until Argo CD has compared an Application with a revision that does not run.
func (w *world) waitCompared(application, revision string) {
	w.T.Helper()
	w.Eventually(reactionTimeout, func() error {
		got := w.Get(applications, application)
		status, _, _ := unstructured.NestedString(got.Object, "status", "sync", "status")
		compared, _, _ := unstructured.NestedString(got.Object, "status", "sync", "revision")
		if status != "OutOfSync" || compared != revision {
			return fmt.Errorf("%s is %q at %q, want OutOfSync at %q", application, status, compared, revision)
		}
		return nil
	})
	w.waitServed(application)
}
