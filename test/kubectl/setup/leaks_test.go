// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"postern.dev/postern/cmd/kubectl-postern/app"
	"postern.dev/postern/test/testcluster"
)

// Secrets of the test, in the cluster or in files.
const (
	knownHMAC  = "known-hmac-secret-0123456789"
	knownToken = "known-token-secret-0123456789"
	knownURL   = "known+url/secret?0123456789"
	knownNew   = "known-new-secret-0123456789"
	knownPlant = "known-plant-secret-0123456789"
)

// forms returns a secret as it may be in a body, an URL or a dump.
func forms(secret string) []string {
	return []string{
		secret, base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
		hex.EncodeToString([]byte(secret)), strings.NewReplacer("+", "%2B", "/", "%2F", "?", "%3F").Replace(secret),
	}
}

// dumped matches the text of a line of a hexadecimal dump, as clients log bodies that are not JSON.
var dumped = regexp.MustCompile(`(?m)^\s*[0-9a-f]{8}(?:\s+[0-9a-f]{2})+\s+\|(.*)\|$`)

// undumped returns a text, and what the dumps in it have.
func undumped(text string) string {
	var b strings.Builder
	for _, line := range dumped.FindAllStringSubmatch(text, -1) {
		b.WriteString(line[1])
	}
	return text + b.String()
}

// leakWorld is a namespace with known secrets, in the cluster and in files.
type leakWorld struct {
	*world
	secrets []string
	// delivery is the name of a record.
	delivery string
}

