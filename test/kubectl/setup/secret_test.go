// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/pkg/cli/setup"
	"postern.dev/postern/pkg/credential"
)

// release is a payload of GitHub for the GatewaySync plant.
var release = filepath.Join(root, "pkg/payload/testdata/github/release-published.json")

// sendRelease are the arguments of send for release.
var sendRelease = []string{release, "gatewaysync/plant", "--source=github"}

// data returns what is in the Secret.
func (w *world) data() map[string]string {
	w.T.Helper()
	secret, err := shared.Kube.CoreV1().Secrets(w.Namespace).Get(w.T.Context(), credential.SecretName,
		metav1.GetOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	data := map[string]string{}
	for key, value := range secret.Data {
		data[key] = string(value)
	}
	return data
}

// read returns the secret in a file of the test.
func (w *world) read(name string) string {
	w.T.Helper()
	content, err := os.ReadFile(w.path(name))
	if err != nil {
		w.T.Fatal(err)
	}
	return strings.TrimSpace(string(content))
}

// Both secrets are accepted from the start of a rotation to its end, and then only one is.
func TestSecret_RotatesWithoutAGap(t *testing.T) {
	w := newWorld(t)
	w.must("", "grant", "gatewaysync/plant", "--anonymous", "--apply")
	w.must("", "secret", "set", "github", "--out="+w.path("old"))
	sendBy := func(secret string) []string { return append(sendRelease, "--secret-file="+w.path(secret)) }
	w.untilSent(0, "", sendBy("old")...)

	steps := w.must("", "secret", "rotate", "github", "--out="+w.path("new"))
	w.untilSent(0, "", sendBy("new")...)
	w.untilSent(0, "", sendBy("old")...)
	for _, command := range []string{"deliveries --source=github", "secret rotate github --finish"} {
		want := "kubectl postern " + command + " -n " + w.Namespace + " --kubeconfig=" + w.kubeconfig + "\n"
		if !strings.Contains(steps, want) {
			t.Errorf("the guide lacks %q:\n%s", want, steps)
		}
	}
	w.fails(1, "has 2 secrets", "secret", "rotate", "github", "--out="+w.path("third"))
	if _, err := os.Stat(w.path("third")); err == nil {
		t.Error("a refused rotation leaves a file with a secret that is not valid")
	}

	w.must("", "secret", "rotate", "github", "--finish")
	w.untilSent(2, "", sendBy("old")...)
	w.untilSent(0, "", sendBy("new")...)
	if diff := cmp.Diff(map[string]string{"webhook.github-secret": w.read("new")}, w.data()); diff != "" {
		t.Errorf("unexpected secrets (-want +got):\n%s", diff)
	}
	w.fails(1, "has 2 secrets, and now it has 1", "secret", "rotate", "github", "--finish")

	w.must("", "secret", "rotate", "github", "--show")
	w.must("", "secret", "rotate", "github", "--undo")
	if diff := cmp.Diff(map[string]string{"webhook.github-secret": w.read("new")}, w.data()); diff != "" {
		t.Errorf("after an undone rotation (-want +got):\n%s", diff)
	}
}

func TestSecret_SetsOnlyWhatIsNotSet(t *testing.T) {
	w := newWorld(t)
	w.fails(1, "would be unknown", "secret", "set", "github")
	for _, c := range []struct{ in, problem string }{
		{"", "empty"}, {"too-short", "could be guessed"}, {"two-lines-of-text\nand-another-line", "several lines"},
		{"ünprintable-in-ascii", "printable ASCII"}, {"whsec_MDEyMzQ1Njc4OWFiY2RlZg==", "--signing-token"},
	} {
		r := w.run(c.in, "secret", "set", "github", "--from-file=-")
		if r.code != 1 || !strings.Contains(r.err, c.problem) || c.in != "" && strings.Contains(r.err, c.in) {
			t.Errorf("want exit code 1 and %q: %s", c.problem, r)
		}
	}
	const given = "given-by-somebody-else"
	w.must(given+"\n", "secret", "set", "github", "--from-file=-")
	w.fails(1, "has a secret", "secret", "set", "github", "--out="+w.path("other"))
	if _, err := os.Stat(w.path("other")); err == nil {
		t.Error("a refused change leaves a file with a secret that is not valid")
	}
	shown := w.must("", "secret", "set", "gitlab", "--show", "--signing-token")
	w.must("", "secret", "set", "gitlab", "--out="+w.path("token"))
	w.must("", "secret", "set", "github", "gatewaysync/plant", "--out="+w.path("plant"))
	w.must("", "secret", "set", "gitlab", "app/shop", "--out="+w.path("shop"))
	w.must("", "secret", "set", "quay.io", "--out="+w.path("quay"))

	data := w.data()
	signingToken, _, _ := strings.Cut(data["webhook.gitlab-secret"], "\n")
	if setup.SigningKey(signingToken) == nil || strings.Count(shown, signingToken) != 1 {
		t.Errorf("the signing token is not printed once: %q", shown)
	}
	want := map[string]string{
		"webhook.github-secret": given, "webhook.gitlab-secret": signingToken + "\n" + w.read("token"),
		"gatewaysyncs.plant.hmac": w.read("plant"), "applications.shop.token": w.read("shop"),
		"webhook.quay-secret": w.read("quay"),
	}
	if diff := cmp.Diff(want, data); diff != "" {
		t.Errorf("unexpected secrets (-want +got):\n%s", diff)
	}
	for _, name := range []string{"token", "plant", "shop", "quay"} {
		info, err := os.Stat(w.path(name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v, want that only its owner can read it (error %v)", name, info.Mode(), err)
		}
	}

	w.must("", "secret", "set", "github", "--replace", "--out="+w.path("replaced"))
	if got := w.data()["webhook.github-secret"]; got != w.read("replaced") || got == given {
		t.Error("the secret is not replaced")
	}
	w.fails(1, "can use no webhook secret", "secret", "set", "harbor", "--show")
}

// Many users change one Secret at once. No change is lost.
func TestSecret_ChangesAtOnceAreAllMade(t *testing.T) {
	w := newWorld(t)
	sources := []string{"github", "gitlab", "gitea", "bitbucket"}
	results := make([]result, len(sources))
	var group sync.WaitGroup
	for i, source := range sources {
		group.Go(func() { results[i] = w.run("", "secret", "set", source, "--out="+w.path(source)) })
	}
	group.Wait()
	data := w.data()
	for i, source := range sources {
		if key := "webhook." + source + "-secret"; results[i].code != 0 || data[key] != w.read(source) {
			t.Errorf("%s has %d bytes: %s", key, len(data[key]), results[i])
		}
	}
}

func TestSecret_KeysAndWhoUsesThem(t *testing.T) {
	w := newWorld(t)
	if r := w.run("", "secret", "show-keys"); r.code != 0 || !strings.Contains(r.err, "No Secret") {
		t.Error(r)
	}
	w.SetWebhookSecrets(map[string]string{
		"hmac": "one\ntwo\n", "gatewaysyncs.plant.token": "three", "webhook.ghcr-secret": "four",
		"webhook.nexus-registry-url": "nexus.example.com", "webhook.gitub-secret": "five", "webhook.quay-secret": " \n",
	})
	var keys []setup.Key
	if err := json.Unmarshal([]byte(w.must("", "secret", "show-keys", "-o", "json")), &keys); err != nil {
		t.Fatal(err)
	}
	want := []setup.Key{
		{Name: "gatewaysyncs.plant.token", Secrets: 1, UsedBy: []string{
			"gatewaysync/plant", "acr", "argocd", "azure-devops", "cloudevents", "distribution", "ecr", "generic",
			"gitlab", "jfrog", "kargo", "zot",
		}},
		{Name: "hmac", Secrets: 2, UsedBy: []string{
			"bitbucket", "bitbucket-server", "generic", "gitea", "github", "gitlab",
		}, Note: "all are valid"},
		{Name: "webhook.ghcr-secret", Secrets: 1, UsedBy: []string{"ghcr.io"}},
		{Name: "webhook.gitub-secret", UsedBy: []string{}, Note: "no sender uses it"},
		{Name: "webhook.nexus-registry-url", UsedBy: []string{"nexus"}, Note: "the address of the registry"},
		{Name: "webhook.quay-secret", UsedBy: []string{"quay.io"}, Note: "has no secret: nothing is accepted"},
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("unexpected keys (-want +got):\n%s", diff)
	}
	if table := w.must("", "secret", "show-keys", "github"); !strings.Contains(table, "hmac") ||
		strings.Count(table, "\n") != 2 {
		t.Errorf("unexpected table of GitHub's keys:\n%s", table)
	}
	r := w.run("", "secret", "show-keys", "harbor")
	if r.code != 0 || r.out != "" || !strings.HasPrefix(r.err, "No key for harbor in the Secret ") {
		t.Error(r)
	}
}
