// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
)

// shopRequest is a request for a ref of the Application shop.
func shopRequest(ref string, receivedAt int) Request {
	return withRepository(shop, event(ref, "generic", 0, receivedAt))
}

// changedBy is an object after a field manager has set a field.
func changedBy(obj object, manager, field string) object {
	at := metav1.NewTime(noon.Add(time.Hour))
	obj.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, Time: &at,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(field),
	}})
	return obj
}

const ownsAppRevision = `{"f:spec":{"f:source":{"f:targetRevision":{}}}}`

// appWithRevisions is an Application to which Postern has written refs one after the other, and then someone else the
// last one.
func appWithRevisions(t *testing.T, extra string, refs ...string) string {
	t.Helper()
	document := annotatedApp(refs[0], moves+extra)
	for i, ref := range refs[1 : len(refs)-1] {
		document, _ = oneByOne(t, postern.TargetApplication, document, shopRequest(ref, 1+i))
	}
	last := fmt.Sprintf("%q", refs[len(refs)-1])
	return strings.Replace(document, fmt.Sprintf(`"targetRevision":%q`, refs[len(refs)-2]), `"targetRevision":`+last, 1)
}

func TestRollback_OfApplication(t *testing.T) {
	const generated = `"ownerReferences": [{"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
		"name": "s"}], `
	const deployed = `, "argocd.argoproj.io/tracking-id": "apps:argoproj.io/Application:demo/shop"`
	const commit, other = "1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"
	for name, test := range map[string]struct {
		// refs are what the Application had first, what Postern wrote, and what another client set last.
		refs     []string
		manager  string
		extra    string
		metadata string
		want     bool
	}{
		"lower version":                      {refs: []string{"v1.0.0", "v1.1.0", "v1.0.0"}, want: true},
		"lower version that was never there": {refs: []string{"main", "v1.1.0", "v1.0.0"}, want: true},
		"by kubectl": {
			refs:    []string{"v1.0.0", "v1.1.0", "v1.0.0"},
			manager: "kubectl-edit", want: true,
		},
		"in the UI": {
			refs:    []string{"v1.0.0", "v1.1.0", "v1.0.0"},
			manager: "argocd-server", want: true,
		},
		"to the branch before": {
			refs: []string{"release-1", "release-2", "release-1"},
			want: true,
		},
		"to the branch before that": {
			refs: []string{"main", "release-1", "release-2", "release-1"},
			want: true,
		},
		"to the commit before": {refs: []string{commit, other, commit}, want: true},
		"to a higher version":  {refs: []string{"v1.0.0", "v1.1.0", "v1.2.0"}},
		"to the same":          {refs: []string{"v1.0.0", "v1.1.0", "v1.1.0"}},
		"to another branch":    {refs: []string{"main", "release-2", "release-3"}},
		"to what Postern had gone back from": {
			refs: []string{"main", "release-1", "release-2", "release-1", "release-2"},
		},
		"to a higher version, gone back from": {refs: []string{"v1.0.0", "v1.2.0", "v1.1.0", "v1.2.0"}},
		"removed":                             {refs: []string{"v1.0.0", "v1.1.0", ""}},
		"reset by the ApplicationSet": {
			refs:    []string{"v1.0.0", "v1.1.0", "v1.0.0"},
			manager: "argocd-applicationset-controller", metadata: generated,
		},
		"generated, by an unknown client": {
			refs:     []string{"v1.0.0", "v1.1.0", "v1.0.0"},
			metadata: generated,
		},
		"generated, by hand": {
			refs:    []string{"v1.0.0", "v1.1.0", "v1.0.0"},
			manager: "kubectl-edit", metadata: generated, want: true,
		},
		"selfHeal of the parent": {
			refs:    []string{"v1.0.0", "v1.1.0", "v1.0.0"},
			manager: "argocd-controller", extra: deployed,
		},
		"with a parent, by an unknown client": {
			refs:  []string{"v1.0.0", "v1.1.0", "v1.0.0"},
			extra: deployed,
		},
		"with a parent, by hand": {
			refs:    []string{"v1.0.0", "v1.1.0", "v1.0.0"},
			manager: "kubectl-edit", extra: deployed, want: true,
		},
		"Image Updater": {
			refs:    []string{"v1.0.0", "v1.1.0", "v1.0.0"},
			manager: "argocd-image-updater",
		},
		"Flux": {
			refs:    []string{"v1.0.0", "v1.1.0", "v1.0.0"},
			manager: "kustomize-controller",
		},
		"a Helm release of Flux": {
			refs:    []string{"v1.0.0", "v1.1.0", "v1.0.0"},
			manager: "helm-controller",
		},
		"Postern itself": {
			refs:    []string{"v1.0.0", "v1.1.0", "v1.0.0"},
			manager: "postern",
		},
		"the owner has opted out": {
			refs:  []string{"v1.0.0", "v1.1.0", "v1.0.0"},
			extra: `, "postern.dev/hold-rollbacks": "false"`,
		},
		"Postern has never written": {refs: []string{"v1.1.0", "v1.0.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			document := appWithRevisions(t, test.extra, test.refs...)
			document = strings.Replace(document, `"metadata":{`, `"metadata":{`+test.metadata, 1)
			app := parse(t, postern.TargetApplication, document)
			if test.manager != "" {
				app = changedBy(app, test.manager, ownsAppRevision)
			}
			d := decide(t, app, shopRequest("v9.0.0", 10))
			if got := d.Reason == ReasonRolledBack && d.OnHold; got != test.want {
				t.Fatalf("held: %t: %s: %+v", got, document, d.Result)
			}
			if !test.want {
				return
			}
			held := mustApply(t, document, d.Patch)
			hold := appOf(t, held).Annotations[postern.AnnotationHold]
			if !strings.HasPrefix(hold, "RolledBack: ") || test.manager != "" &&
				!strings.Contains(hold, test.manager+" set spec.source.targetRevision from ") {
				t.Errorf("the hold says %q", hold)
			}
			const release = "kubectl annotate applications.argoproj.io shop -n demo postern.dev/hold-"
			if !strings.Contains(d.Message, release) {
				t.Errorf("the message lacks the command: %s", d.Message)
			}
			// The next ones are held as well, for the same reason.
			if next := decide(t, parse(t, postern.TargetApplication, held), shopRequest("v9.1.0", 11)); !next.OnHold ||
				next.Reason != ReasonRolledBack || len(next.Patch) > 0 {
				t.Errorf("the next one: %+v", next)
			}
			// Released, the target is written, and not held once more.
			released := strings.Replace(held, encode(t, hold), `"false"`, 1)
			if next := decide(t, parse(t, postern.TargetApplication, released), shopRequest("v9.1.0", 11)); !next.Held {
				t.Errorf("after the release: %+v", next.Result)
			}
		})
	}
}

