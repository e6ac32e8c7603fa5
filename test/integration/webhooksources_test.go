// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// sourceRows returns the output of "kubectl get webhooksources" up to the wide columns.
func (w *world) sourceRows(args ...string) (columns []string, rows map[string][]string) {
	w.T.Helper()
	columns, all := table(w.T, w.kubectl("", append([]string{"get", "webhooksources"}, args...)...))
	rows = map[string][]string{}
	for _, row := range all {
		rows[row[0]] = row[1:]
	}
	return columns, rows
}

func TestWebhookSources_KubectlGet(t *testing.T) {
	w := newWorld(t)
	w.secret(map[string]string{"webhook.docker-secret": newSecret(), "hmac": newSecret(), "webhook.quay-secret": " \n"})
	w.eventually(func() error {
		if _, rows := w.sourceRows(); rows["docker.io"][2] != "true" {
			return fmt.Errorf("Docker Hub has no secret: %q", rows["docker.io"])
		}
		return nil
	})

	columns, rows := w.sourceRows()
	if diff := cmp.Diff([]string{"NAME", "REQUESTS", "METHODS", "SECRET"}, columns); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if want := len(w.sources()); len(rows) != want || want < 22 {
		t.Errorf("got %d rows, want %d, at least 22", len(rows), want)
	}
	for name, want := range map[string][]string{
		"docker.io": {"Images", "QueryToken", "true"},
		"quay.io":   {"Images", "QueryToken", "false"}, // an empty secret does not count
		"harbor":    {"Images", "ServiceAccount", "false"},
		"ghcr.io":   {"Images", "HMAC", "false"},
		"github":    {"GitRefs", "HMAC", "true"},
		"gitlab":    {"GitRefs", "ServiceAccount,HMAC,Token", "true"},
	} {
		if diff := cmp.Diff(want, rows[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}

	columns, rows = w.sourceRows("--output=wide")
	if diff := cmp.Diff([]string{"NAME", "REQUESTS", "METHODS", "SECRET", "PATH", "KEYS"}, columns); diff != "" {
		t.Errorf("wide columns (-want +got):\n%s", diff)
	}
	for name, keys := range map[string]string{
		"docker.io": "webhook.docker-secret", "github": "webhook.github-secret,hmac", "zot": "webhook.zot-secret",
	} {
		if diff := cmp.Diff([]string{w.absolute(sourcePath(name)), keys}, rows[name][3:]); diff != "" {
			t.Errorf("%s, path and keys (-want +got):\n%s", name, diff)
		}
	}

	if got := w.kubectl("", "get", "webhooksource", "docker.io",
		"--output=name"); got != "webhooksource.postern.dev/docker.io\n" {
		t.Errorf("got %q", got)
	}
	mustBeIn(t, w.refused("", "get", "webhooksource", "docker"), "NotFound")
	if out := w.kubectl("", "get", "webhooksources", "--output=yaml"); strings.Contains(out, sigil) {
		t.Errorf("a secret is shown:\n%s", out)
	}
}

func TestWebhookSources_AllNamespaces(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	for _, chunk := range []string{"0", "97"} {
		columns, rows := table(t, w.kubectl("", "get", "webhooksources", "--all-namespaces", "--chunk-size="+chunk))
		if columns[0] != "NAMESPACE" {
			t.Errorf("got columns %v", columns)
		}
		byNamespace := map[string]int{}
		for _, row := range rows {
			byNamespace[row[0]]++
		}
		for _, namespace := range []string{w.Namespace, other.Namespace, "default"} {
			if got, want := byNamespace[namespace], len(w.sources()); got != want {
				t.Errorf("chunks of %s: got %d of %s, want %d", chunk, got, namespace, want)
			}
		}
	}
}

// sources lists the types of sender through the API.
func (w *world) sources() []v1alpha1.WebhookSource {
	w.T.Helper()
	list := &v1alpha1.WebhookSourceList{}
	answer{body: []byte(w.kubectl("", "get", "webhooksources", "--output=json"))}.decode(w.T, list)
	return list.Items
}

func TestWebhookSources_RoleForOneSource(t *testing.T) {
	w := newWorld(t)
	w.runningShop("shop", "example/shop:1.0.0", "argocd-image-updater.argoproj.io/image-list: example/shop")
	subject, token := w.serviceAccount("docker")
	w.allow(subject, "webhooksources", "docker.io")
	docker, push := w.sender(token), payload(t, "docker.io/minimal.json")
	w.untilFound(docker, sourcePath("docker.io"), push, map[string]string{"shop": "Written NewerVersion"})
	before := w.Get(applications, "shop")

	for _, path := range []string{sourcePath("quay.io"), sourcePath("absent"), applicationPath("shop"),
		"webhookdeliveries"} {
		docker.mustPost(t, path, push.body, push.header, http.StatusForbidden)
	}
	w.mustBeUntouched(applications, before)
	w.mustHaveRecords()

	docker.mustPost(t, sourcePath("docker.io"), push.body, push.header, http.StatusAccepted)
	w.checkImages("shop", "example/shop:1.4.0")

	// The role permits only Docker Hub's pushes, not other payloads at Docker Hub's endpoint.
	for _, other := range []string{"quay.io/minimal.json", "github/push-branch.json", "generic/minimal.json"} {
		r := payload(t, other)
		docker.mustPost(t, sourcePath("docker.io"), r.body, r.header, http.StatusBadRequest)
	}
	if got := len(w.records()); got != 1 {
		t.Errorf("got %d records, want only the one push", got)
	}
}

func TestWebhookSources_EndpointListsDeliveries(t *testing.T) {
	w := newWorld(t)
	subject, token := w.serviceAccount("all")
	w.allow(subject, "webhooksources")
	all, push := w.sender(token), payload(t, "harbor/push-full.json")
	w.untilFound(all, sourcePath("harbor"), push, map[string]string{})
	d := all.mustPost(t, sourcePath("harbor"), push.body, push.header, http.StatusAccepted).delivery(t)
	w.deliver(delivery("by-hand", "ref: v1"))

	list := &v1alpha1.WebhookDeliveryList{}
	answer{body: []byte(w.kubectl("", "get", "--raw", w.absolute(sourcePath("harbor"))))}.decode(t, list)
	if len(list.Items) != 1 || list.Items[0].Name != d.Name {
		t.Errorf("got %v, want only %s", list.Items, d.Name)
	}
	all.mustPost(t, sourcePath("absent"), push.body, push.header, http.StatusNotFound)
}
