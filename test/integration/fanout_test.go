// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// runningShop creates an Application that runs an image, with Image Updater annotations in YAML.
func (w *world) runningShop(name, image, annotations string) {
	w.T.Helper()
	w.Create(applications, `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: `+name+`, annotations: {`+annotations+`}}
spec:
  project: default
  destination: {name: in-cluster, namespace: shop}
  source: {repoURL: "https://github.com/example/shop.git", path: deploy}
status: {sourceType: Kustomize, summary: {images: ["`+image+`"]}}`)
}

const wantsHarborsShop = "argocd-image-updater.argoproj.io/image-list: shop=harbor.example.com/team/shop"

// checkImages fails the test unless the Application sets these images.
func (w *world) checkImages(name string, want ...string) {
	w.T.Helper()
	images := in[[]any](w.Get(applications, name).Object, "spec", "source", "kustomize", "images")
	if len(images) != len(want) {
		w.T.Fatalf("Application %s sets %v, want %q", name, images, want)
	}
	for i := range want {
		if images[i] != want[i] {
			w.T.Errorf("Application %s sets %v, want %q", name, images, want)
		}
	}
}

// harbor returns a Harbor sender with a ServiceAccount token.
func (w *world) harbor() sender {
	w.T.Helper()
	subject, token := w.serviceAccount("harbor")
	w.allow(subject, "webhooksources", "harbor")
	return w.sender(token)
}

// trier returns an authenticated sender for dry runs by source.
func (w *world) trier() sender {
	w.T.Helper()
	subject, token := w.serviceAccount("trier")
	w.allow(subject, "webhooksources")
	return w.sender(token)
}

// untilFound repeats a dry run until it has these results.
func (w *world) untilFound(s sender, path string, r request, results map[string]string) {
	w.T.Helper()
	w.eventually(func() error {
		got, err := s.post(w.T.Context(), path+dryRun, []byte(r.body), r.header)
		if err := errors.Join(err, answeredWith(http.StatusAccepted)(got)); err != nil {
			return err
		}
		return sameResults(results, got)
	})
}