func TestRollback_OfGatewaySync(t *testing.T) {
	const ownsRef = `{"f:metadata":{"f:annotations":{"f:stoker.io/requested-ref":{}}}}`
	for name, test := range map[string]struct {
		change func(*stokerv1alpha1.GatewaySync)
		want   bool
	}{
		"an older version by hand": {func(g *stokerv1alpha1.GatewaySync) {
			g.Annotations[stokerv1alpha1.AnnotationRequestedRef] = "v1.0.0"
		}, true},
		"a newer version by hand": {func(g *stokerv1alpha1.GatewaySync) {
			g.Annotations[stokerv1alpha1.AnnotationRequestedRef] = "v3.0.0"
		}, false},
		"removed by Stoker, since the spec has caught up": {func(g *stokerv1alpha1.GatewaySync) {
			delete(g.Annotations, stokerv1alpha1.AnnotationRequestedRef)
			g.Spec.Git.Ref = "2.0.0"
		}, false},
		"removed by hand": {func(g *stokerv1alpha1.GatewaySync) {
			delete(g.Annotations, stokerv1alpha1.AnnotationRequestedRef)
		}, false},
		"all annotations removed": {func(g *stokerv1alpha1.GatewaySync) { g.Annotations = nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			document, _ := oneByOne(t, postern.TargetGatewaySync, plantAt("v1.0.0"), event("v2.0.0", "github", 1, 1))
			sync := parse(t, postern.TargetGatewaySync, document).(*stokerv1alpha1.GatewaySync)
			test.change(sync)
			d := decide(t, changedBy(sync, "kubectl-annotate", ownsRef), event("v4.0.0", "github", 4, 4))
			if d.OnHold != test.want || test.want != (d.Reason == ReasonRolledBack) {
				t.Errorf("got %+v", d.Result)
			}
			const says = `kubectl-annotate set stoker.io/requested-ref from "v2.0.0" back to "v1.0.0" ` +
				`at 2026-03-01T13:00:00Z`
			if test.want && !strings.Contains(d.Message, says) {
				t.Errorf("got the message %q", d.Message)
			}
		})
	}
}

// The cache has no managedFields, so it does not show who it was.
func TestRollback_IsDecidedOnLiveRead(t *testing.T) {
	document := appWithRevisions(t, "", "v1.0.0", "v1.1.0", "v1.0.0")
	cached := parse(t, postern.TargetApplication, document)
	trim(t, cached)
	_, err := planFor(t.Context(), snapshot{kind: applicationKind{}, obj: cached},
		[]Request{shopRequest("v9.0.0", 10)}, planState{})
	if err != errCacheUncertain { //nolint:errorlint // it is returned as it is
		t.Errorf("got %v", err)
	}
}

func TestRollback_OfImage(t *testing.T) {
	const images = `, "argocd-image-updater.argoproj.io/image-list": "web=nginx:1.x",
		"argocd-image-updater.argoproj.io/web.force-update": "true"`
	document := strings.Replace(annotatedApp("main", moves+images), `"targetRevision": "main"`,
		`"targetRevision": "main", "kustomize": {"images": ["nginx:1.0"]}`, 1)
	document = renderedByKustomize(document)
	push := func(reference string, receivedAt int) Request {
		return withImage(t, reference, event("", "harbor", 0, receivedAt))
	}
	first := decide(t, parse(t, postern.TargetApplication, document), push("nginx:1.2", 1))
	document = mustApply(t, document, first.Patch)
	for now, want := range map[string]bool{"nginx:1.1": true, "nginx:1.3": false, "nginx:1.2": false} {
		changed := strings.Replace(document, `"images":["nginx:1.2"]`, `"images":["`+now+`"]`, 1)
		app := changedBy(parse(t, postern.TargetApplication, changed), "argocd-server",
			`{"f:spec":{"f:source":{"f:kustomize":{"f:images":{}}}}}`)
		if d := decide(t, app, push("nginx:1.4", 2)); d.OnHold != want {
			t.Errorf("%s: got %+v of %s", now, d.Result, changed)
		}
	}
}
