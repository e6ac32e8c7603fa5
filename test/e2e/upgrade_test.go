// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// olderCommit is what the tests upgrade from, until there is a release. It records a delivery before its targets are
// written, and knows fewer fields of records.
const olderCommit = "8b39187a70bae37335aca5fbcfb3e62600ef8294"

func TestUpgrade(t *testing.T) {
	older := olderBuild(t)
	w := newWorld(t)
	w.addVolume(w.Nodes()[0])
	w.upgrade("", older, "manifests/base", "")
}

// While one replica after the other is replaced, both versions serve, and no delivery is refused.
func TestUpgrade_Replicas(t *testing.T) {
	older := olderBuild(t)
	w := newWorld(t)
	for _, o := range w.upgrade(" of three replicas", older, "manifests/overlays/ha", w.externalEtcd()) {
		if o.outage() > 0 {
			t.Errorf("%d deliveries were answered %s, want 2xx only", o.requests, o.answers())
		}
	}
}

// upgrade installs an older build, upgrades to that of the suite, and rolls back, during a load, as docs/operations.md
// says. Before each change there are records, and a pending delivery.
func (w *world) upgrade(of string, older build, manifests, patches string) (outcomes []*outcome) {
	w.t.Helper()
	if err := w.Nodes()[0].ImportImage(w.t.Context(), older.image.archive); err != nil {
		w.t.Fatal(err)
	}
	w.apply(older, manifests, patches)
	for _, change := range []struct {
		name  string
		do    func(*world)
		files []string // that the version before the change records of a push
	}{
		{"upgrade", func(w *world) { w.install(manifests, patches) }, nil},
		{"rollback", func(w *world) {
			w.kubectl("rollout", "undo", "statefulset/postern", "--namespace="+system)
			w.awaitRollout()
			before := w.podUID()
			w.apply(older, manifests, patches)
			if w.podUID() != before {
				w.t.Error("the older manifests have replaced the Pod again")
			}
		}, []string{"plant/values.yaml"}},
	} {
		o := w.disturb(change.name+of, func(w *world) {
			if files := w.push().Spec.Events[0].ChangedFiles; !slices.Equal(files, change.files) {
				w.t.Errorf("a push before the %s has the changed files %q, want %q", change.name, files, change.files)
			}
			before, err := w.list(w.t.Context())
			if err != nil {
				w.t.Fatal(err)
			}
			mend := w.breakTarget()
			pending := w.deliverPending("v2.0.0-" + change.name)
			change.do(w)
			mend()
			w.eventually("the pending delivery is applied", func(ctx context.Context) error {
				return w.inPhase(ctx, pending, v1alpha1.DeliveryApplied)
			})
			w.compare(before)
		})
		outcomes = append(outcomes, o)
	}
	return outcomes
}

// compare checks that the records that there were before, and that were not pending, are the same.
func (w *world) compare(before map[string]*v1alpha1.WebhookDelivery) {
	w.t.Helper()
	after, err := w.list(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for name, record := range before {
		if record.Status.Phase == v1alpha1.DeliveryPending {
			continue
		}
		if after[name] == nil {
			w.t.Errorf("the record %s is gone", name)
		} else if diff := cmp.Diff(contentOf(record), contentOf(after[name])); diff != "" {
			w.t.Errorf("the record %s is another (-before +after):\n%s", name, diff)
		}
	}
}

// content is what both versions know of a record.
type content struct {
	UID     types.UID
	Sender  *v1alpha1.Sender
	Phase   v1alpha1.DeliveryPhase
	Reason  string
	Refs    []string
	Targets []string
}

func contentOf(record *v1alpha1.WebhookDelivery) content {
	status := record.Status
	c := content{UID: record.UID, Sender: status.Sender, Phase: status.Phase, Reason: status.Reason}
	for _, event := range record.Spec.Events {
		c.Refs = append(c.Refs, event.Ref+" "+event.Repository+" "+event.Revision)
	}
	for _, target := range status.Targets {
		c.Targets = append(c.Targets, fmt.Sprint(target.Kind, target.Name, target.Ref, target.Result))
	}
	return c
}

// olderBuild returns the older build.
func olderBuild(t *testing.T) build {
	t.Helper()
	if suite.skip != "" {
		t.Skip(suite.skip)
	}
	checkout := kept("older-" + olderCommit)
	if _, err := os.Stat(filepath.Join(checkout, "bin", "release", "postern")); errors.Is(err, fs.ErrNotExist) {
		buildOlder(t, checkout)
	}
	image, err := releasedImage(t.Context(), checkout, "older")
	t.Cleanup(func() { _ = os.RemoveAll(image.dir) })
	if err != nil {
		t.Fatal(err)
	}
	return build{checkout, image}
}

// buildOlder builds the older commit in a new directory. The test is skipped if git does not have it.
func buildOlder(t *testing.T, checkout string) {
	t.Helper()
	exists := exec.CommandContext(t.Context(), "git", "cat-file", "-e", olderCommit)
	exists.Dir = suite.repository
	if exists.Run() != nil {
		t.Skipf("git does not have the commit %s, which \"git fetch --unshallow\" gets", olderCommit)
	}
	const script = `
rm -rf "$1"
mkdir -p "$1"
git archive "$2" | tar --extract --directory="$1"
make --directory="$1" release VERSION=v0.0.0-older REVISION="$2" DATE=2026-01-01T00:00:00Z
`
	build := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script, "build", checkout, olderCommit)
	build.Dir = suite.repository
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("could not build the older commit: %v: %s", err, output)
	}
}