func TestFanout_RefusedTargetStopsNoOther(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "denied", "z"} {
		w.runningShop(name, "harbor.example.com/team/shop:1.0.0", wantsHarborsShop)
	}
	harbor, push := w.harbor(), payload(t, "harbor/push-full.json")
	w.untilFound(harbor, sourcePath("harbor"), push, map[string]string{
		"a": "Written NewerVersion", "denied": "Written NewerVersion", "z": "Written NewerVersion",
	})
	w.policyOn("{apiGroups: [argoproj.io], apiVersions: ['*'], operations: [UPDATE], resources: [applications]}",
		"ValidatingAdmissionPolicy", `
  validations:
  - {expression: "object.metadata.name != 'denied'", message: targets are frozen}
`, "validationActions: [Deny]")
	w.eventually(func() error {
		_, err := w.Objects.Resource(applications).Namespace(w.Namespace).Patch(t.Context(), "denied",
			types.MergePatchType,
			[]byte(`{"metadata": {"labels": {"a": "b"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("the policy is not in effect yet")
		}
		return nil
	})
	before := w.Get(applications, "denied")

	status := harbor.mustPost(t, sourcePath("harbor"), push.body, push.header, http.StatusInternalServerError).status(t)
	mustBeIn(t, status.Message, "Application "+w.Namespace+"/denied", "targets are frozen")

	w.mustBeUntouched(applications, before)
	for _, name := range []string{"a", "z"} {
		w.checkImages(name, "harbor.example.com/team/shop:1.4.0")
		w.mustHold(applications, name, "postern.dev/requested-by", "harbor")
	}
	records := w.records()
	if len(records) != 1 {
		t.Fatalf("got %d records, want 1", len(records))
	}
	got := w.concluded(records[0].Name)
	if err := sameResults(map[string]string{
		"a": "Written NewerVersion", "denied": "Failed TargetRefused", "z": "Written NewerVersion",
	}, answer{body: mustJSON(t, got)}); err != nil {
		t.Error(err)
	}
	if got.Status.Phase != v1alpha1.DeliveryFailed || got.Status.Reason != "SomeTargetsFailed" {
		t.Errorf("got phase %s, reason %s; want Failed, SomeTargetsFailed", got.Status.Phase, got.Status.Reason)
	}
	if event := w.targetEvents("denied", 1)[0]; event.Type != "Warning" || event.Reason != "RefRequestFailed" {
		t.Errorf("got Event %s %s, want Warning RefRequestFailed", event.Type, event.Reason)
	}
}

func TestFanout_NoMatchIsIgnored(t *testing.T) {
	w := newWorld(t)
	w.application("shop", nil)
	before := w.Get(applications, "shop")
	harbor, push := w.harbor(), payload(t, "harbor/push-full.json")
	w.untilFound(harbor, sourcePath("harbor"), push, map[string]string{})

	d := harbor.mustPost(t, sourcePath("harbor"), push.body, push.header, http.StatusAccepted).delivery(t)
	for _, d := range []*v1alpha1.WebhookDelivery{d, w.deliver(delivery("by-hand", "ref: v1"))} {
		if d.Status.Phase != v1alpha1.DeliveryIgnored || d.Status.Reason != "NoTarget" || len(d.Status.Targets) > 0 {
			t.Errorf("%s: got phase %s, reason %s, targets %v; want Ignored, NoTarget, none",
				d.Name, d.Status.Phase, d.Status.Reason, d.Status.Targets)
		}
	}
	w.mustBeUntouched(applications, before)
}

func TestFanout_ImageByHand(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c"} {
		w.runningShop(name, "example/shop:1.0.0", "argocd-image-updater.argoproj.io/image-list: example/shop")
	}
	c := w.Get(applications, "c")

	one := w.deliver(delivery("one", "target: {kind: Application, name: a}, image: example/shop, ref: 1.1.0"))
	if err := sameResults(map[string]string{"a": "Written NewerVersion"}, answer{body: mustJSON(t, one)}); err != nil {
		t.Error(err)
	}
	w.checkImages("a", "example/shop:1.1.0")
	w.mustBeUntouched(applications, c)

	const all = "image: docker.io/example/shop, ref: 1.2.0"
	results := map[string]string{"a": "Written NewerVersion", "b": "Written NewerVersion", "c": "Written NewerVersion"}
	w.eventually(func() error {
		return sameResults(results, answer{body: mustJSON(t, w.deliver(delivery("try", all), "--dry-run=server"))})
	})
	w.mustHaveRecords("one")
	w.mustBeUntouched(applications, c)
	if err := sameResults(results, answer{body: mustJSON(t, w.deliver(delivery("all", all)))}); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		w.checkImages(name, "example/shop:1.2.0")
		w.mustHold(applications, name, "postern.dev/requested-ref", "docker.io/example/shop:1.2.0")
	}
}

// Quay sends all tags of a push in one body. Each Application selects its own.
func TestFanout_EveryTagToEachApplication(t *testing.T) {
	w := newWorld(t)
	const list = "argocd-image-updater.argoproj.io/image-list: shop=quay.io/example/shop"
	const shop = "argocd-image-updater.argoproj.io/shop."
	w.runningShop("versions", "quay.io/example/shop:1.3.0", list)
	w.runningShop("latest", "quay.io/example/shop:old", list+", "+shop+"update-strategy: newest-build, "+shop+
		"allow-tags: 'regexp:^(old|latest)$'")
	w.runningShop("ahead", "quay.io/example/shop:2.0.0", list)
	ahead := w.Get(applications, "ahead")
	secret := newSecret()
	w.secret(map[string]string{"webhook.quay-secret": secret})
	w.allow(unauthenticated, "webhooksources", "quay.io")
	quay, push := w.anonymous(), payload(t, "quay.io/several-tags.json")
	path := sourcePath("quay.io") + "?secret=" + secret
	w.untilAccepted(quay, path, noProof)
	trier := w.trier()
	w.eventually(func() error { // until the Applications are in the cache: three tags for each
		got, err := trier.post(t.Context(), sourcePath("quay.io")+dryRun, []byte(push.body), push.header)
		if err := errors.Join(err, answeredWith(http.StatusAccepted)(got)); err != nil {
			return err
		}
		return want("targets", len(got.delivery(t).Status.Targets), 9)
	})

	got := quay.mustPost(t, path, push.body, push.header, http.StatusAccepted)
	w.checkImages("versions", "quay.io/example/shop:1.4.0")
	w.mustHold(applications, "versions", "postern.dev/requested-ref", "quay.io/example/shop:1.4.0")
	w.checkImages("latest", "quay.io/example/shop:latest")
	w.mustBeUntouched(applications, ahead)
	if d := got.delivery(t); d.Status.Phase != v1alpha1.DeliveryApplied {
		t.Errorf("got phase %s, want Applied", d.Status.Phase)
	}
}

// An Application with its own webhook secret accepts no other secret, but RBAC may permit an identity to deliver.
func TestFanout_ApplicationWithOwnSecret(t *testing.T) {
	w := newWorld(t)
	w.runningShop("own", "quay.io/example/shop:1.0.0",
		"argocd-image-updater.argoproj.io/image-list: quay.io/example/shop")
	w.runningShop("shared", "quay.io/example/shop:1.0.0",
		"argocd-image-updater.argoproj.io/image-list: quay.io/example/shop")
	own := w.Get(applications, "own")
	secret := newSecret()
	w.secret(map[string]string{"webhook.quay-secret": secret, "applications.own.token": newSecret()})
	w.allow(unauthenticated, "webhooksources", "quay.io")
	path, push := sourcePath("quay.io"), payload(t, "quay.io/minimal.json")
	w.untilFound(w.trier(), path, push, map[string]string{"own": "Written NewerVersion",
		"shared": "Written NewerVersion"})
	w.untilAccepted(w.anonymous(), path+"?secret="+secret, noProof)
	pushed := w.anonymous().mustPost(t, path+"?secret="+secret, push.body, push.header, http.StatusAccepted).delivery(t)
	results := map[string]string{"own": "Skipped OwnSecret", "shared": "Written NewerVersion"}
	if err := sameResults(results, answer{body: mustJSON(t, pushed)}); err != nil {
		t.Error(err)
	}
	w.mustBeUntouched(applications, own)
	w.checkImages("shared", "quay.io/example/shop:1.4.0")

	subject, token := w.serviceAccount("quay")
	w.allow(subject, "webhooksources", "quay.io")
	w.untilFound(w.sender(token), path, push, map[string]string{"own": "Written NewerVersion",
		"shared": "Unchanged UpToDate"})
	w.sender(token).mustPost(t, path, push.body, push.header, http.StatusAccepted)
	w.checkImages("own", "quay.io/example/shop:1.4.0")
}
