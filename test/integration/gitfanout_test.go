// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"postern.dev/postern/apis/postern/v1alpha1"
)

func (w *world) read(resource schema.GroupVersionResource) []unstructured.Unstructured {
	w.T.Helper()
	list, err := w.Objects.Resource(resource).Namespace(w.Namespace).List(w.T.Context(), metav1.ListOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return list.Items
}

// checkPushed compares all objects of the targets' kind with their state before a push and the expected changes.
func (w *world) checkPushed(resource schema.GroupVersionResource, before []unstructured.Unstructured,
	targets []gitTarget, results map[string]string,
	ref string, annotations map[string]string,
) {
	w.T.Helper()
	moves := map[string][]string{}
	for _, target := range targets {
		moves[target.name] = target.moves
	}
	for i := range before {
		object := &before[i]
		if results[object.GetName()] != written {
			w.mustBeUntouched(resource, object)
			continue
		}
		if field := moves[object.GetName()]; field != nil {
			if err := unstructured.SetNestedField(object.Object, ref, field...); err != nil {
				w.T.Fatal(err)
			}
		}
		expected := maps.Clone(annotations)
		if _, isHydrated, _ := unstructured.NestedMap(object.Object, "spec", "sourceHydrator"); isHydrated {
			expected["argocd.argoproj.io/hydrate"] = "normal"
			expected["argocd.argoproj.io/hydrate-timestamp"] = ""
		}
		w.checkContent(resource, object, expected)
	}
}

func TestFanout_GitRef(t *testing.T) {
	for _, test := range []struct {
		gitHost
		payload, ref string
		tag          bool
		revision     string // empty if the payload has none
	}{
		{gitHost: atGitHub, payload: "github/push-branch.json", ref: "main", revision: commit},
		{gitHost: atGitLab, payload: "gitlab/push-branch.json", ref: "main", revision: commit},
		{gitHost: atGitea, payload: "gitea/push-branch.json", ref: "main", revision: commit},
		{gitHost: atBitbucket, payload: "bitbucket/push-branch.json", ref: "main", revision: commit},
		{gitHost: atBitbucketServer, payload: "bitbucket-server/push-branch.json", ref: "main", revision: commit},
		{gitHost: atAzureDevOps, payload: "azure-devops/push-branch.json", ref: "main", revision: commit},
		{gitHost: atGitHub, payload: "github/push-lightweight-tag.json", ref: "v2.4.0", tag: true, revision: commit},
		{gitHost: atGitLab, payload: "gitlab/tag-push-lightweight.json", ref: "v2.4.0", tag: true, revision: commit},
		{gitHost: atBitbucket, payload: "bitbucket/push-tag.json", ref: "v2.4.0", tag: true, revision: commit},
		{gitHost: atBitbucketServer, payload: "bitbucket-server/push-tag.json", ref: "v2.4.0", tag: true},
		{gitHost: atAzureDevOps, payload: "azure-devops/push-tag.json", ref: "v2.4.0", tag: true},
	} {
		t.Run(test.payload, func(t *testing.T) {
			w, elsewhere := newWorld(t), newWorld(t)
			w.gitFleet(test.at)
			elsewhere.gitFleet(test.at)
			secret := newSecret()
			w.secret(map[string]string{test.key: secret})
			w.allow(unauthenticated, "webhooksources", test.source)
			req := payload(t, test.payload)
			req = req.with(test.proof(secret)(req.body))
			results := test.results(test.tag)

			path, anonymous := sourcePath(test.source), w.anonymous()
			w.untilFound(w.trier(), path, req, results) // until all objects are in the cache
			w.untilAccepted(anonymous, path, test.proof(secret))
			syncs, apps := w.read(gatewaySyncs), w.read(applications)
			syncsElsewhere, appsElsewhere := elsewhere.read(gatewaySyncs), elsewhere.read(applications)

			d := anonymous.mustPost(t, path, req.body, req.header, http.StatusAccepted).delivery(t)
			if err := sameResults(results, answer{body: mustJSON(t, d)}); err != nil {
				t.Error(err)
			}
			if d.Status.Phase != v1alpha1.DeliveryApplied || d.Status.Sender.Method != test.method ||
				d.Spec.Target != nil {
				t.Errorf("got phase %s by %s to %v, want Applied by %s without a target", d.Status.Phase,
					d.Status.Sender.Method, d.Spec.Target, test.method)
			}
			syncAnnotations := map[string]string{requestedRef: test.ref, requestedBy: test.source, requestedAt: ""}
			annotations := map[string]string{
				"postern.dev/requested-ref":            test.ref,
				"postern.dev/requested-by":             test.source,
				"postern.dev/requested-at":             "",
				"argocd.argoproj.io/refresh":           "normal",
				"argocd.argoproj.io/refresh-timestamp": "",
			}
			if test.revision != "" {
				syncAnnotations["postern.dev/requested-revision"] = test.revision
				annotations["postern.dev/requested-revision"] = test.revision
			}
			w.checkPushed(gatewaySyncs, syncs, gitSyncs, results, test.ref, syncAnnotations)
			w.checkPushed(applications, apps, gitApplications, results, test.ref, annotations)
			elsewhere.checkPushed(gatewaySyncs, syncsElsewhere, nil, nil, "", nil)
			elsewhere.checkPushed(applications, appsElsewhere, nil, nil, "", nil)
		})
	}
}

// sameResults compares status.targets of an answer with the expected results.
func sameResults(want map[string]string, a answer) error {
	var d v1alpha1.WebhookDelivery
	if err := json.Unmarshal(a.body, &d); err != nil {
		return err
	}
	got := map[string]string{}
	for _, target := range d.Status.Targets {
		got[target.Name] = string(target.Result) + " " + target.Reason
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("status.targets (-want +got):\n%s", diff)
	}
	return nil
}