// push delivers a push of GitHub that changes a file, and returns the record.
func (w *world) push() *v1alpha1.WebhookDelivery {
	w.t.Helper()
	got := w.newSender().post("plant", `{
  "ref": "refs/heads/main", "before": "7e7c9b21c3f0c4a1a39f7f8ea2d7c1a1f2c4b0d9", "created": false, "forced": false,
  "after": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
  "head_commit": {"id": "6dcb09b5b57875f334f61aebed695e2e4193db5e"},
  "commits": [{"added": [], "modified": ["plant/values.yaml"], "removed": []}],
  "repository": {"clone_url": "https://github.com/example/plant.git"}}`, http.Header{
		"Content-Type": {"application/json"}, "X-Github-Event": {"push"},
	})
	if !got.accepted() {
		w.t.Fatalf("a push was answered %d: %s", got.code, got.complaint)
	}
	record, err := w.deliveries.PosternV1alpha1().WebhookDeliveries(namespace).Get(w.t.Context(), got.record,
		metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return record
}

// deliverPending delivers a ref to the target plant, which can't be written, and returns the name of the record.
func (w *world) deliverPending(ref string) string {
	w.t.Helper()
	got := w.newSender().post("plant", fmt.Sprintf(`{"ref": %q}`, ref), nil)
	if !got.accepted() {
		w.t.Fatalf("a delivery to a target that can't be written was answered %d: %s", got.code, got.complaint)
	}
	if err := w.inPhase(w.t.Context(), got.record, v1alpha1.DeliveryPending); err != nil {
		w.t.Fatal(err)
	}
	return got.record
}

// inPhase returns an error unless a record is in a phase.
func (w *world) inPhase(ctx context.Context, name string, want v1alpha1.DeliveryPhase) error {
	record, err := w.deliveries.PosternV1alpha1().WebhookDeliveries(namespace).Get(ctx, name, metav1.GetOptions{})
	if err == nil && record.Status.Phase != want {
		err = fmt.Errorf("%s is %s: %s", name, record.Status.Phase, record.Status.Message)
	}
	return err
}

// breakTarget makes the kube-apiserver answer writes of the target plant with 500, until mend is called.
func (w *world) breakTarget() (mend func()) {
	w.t.Helper()
	w.feed(unreachableWebhook, "create", "--filename=-")
	w.eventually("the target can't be written", func(ctx context.Context) error {
		patch := []byte(`{"metadata": {"labels": {"written": "yes"}}}`)
		_, err := w.objects.Resource(gatewaySyncs).Namespace(namespace).Patch(ctx, "plant", types.MergePatchType, patch,
			metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("it can be written")
		}
		return nil
	})
	return func() { w.kubectl("delete", "validatingwebhookconfiguration", "unreachable") }
}

const unreachableWebhook = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: unreachable}
webhooks:
- name: unreachable.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  clientConfig: {url: "https://127.0.0.1:1/"}
  matchConditions:
  - {name: plant, expression: object.metadata.name == "plant"}
  rules:
  - {apiGroups: [stoker.io], apiVersions: ["*"], operations: [UPDATE], resources: [gatewaysyncs]}
`
