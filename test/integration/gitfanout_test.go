// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// gitTarget is a target that uses a git repository. In its YAML stands HOST for the host that the push came from.
type gitTarget struct {
	name string
	// annotations and spec are YAML; an Application's spec without project and destination.
	annotations, spec string
	// onBranch and onTag are what a push of main, and of the tag v2.4.0, come to at it; empty if it is none of its business.
	onBranch, onTag string
	// moves is the field of an Application that is then set to the ref.
	moves []string
}

const written = "Written Requested"

func gitOf(repo, ref string) string { return "git: {repo: '" + repo + "', ref: '" + ref + "'}" }

var gitSyncs = []gitTarget{
	{name: "https", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "main"), onBranch: written},
	{name: "https-bare", spec: gitOf("https://HOST/harbour-works/lighthouse/", "main"), onBranch: written},
	{name: "https-with-user", spec: gitOf("https://bot@HOST:443/harbour-works/lighthouse", "refs/heads/main"), onBranch: written},
	{name: "ssh", spec: gitOf("ssh://git@HOST/harbour-works/lighthouse.git", "main"), onBranch: written},
	{name: "scp", spec: gitOf("git@HOST:harbour-works/lighthouse.git", "main"), onBranch: written},
	{name: "head", spec: gitOf("git@HOST:harbour-works/lighthouse", "HEAD"), onBranch: written},
	{name: "without-ref", spec: gitOf("https://HOST/harbour-works/lighthouse", ""), onBranch: written},
	{name: "other-branch", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "maintenance")},
	{name: "other-repository", spec: gitOf("https://HOST/harbour-works/lighthouse-keeper.git", "main")},
	{name: "other-host", spec: gitOf("https://elsewhere.example.org/harbour-works/lighthouse.git", "main")},
	{name: "other-port", spec: gitOf("ssh://git@HOST:2222/harbour-works/lighthouse.git", "main")},
	{name: "pinned", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "main"), annotations: "stoker.io/requested-ref: v1.0.0"},
	{name: "tags", spec: gitOf("git@HOST:harbour-works/lighthouse.git", "v2.0.0"),
		annotations: "postern.dev/follow-tags: '>=2'", onTag: written},
	{name: "branch-and-tags", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "main"),
		annotations: "postern.dev/follow-tags: '*'", onBranch: written, onTag: written},
	{name: "lower-tags", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "v1.0.0"), annotations: "postern.dev/follow-tags: '<2'"},
	{name: "higher-tag", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "v3.0.0"), annotations: "postern.dev/follow-tags: '>=1'"},
	{name: "bad-constraint", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "v1.0.0"),
		annotations: "postern.dev/follow-tags: newest", onTag: "Skipped InvalidConfiguration"},
}

var gitApplications = []gitTarget{
	{name: "app-https", spec: "source: {repoURL: 'https://HOST/harbour-works/lighthouse', path: ., targetRevision: main}", onBranch: written},
	{name: "app-head", spec: "source: {repoURL: 'https://HOST/harbour-works/lighthouse.git', path: ., targetRevision: HEAD}", onBranch: written},
	{name: "app-without-revision", spec: "source: {repoURL: 'git@HOST:harbour-works/lighthouse.git', path: .}", onBranch: written},
	{name: "app-second-source", spec: "sources: [{repoURL: 'https://charts.example.com', chart: a, targetRevision: 1.0.0}, " +
		"{repoURL: 'ssh://git@HOST/harbour-works/lighthouse.git', targetRevision: main, ref: values}]", onBranch: written},
	{name: "app-hydrated", spec: "sourceHydrator: {drySource: {repoURL: 'https://HOST/harbour-works/lighthouse', path: ., targetRevision: main}, " +
		"syncSource: {targetBranch: env/prod, path: .}}", onBranch: written},
	{name: "app-other-branch", spec: "source: {repoURL: 'https://HOST/harbour-works/lighthouse', path: ., targetRevision: release}"},
	{name: "app-commit", spec: "source: {repoURL: 'https://HOST/harbour-works/lighthouse', path: ., targetRevision: " + commit + "}"},
	{name: "app-other-repository", spec: "source: {repoURL: 'https://HOST/harbour-works/keeper', path: ., targetRevision: main}"},
	{name: "app-tags", spec: "source: {repoURL: 'git@HOST:harbour-works/lighthouse', path: ., targetRevision: v2.0.0}",
		annotations: "postern.dev/follow-tags: '~2', postern.dev/update-target-revision: 'true'", onTag: written,
		moves: []string{"spec", "source", "targetRevision"}},
	{name: "app-lower-tags", spec: "source: {repoURL: 'https://HOST/harbour-works/lighthouse', path: ., targetRevision: v1.0.0}",
		annotations: "postern.dev/follow-tags: '~1'"},
}