func newLeakWorld(t *testing.T) leakWorld {
	t.Helper()
	w := newWorld(t)
	const lines = "known-line-0123456789abc\nsecond-line-0123456789abc"
	for name, content := range map[string]string{
		"new": knownNew, "lines": lines, "hmac": knownPlant, "broken": "{", "quay.json": `{"name": "shop",
			"repository": "example/shop", "namespace": "example", "docker_url": "quay.io/example/shop",
			"updated_tags": ["1.4.1"],
			"homepage": "https://quay.io/repository/example/shop"}`,
	} {
		if err := os.WriteFile(w.path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.SetWebhookSecrets(map[string]string{
		"hmac": knownHMAC, "webhook.github-secret": knownHMAC, "webhook.gitlab-secret": knownToken,
		"webhook.generic-secret": knownToken, "webhook.quay-secret": knownURL, "gatewaysyncs.plant.hmac": knownPlant,
	})
	w.must("", "grant", "gatewaysync/plant", "--anonymous", "--apply")
	w.must("", "grant", "--source=quay.io", "--anonymous", "--apply")
	w.must("", "grant", "app/shop", "--serviceaccount="+w.Namespace+":ci", "--apply", "--token-out="+w.path("account"))
	sent := w.untilSent(0, "", sendRelease...)
	return leakWorld{w, []string{
		knownHMAC, knownToken, knownURL, knownNew, knownPlant, lines, "known-line-0123456789abc", w.read("account"),
	}, w.record(sent.out).Name}
}

// check fails the test if a text has a secret.
func (w leakWorld) check(what, text string) {
	w.T.Helper()
	shown := undumped(text)
	for _, secret := range w.secrets {
		for _, form := range forms(secret) {
			if strings.Contains(shown, form) {
				w.T.Errorf("a secret is in the output of %s:\n%s", what, text)
			}
		}
	}
}

// calls are calls of commands that end well and badly. Each command of the plugin but ui is among them.
func (w leakWorld) calls() [][]string {
	const closed = "--server=https://127.0.0.1:1" // nothing listens there
	return [][]string{
		{"url", "gatewaysync/plant", "--source=github"},
		{"url", "--source=quay.io", "-o=yaml"},
		{"grant", "gatewaysync/plant", "--anonymous"},
		{"grant", "app/shop", "--serviceaccount=" + w.Namespace + ":ci", "--apply", "--token-out=/dev/null"},
		{"secret", "show-keys"},
		{"secret", "show-keys", "-o=json"},
		{"secret", "set", "github", "--out=/dev/null"},
		{"secret", "set", "gitea", "--from-file=" + w.path("new")},
		{"secret", "set", "bitbucket", "--from-file=" + w.path("lines")},
		{"secret", "set", "argocd", "--from-file=" + w.path("new"), closed},
		{"secret", "rotate", "gitlab", "--from-file=" + w.path("new")},
		{"secret", "rotate", "gitlab", "--from-file=" + w.path("new")},
		{"secret", "rotate", "gitlab", "--undo"},
		{"send", release, "gatewaysync/plant", "--source=github"},
		{"send", release, "gatewaysync/plant", "--source=github", "-o=yaml"},
		{"send", release, "gatewaysync/plant", "--source=github", "--secret-file=" + w.path("hmac")},
		{"send", release, "gatewaysync/plant", "--source=github", "--dry-run=server"},
		{"send", release, "gatewaysync/plant", "--source=github", closed},
		{"send", release, "gatewaysync/plant", "--source=gitlab", "--method=Token"},
		{"send", w.path("broken"), "app/shop", "--source=generic", "--method=Token"},
		{"send", w.path("quay.json"), "--source=quay.io"},
		{"send", w.path("quay.json"), "--source=quay.io", closed, "--secret-file=" + w.path("new")},
		{"send", release, "app/shop", "--source=generic", "--token-file=" + w.path("account")},
		{"send", release, "app/shop", "--source=generic", "--token-file=" + w.path("account"), closed},
		{"doctor", "gatewaysync/plant", "--source=github"},
		{"doctor", "gatewaysync/plant", "--source=github", "-o=json"},
		{"deliveries"},
		{"deliveries", "-o=yaml"},
		{"why", w.delivery},
		{"why", w.delivery, "-o=json"},
		{"diff", w.delivery},
		{"redeliver", w.delivery, "--dry-run=server"},
		{"redeliver", w.delivery, "--yes"},
		{"explain-image", "shop", "example/shop:1.4.1"},
	}
}

// No command prints or logs a secret of the cluster or of a file, however it ends, and with any verbosity.
func TestCommands_ShowNoSecret(t *testing.T) {
	w := newLeakWorld(t)
	logged := false
	for _, args := range w.calls() {
		for _, verbosity := range []string{"0", "6", "9", "99"} {
			r := w.run("", append(args, "-v="+verbosity)...)
			w.check(strings.Join(r.args, " "), r.out+r.err)
			logged = logged || verbosity != "0" && strings.Contains(r.err, "Response")
		}
	}
	if !logged {
		t.Error("-v logs nothing")
	}
}

// A new command can't be forgotten.
func TestCommands_AllAreSearchedForSecrets(t *testing.T) {
	searched := map[string]bool{"ui": true, "help": true} // ui has its own test
	for _, args := range (leakWorld{world: &world{Sandbox: shared.Sandbox(t, "demo")}}).calls() {
		searched[args[0]], searched[strings.Join(args[:min(2, len(args))], " ")] = true, true
	}
	commands := 0
	for _, parent := range []string{"", "secret "} {
		var out bytes.Buffer
		app.Run(append([]string{"__complete"}, strings.Split(parent, " ")...),
			genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: io.Discard})
		for line := range strings.Lines(out.String()) {
			name, _, isCommand := strings.Cut(line, "\t")
			if !isCommand {
				continue
			}
			commands++
			if !searched[parent+name] {
				t.Errorf("the output of %s is not searched for secrets", parent+name)
			}
		}
	}
	if commands < 10 {
		t.Errorf("only %d commands were found", commands)
	}
}

// The pages of ui show no secret either.
func TestUI_ShowsNoSecret(t *testing.T) {
	w := newLeakWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	out, printed := io.Pipe()
	var logged bytes.Buffer
	ended := make(chan int)
	go func() {
		args := []string{"ui", "--no-browser", "-v=9", "--kubeconfig=" + w.kubeconfig, "--namespace=" + w.Namespace}
		streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: printed, ErrOut: &logged}
		code := app.RunContext(ctx, args, streams)
		_ = printed.Close()
		ended <- code
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("it prints no address: %d, %s", <-ended, logged.String())
	}
	address, err := url.Parse(lines.Text())
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	in := "?namespace=" + w.Namespace
	for _, page := range []string{
		address.RequestURI(), "deliveries" + in, "senders" + in, "rates" + in, "delivery" + in + "&name=" + w.delivery,
		"redeliver" + in + "&name=" + w.delivery,
	} {
		reference, err := url.Parse(page)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.ResolveReference(reference).String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, error %v", reference.Path, resp.Status, err)
		}
		w.check(reference.Path, string(body))
	}
	cancel()
	<-ended
	w.check("the log of ui", logged.String())
}

// An admission policy may quote what it refuses.
func TestSecret_RefusalQuotesNoSecret(t *testing.T) {
	w := newWorld(t)
	policy := strings.ReplaceAll(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: ["v1"], operations: [CREATE, UPDATE], resources: [secrets]}]
  validations:
  - expression: "false"
    messageExpression: "'refused: ' + object.data['webhook.github-secret']"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME}
spec:
  policyName: NAME
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}}
`, "NAME", w.Namespace)
	shared.MustKubectl(t, policy, "apply", "--filename=-")
	testcluster.AtEnd(t, func() error {
		_, err := shared.Kubectl(context.Background(), policy, "delete", "--filename=-")
		return err
	})
	w.Eventually(testcluster.Patience, func() error {
		r := w.run(knownNew, "secret", "set", "github", "--from-file=-", "--replace")
		if strings.Contains(r.err, knownNew) || strings.Contains(r.err, forms(knownNew)[1]) {
			t.Fatal("the refusal quotes the secret")
		}
		if r.code != 1 || !strings.Contains(r.err, "refused: ***") {
			return os.ErrExist
		}
		return nil
	})
}
