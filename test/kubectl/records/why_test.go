// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli/story"
	"postern.dev/postern/test/testcluster"
)

// shop is an Application that runs an image, which a constraint selects.
const shop = `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: shop
  annotations:
    argocd-image-updater.argoproj.io/image-list: web=ghcr.io/example/web:~1.2
    argocd-image-updater.argoproj.io/web.allow-tags: regexp:^[0-9.]+$
spec:
  project: default
  destination: {server: "https://kubernetes.default.svc", namespace: shop}
  source: {repoURL: "https://github.com/example/shop.git", path: deploy, targetRevision: main}
status:
  sourceType: Kustomize
  summary: {images: ["ghcr.io/example/web:1.2.0"]}
`

// TestWhy_SaysInWordsWhatBecameOfIt delivers with each kind of outcome, and asks why.
func TestWhy_SaysInWordsWhatBecameOfIt(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	w.Create(testcluster.Applications, shop)
	doctor := func(words string) string { return "kubectl postern doctor " + words + " -n " + w.Namespace }
	for _, tt := range []struct {
		name string
		spec v1alpha1.WebhookDeliverySpec
		code int
		want []string
	}{
		{"applied", toPlant("v1.1.0"), 0, []string{
			"requested v1.1.0 for gatewaysync/plant. It was applied. It had main before, and got v1.1.0.",
			"stoker.io/requested-ref: (none) → v1.1.0", "admin, proved by User"}},
		{"unchanged", toPlant("v1.1.0"), 0, []string{"The target had it already, so nothing was written."}},
		{"commit", toPlant("6dcb09b5b57875f334f61aebed695e2e4193db5e"), 2, []string{
			"Nothing was done.", "kubectl annotate gatewaysyncs.stoker.io plant",
			"postern.dev/accept-commits=true"}},
		{"ping", pushed("ping", `{"zen": "Design for failure.", "hook_id": 1}`), 2,
			[]string{"requested nothing", "It is a connection test of the sender (GitHub tests the webhook)."}},
		{"no-target", pushed("push", `{"ref": "refs/heads/other", "after": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
			"repository": {"clone_url": "https://github.com/example/other.git"}}`), 2, []string{
			"Nothing in the namespace follows what was pushed", doctor("--source github")}},
		{"constraint", imageToShop("ghcr.io/example/web", "1.3.0"), 2, []string{
			"The version is outside of the constraint", "~1.2",
			"kubectl postern explain-image shop ghcr.io/example/web:1.3.0 -n " + w.Namespace}},
		{"not-allowed", imageToShop("ghcr.io/example/web", "1.2.1-rc1"), 2, []string{"(allow-tags)"}},
		{"image", imageToShop("ghcr.io/example/web", "1.2.1"), 0, []string{
			"The pushed version is higher than the one in use.",
			"spec.source.kustomize.images: (none) → ghcr.io/example/web:1.2.1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &world{w.Cluster, w.Cluster.Sandbox(t, w.Namespace)}
			w.deliver(tt.name, tt.spec)
			w.expect(w.run("why", tt.name), tt.code, tt.want...)
		})
	}
}

func TestWhy_NamesWhatCameLater(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	release := func(name, tag, at string) {
		spec := pushed("release", fmt.Sprintf(
			`{"action": "published", "release": {"tag_name": %q, "published_at": %q}}`, tag, at))
		spec.Target = toPlant("").Target
		w.deliver(name, spec)
	}
	release("second", "v2", "2026-03-04T05:06:07Z")
	release("first", "v1", "2026-03-04T05:06:06Z") // overtaken by the second
	w.expect(w.run("why", "first"), 2, "It was not applied, because it had been superseded.",
		"The delivery second won.", "kubectl postern redeliver first -n "+w.Namespace)
	release("third", "v3", "2026-03-04T05:06:08Z")
	w.expect(w.run("why", "second"), 0, "It was applied.",
		"Since then, the delivery third has replaced it: it has v3 now.")
	w.expect(w.run("why", "gatewaysync/plant"), 0, "third: Applied")
	w.expect(w.run("why", "whd/first"), 2, "The delivery third won.")

	w.MustKubectl(t, "", "annotate", "gatewaysync.stoker.io/plant", "-n", w.Namespace, "--overwrite",
		"stoker.io/requested-ref=by-hand")
	w.expect(w.run("why", "third"), 0, "by-hand")
}

