// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"errors"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/test/testcluster"
)

const hour = time.Hour

// twoAliases is an Application that runs an image under two aliases with different settings.
const twoAliases = `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: shop
  annotations:
    argocd-image-updater.argoproj.io/image-list: stable=ghcr.io/example/web:~1.2, edge=ghcr.io/example/edge:latest
    argocd-image-updater.argoproj.io/stable.ignore-tags: "*-rc*"
    argocd-image-updater.argoproj.io/edge.update-strategy: digest
spec:
  project: default
  destination: {server: "https://kubernetes.default.svc", namespace: shop}
  source: {repoURL: "https://github.com/example/shop.git", path: deploy, targetRevision: main}
status:
  sourceType: Kustomize
  summary: {images: ["ghcr.io/example/web:1.2.0", "ghcr.io/example/edge:latest"]}
`

func TestExplainImage_PerAlias(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.Applications, twoAliases)
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, tt := range []struct {
		image string
		code  int
		want  []string
	}{
		{"ghcr.io/example/web:1.2.1", 0, []string{"It would be updated. The pushed version is higher",
			"stable: updated (NewerVersion)", "image-list: ghcr.io/example/web:~1.2", "update-strategy: semver",
			"spec.source.kustomize.images: (none) → ghcr.io/example/web:1.2.1"}},
		{"ghcr.io/example/web:1.2.0", 0, []string{"It has the image.", "stable: not updated (UpToDate)"}},
		{"ghcr.io/example/web:1.3.0", 2, []string{"It would not be updated. The version is outside of the constraint",
			"stable: not updated (ConstraintNotMet)", "image-list: ghcr.io/example/web:~1.2"}},
		{"ghcr.io/example/web:1.2.2-rc1", 2, []string{"(TagIgnored)", "ignore-tags: *-rc*"}},
		{"ghcr.io/example/edge:latest", 2, []string{"(DigestMissing)", "update-strategy: digest"}},
		{"ghcr.io/example/edge:latest@" + digest, 0, []string{"edge: updated (NewDigest)", digest}},
		{"ghcr.io/example/unknown:1", 2, []string{"no configuration for image updates names the image",
			"Configured images: ghcr.io/example/web, ghcr.io/example/edge"}},
	} {
		t.Run(tt.image, func(t *testing.T) {
			w := &world{w.Cluster, w.Cluster.Sandbox(t, w.Namespace)}
			w.expect(w.run("explain-image", "shop", tt.image), tt.code, tt.want...)
		})
	}
	w.expect(w.run("explain-image", "app/shop", "ghcr.io/example/web:1.2.1", "-o", "json"), 0, `"accepted": true`)
	if got := w.Get(testcluster.Applications, "shop").GetAnnotations()["postern.dev/requested-ref"]; got != "" {
		t.Errorf("a dry run changed the Application: %s", got)
	}
	w.expect(w.run("explain-image", "shop", "ghcr.io/example/web"), 1, "has no tag")
	w.expect(w.run("explain-image", "none", "ghcr.io/example/web:1"), 1, `applications.argoproj.io "none" not found`)
	w.expect(w.run("explain-image", "gs/plant", "ghcr.io/example/web:1"), 1, "is not the name of an Application")
}

func TestExplainImage_GitWriteBack(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.Applications, strings.Replace(twoAliases, "  annotations:\n",
		"  annotations:\n    argocd-image-updater.argoproj.io/write-back-method: git\n", 1))
	w.expect(w.run("explain-image", "shop", "ghcr.io/example/web:1.2.1"), 0,
		"Its annotations would note the request. Argo CD Image Updater commits",
		"stable: not updated (GitWriteBack)")
}

// TestExplainImage_SaysWhatUserMayNot asks as users who may do one of the two.
func TestExplainImage_SaysWhatUserMayNot(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.Applications, twoAliases)
	subject, _ := w.ServiceAccount("sender", hour)
	w.Grant(subject, "create", "webhookdeliveries")
	w.MustKubectl(t, "", "create", "role", "reader", "-n", w.Namespace, "--verb=get,list",
		"--resource=applications.argoproj.io")
	w.ServiceAccount("reader", hour)
	w.MustKubectl(t, "", "create", "rolebinding", "reader", "-n", w.Namespace, "--role=reader",
		"--serviceaccount="+w.Namespace+":reader")
	as := func(name string) string { return "--as=system:serviceaccount:" + w.Namespace + ":" + name }
	for name, want := range map[string][]string{
		"sender": {"Not known: you may not read the Application", "It would not be updated."},
		"reader": {"Not known: the server refuses the delivery", "Not known: ImageUpdater objects could not be read",
			"By its configuration it would not be updated.", "stable: not updated (ConstraintNotMet)"},
	} {
		var r result
		w.Eventually(testcluster.Patience, func() error {
			r = w.run("explain-image", "shop", "ghcr.io/example/web:1.3.0", as(name))
			if r.code == 1 {
				return errors.New(r.errOut)
			}
			return nil
		})
		w.expect(r, 2, want...)
	}
	r := w.run("explain-image", "shop", "ghcr.io/example/web:1.3.0", "--as=nobody")
	w.expect(r, 1, "error: nothing is known of the Application")
	if strings.Contains(r.out, "updated") {
		t.Errorf("got %s", r.out)
	}
}
