// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

// The annotations for nginx:1.26, in place of a git ref or of none.
const (
	annotatedAnew = `[
		{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-ref", "value": "nginx:1.26"},
		{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-at", "value": "2026-03-01T12:00:00Z"},
		{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-by", "value": "harbor"},
		{"op": "add", "path": "/metadata/annotations/argocd.argoproj.io~1refresh", "value": "normal"},
		{"op": "add", "path": "/metadata/annotations/argocd.argoproj.io~1refresh-timestamp",
			"value": "2026-03-01T12:00:00.0000005Z"}]`
	annotatedAfterGit = `[
		{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-ref", "value": "nginx:1.26"},
		{"op": "remove", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": null},
		{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-at", "value": "2026-03-01T12:00:00Z"},
		{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-by", "value": "harbor"},
		{"op": "add", "path": "/metadata/annotations/argocd.argoproj.io~1refresh-timestamp",
			"value": "2026-03-01T12:00:00.0000005Z"}]`
)

// TestDecideImage_LeavesSpec checks pushes that write at most annotations.
func TestDecideImage_LeavesSpec(t *testing.T) {
	set := Change{Field: "postern.dev/requested-ref", New: "nginx:1.26"}
	for _, test := range []struct {
		name        string
		annotations []string
		updater     string
		tool        string // Kustomize if empty
		runs        string // nginx:1.25 if empty
		ifFollowed  bool
		want        Result
		wantPatch   string
	}{
		{
			name: "images are not configured",
			want: Result{Changes: []Change{set}, Held: true, Reason: "Requested",
				Message: `postern.dev/requested-ref set to "nginx:1.26"; no configuration for image updates names ` +
					`nginx`},
			wantPatch: annotatedAnew,
		},
		{
			name:        "another image is configured, and the configuration has a problem",
			annotations: []string{"image-list: redis:7, http://nginx"},
			want: Result{Changes: []Change{set}, Held: true, Reason: "Requested",
				Message: `postern.dev/requested-ref set to "nginx:1.26"; no configuration for image updates names ` +
					`nginx; ` +
					`"http://nginx" is not the name of an image: invalid reference format`},
			wantPatch: annotatedAnew,
		},
		{
			name: "images are not configured, and the Application was not named",
			want: Result{Reason: "NotFollowed",
				Message: "no configuration for image updates names nginx"}, ifFollowed: true,
			wantPatch: "null",
		},
		{
			name: "a git ref was requested before",
			annotations: []string{"postern.dev/requested-ref: main", "postern.dev/requested-revision: 1111",
				"argocd.argoproj.io/refresh: hard"},
			want: Result{
				Changes: []Change{{Field: "postern.dev/requested-ref", Old: "main", New: "nginx:1.26"},
					{Field: "postern.dev/requested-revision", Old: "1111"}},
				Previous: "main", Held: true, Reason: "Requested",
				Message: `postern.dev/requested-ref "main" → "nginx:1.26"; postern.dev/requested-revision "1111" ` +
					`removed; ` +
					`no configuration for image updates names nginx`},
			wantPatch: annotatedAfterGit,
		},
		{
			name:        "images are not configured, and the same was requested before",
			annotations: []string{"postern.dev/requested-ref: nginx:1.26"},
			want: Result{Previous: "nginx:1.26", Held: true, Reason: "AlreadyRequested",
				Message: `postern.dev/requested-ref is "nginx:1.26" already; no configuration for image updates ` +
					`names nginx`},
			wantPatch: "null",
		},
		{
			name:        "updates are commits",
			annotations: []string{"image-list: nginx", "write-back-method: git"},
			want: Result{Changes: []Change{set}, Held: true, Reason: "GitWriteBack",
				Message: `postern.dev/requested-ref set to "nginx:1.26"; nginx: it would be updated (1.26 replaces ` +
					`nginx:1.25), ` +
					`but the write-back method is git: Image Updater has to commit it`},
			wantPatch: annotatedAnew,
		},
		{
			name: "updates of one place of two are commits, by an ImageUpdater object",
			updater: `{writeBackConfig: {method: "git:secret:argocd/creds"}, applicationRefs:
				[{namePattern: "*", images: [
				{alias: old, imageName: "nginx:~1.25"}, {alias: new, imageName: nginx}]}]}`,
			want: Result{Changes: []Change{set}, Held: true, Reason: "GitWriteBack",
				Message: `postern.dev/requested-ref set to "nginx:1.26"; old: 1.26 does not meet the constraint ` +
					`"~1.25"; ` +
					`new: it would be updated (1.26 replaces nginx:1.25), ` +
					`but the write-back method is git: Image Updater has to commit it`},
			wantPatch: annotatedAnew,
		},
		{
			name: "updates are commits, and the same was requested before",
			annotations: []string{"image-list: nginx", "write-back-method: git",
				"postern.dev/requested-ref: nginx:1.26"},
			want: Result{Previous: "nginx:1.26", Held: true, Reason: "AlreadyRequested",
				Message: `postern.dev/requested-ref is "nginx:1.26" already; nginx: it would be updated (1.26 ` +
					`replaces nginx:1.25), ` +
					`but the write-back method is git: Image Updater has to commit it`},
			wantPatch: "null",
		},
		{
			name:        "the tag is not wanted",
			annotations: []string{"image-list: nginx:~1.25", "postern.dev/requested-ref: nginx:1.25"},
			want: Result{Previous: "nginx:1.25", Reason: "ConstraintNotMet",
				Message: `nginx: 1.26 does not meet the constraint "~1.25"`},
			wantPatch: "null",
		},
		{
			name:        "the tag is older",
			annotations: []string{"image-list: nginx"}, runs: "nginx:1.27",
			want:      Result{Reason: "OlderVersion", Message: "nginx: 1.26 is behind nginx:1.27, which is in use"},
			wantPatch: "null",
		},
		{
			name:        "the configuration is invalid",
			annotations: []string{"image-list: web=nginx", "web.allow-tags: 1.*"},
			want: Result{Reason: "InvalidConfiguration",
				Message: `web: allow-tags is "1.*"; it must be any, or regexp: and an expression`},
			wantPatch: "null",
		},
		{
			name:        "no source can hold it",
			annotations: []string{"image-list: nginx"}, tool: "Directory",
			want: Result{Reason: "UnsupportedSource",
				Message: "nginx: it would be updated (1.26 replaces nginx:1.25), " +
					"but no source is known to be rendered by Helm, Kustomize or a plugin"},
			wantPatch: "null",
		},
		{
			name:        "it runs already",
			annotations: []string{"image-list: nginx"}, runs: "nginx:1.26",
			want:      Result{Held: true, Reason: "UpToDate", Message: "nginx: nginx:1.26 is in use already"},
			wantPatch: "null",
		},
		{
			name:        "it runs already in one place, and another does not want it",
			annotations: []string{"image-list: old=nginx:~1.25, new=nginx"}, runs: "nginx:1.26.0",
			want: Result{Held: true, Reason: "SameVersion",
				Message: `old: 1.26 does not meet the constraint "~1.25"; ` +
					"new: 1.26 is the same version as nginx:1.26.0, which is in use"},
			wantPatch: "null",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := imageCase{annotations: test.annotations, updater: test.updater, tool: "Kustomize",
				runs: []string{"nginx:1.25"},
				spec: `{"source": {"repoURL": "https://git.acme.io/shop"}}`, pushed: "nginx:1.26"}
			if test.tool != "" {
				c.tool = test.tool
			}
			if test.runs != "" {
				c.runs = []string{test.runs}
			}
			request := c.request(t)
			request.IfFollowed = test.ifFollowed
			state := planState{updaters: c.updaters(t)}
			got := decideIn(t, state, parse(t, postern.TargetApplication, c.document(t)), request)
			if diff := cmp.Diff(test.want, got.Result); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			expectPatch(t, test.wantPatch, edits(got.Patch))
		})
	}
}

func TestDecideImage_NotForGatewaySync(t *testing.T) {
	got := decide(t, parse(t, postern.TargetGatewaySync, plantAt("v1")),
		Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, "nginx:1.26"), Source: "harbor"}, At: noon})
	want := decision{Result: Result{Previous: "v1", Reason: "NotApplicable",
		Message: "a GatewaySync follows a git repository, and the request is for an image or a chart"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A stored message must not grow with an owner's values.
func TestDecideImage_MessageIsShort(t *testing.T) {
	c := imageCase{
		annotations: []string{"image-list: redis" + strings.Repeat(", X"+strings.Repeat("é", 10_000), 20)},
		tool:        "Kustomize", runs: []string{"nginx:1.25"}, spec: `{}`, pushed: "nginx:1.26",
	}
	got := c.decide(t, c.document(t)).Message
	if len(got) > maxMessageBytes || !utf8.ValidString(got) || len(got) < maxMessageBytes-8 ||
		!strings.HasSuffix(got, "…") ||
		!strings.HasPrefix(got, `postern.dev/requested-ref set to "nginx:1.26"; no configuration for image updates `+
			`names nginx; "Xé`) {
		t.Errorf("got %d bytes: %q", len(got), got)
	}
}