func TestWhy_Held(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	for why, want := range map[string]string{
		"freeze (until Monday)": "once that is released. The hold says: freeze (until Monday).\n",
		"true":                  "once that is released.\n",
	} {
		w.MustKubectl(t, "", "annotate", "gatewaysync.stoker.io/plant", "-n", w.Namespace, "--overwrite",
			v1alpha1.AnnotationHold+"="+why)
		w.Eventually(testcluster.Patience, func() error { // Postern has seen it
			w.deliver("held", toPlant("v1.1.0"))
			r := w.run("why", "held")
			w.MustKubectl(t, "", "delete", "whd", "held", "-n", w.Namespace)
			if r.code != 2 || !strings.Contains(r.out, "It is held. A hold keeps it from being written; ") ||
				!strings.Contains(r.out, want) ||
				!strings.Contains(r.out, "kubectl annotate gatewaysyncs.stoker.io plant postern.dev/hold- ") {
				return fmt.Errorf("got %s", r.out)
			}
			return nil
		})
	}
}

func TestWhy_ForPrograms(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	w.deliver("one", toPlant("v1"))
	w.Eventually(testcluster.Patience, func() error {
		r := w.run("why", "one", "-o", "json")
		w.expect(r, 0)
		var told story.Story
		if err := json.Unmarshal([]byte(r.out), &told); err != nil {
			return err
		}
		if len(told.Targets) != 1 || told.Targets[0].Changes[0].Now != "v1" || told.Targets[0].CurrentRef != "v1" ||
			told.Delivery.Name != "one" || told.Delivery.Kind != "WebhookDelivery" {
			t.Fatalf("got %s", r.out)
		}
		if len(told.Events) != 1 || told.Events[0].Reason != "RefRequested" {
			return fmt.Errorf("the Events are %v", told.Events)
		}
		return nil
	})
	w.expect(w.run("why", "one", "-o", "yaml"), 0, "summary: ")
	w.expect(w.run("why", "one", "-o", "wide"), 1, "error: unable to match a printer")
}

func TestWhy_RefusedWebhookHasNoRecord(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run("why", "github-4zv9d"), 1, "error: there is no delivery github-4zv9d",
		"was refused (400, 401, 403 or 404)", "kubectl postern doctor -n "+w.Namespace)
	w.expect(w.run("why", "application/shop"), 1, "kubectl postern doctor application/shop -n "+w.Namespace)
	w.expect(w.run("why", "pod/shop"), 1, "is not a kind of target")
}

// TestWhy_TellsWhatUserMayRead asks as a user who may read records, and nothing else.
func TestWhy_TellsWhatUserMayRead(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	w.deliver("one", toPlant("v1"))
	subject, _ := w.ServiceAccount("reader", hour)
	w.Grant(subject, "get,list", "webhookdeliveries")
	as := "--as=system:serviceaccount:" + w.Namespace + ":reader"
	w.Eventually(testcluster.Patience, func() error {
		if r := w.run("why", "one", as); r.code != 0 {
			return fmt.Errorf("exit code %d: %s", r.code, r.errOut)
		}
		return nil
	})
	r := w.run("why", "one", as)
	w.expect(r, 0, "What it has now is unknown: you may not read it.", "stoker.io/requested-ref: (none) → v1")
	if strings.Contains(r.out, "Events") || strings.Contains(r.out, "now v1") {
		t.Errorf("got %s", r.out)
	}
	w.expect(w.run("why", "one", "--as=nobody"), 1, "error: could not read the delivery", "forbidden")
}