// gitFleet makes all of them.
func (w *world) gitFleet(host string) {
	w.t.Helper()
	fill := func(kind, more string, target gitTarget) string {
		return strings.ReplaceAll(kind+"\nmetadata: {name: "+target.name+", annotations: {example.com/note: keep me, "+
			target.annotations+"}}\nspec: {"+more+target.spec+"}", "HOST", host)
	}
	for _, target := range gitSyncs {
		w.create(gatewaySyncs, fill("apiVersion: stoker.io/v1alpha1\nkind: GatewaySync", "", target))
	}
	for _, target := range gitApplications {
		w.create(applications, fill("apiVersion: argoproj.io/v1alpha1\nkind: Application",
			"project: default, destination: {name: in-cluster, namespace: a}, ", target))
	}
}

// read returns all objects of a kind in the namespace.
func (w *world) read(resource schema.GroupVersionResource) []unstructured.Unstructured {
	w.t.Helper()
	list, err := w.objects.Resource(resource).Namespace(w.namespace).List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// checkPushed compares every object of the targets' kind with what it was before a push, and with what the push changes.
func (w *world) checkPushed(resource schema.GroupVersionResource, before []unstructured.Unstructured, targets []gitTarget, results map[string]string,
	ref string, annotations map[string]string,
) {
	w.t.Helper()
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
				w.t.Fatal(err)
			}
		}
		w.checkContent(resource, object, annotations)
	}
}

func TestPushToARepositoryReachesExactlyWhatFollowsTheRef(t *testing.T) {
	for _, test := range []struct {
		source, payload, host, ref string
		tag                        bool
		key, method                string
		proof                      func(secret string) proof
	}{
		{source: "github", payload: "github/push-branch.json", host: "github.com", ref: "main", key: "hmac", method: "HMAC", proof: bySignature},
		{source: "gitlab", payload: "gitlab/push-branch.json", host: "gitlab.example.com", ref: "main", key: "token", method: "Token",
			proof: func(secret string) proof { return byToken("X-Gitlab-Token", secret) }},
		{source: "gitea", payload: "gitea/push-branch.json", host: "git.example.com", ref: "main", key: "webhook.gitea-secret", method: "HMAC",
			proof: bySignature},
		{source: "github", payload: "github/push-lightweight-tag.json", host: "github.com", ref: "v2.4.0", tag: true, key: "hmac", method: "HMAC",
			proof: bySignature},
		{source: "gitlab", payload: "gitlab/tag-push-lightweight.json", host: "gitlab.example.com", ref: "v2.4.0", tag: true, key: "token",
			method: "Token", proof: func(secret string) proof { return byToken("X-Gitlab-Token", secret) }},
	} {
		t.Run(test.payload, func(t *testing.T) {
			w, elsewhere := newWorld(t), newWorld(t)
			w.gitFleet(test.host)
			elsewhere.gitFleet(test.host)
			secret := newSecret()
			w.secret(map[string]string{test.key: secret})
			w.allow(strangers, "webhooksources", test.source)
			req := payload(t, test.payload)
			req = req.with(test.proof(secret)(req.body))
			results := map[string]string{}
			for _, target := range append(gitSyncs[:len(gitSyncs):len(gitSyncs)], gitApplications...) {
				result := target.onBranch
				if test.tag {
					result = target.onTag
				}
				if result != "" {
					results[target.name] = result
				}
			}

			door, stranger := sourceDoor(test.source), w.anonymous()
			w.eventually(func() error { // until the secret and all objects are known
				got, err := stranger.post(t.Context(), door+dryRun, []byte(req.body), req.header)
				if err := errors.Join(err, answeredWith(http.StatusAccepted)(got)); err != nil {
					return err
				}
				return sameResults(results, got)
			})
			syncs, apps := w.read(gatewaySyncs), w.read(applications)
			syncsElsewhere, appsElsewhere := elsewhere.read(gatewaySyncs), elsewhere.read(applications)

			answered := stranger.mustPost(t, door, req.body, req.header, http.StatusAccepted)
			if err := sameResults(results, answered); err != nil {
				t.Error(err)
			}
			d := answered.delivery(t)
			if d.Status.Phase != v1alpha1.DeliveryApplied || d.Status.Sender.Method != test.method || d.Spec.Target != nil {
				t.Errorf("got phase %s by %s to %v, want Applied by %s without a target", d.Status.Phase, d.Status.Sender.Method, d.Spec.Target, test.method)
			}
			w.checkPushed(gatewaySyncs, syncs, gitSyncs, results, test.ref, map[string]string{
				requestedRef: test.ref, requestedBy: test.source, requestedAt: "",
			})
			w.checkPushed(applications, apps, gitApplications, results, test.ref, map[string]string{
				"postern.dev/requested-ref":            test.ref,
				"postern.dev/requested-revision":       commit,
				"postern.dev/requested-by":             test.source,
				"postern.dev/requested-at":             "",
				"argocd.argoproj.io/refresh":           "normal",
				"argocd.argoproj.io/refresh-timestamp": "",
			})
			elsewhere.checkPushed(gatewaySyncs, syncsElsewhere, nil, nil, "", nil)
			elsewhere.checkPushed(applications, appsElsewhere, nil, nil, "", nil)
		})
	}
}

// sameResults compares status.targets of an answer with the results that are wanted.
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
