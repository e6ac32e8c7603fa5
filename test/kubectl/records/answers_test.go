// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"postern.dev/postern/test/testcluster"
)

// nextCommand matches the command in an answer.
var nextCommand = regexp.MustCompile(`kubectl postern (\w+) ([\w./ -]+?)( examines it)?"`)

// TestAnswers_NameCommandThatTellsMore takes the command from the answer to an anonymous sender, and runs it.
func TestAnswers_NameCommandThatTellsMore(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	w.SetWebhookSecrets(map[string]string{"webhook.github-secret": "a-secret-of-this-test"})
	w.Grant(testcluster.Unauthenticated, "create", "gatewaysyncs/webhookdeliveries,webhooksources/webhookdeliveries")
	config, err := w.AnonymousConfig()
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	sender := testcluster.Sender{Client: client, Base: config.Host + testcluster.NamespacePath(w.Namespace)}
	post := func(path, body, secret string) string {
		t.Helper()
		req, err := sender.NewRequest(t.Context(), "POST", path, strings.NewReader(body), map[string]string{
			"X-GitHub-Event": "push", "X-Hub-Signature-256": testcluster.Sign(secret, body),
		})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := sender.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return string(answer.Body)
	}
	const push = `{"ref": "refs/heads/none", "after": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
		"repository": {"clone_url": "https://github.com/example/none.git"}}`
	var answer string
	w.Eventually(testcluster.Patience, func() error { // binding and secret take effect with a delay
		answer = post("webhooksources/github/webhookdeliveries", push, "a-secret-of-this-test")
		if !strings.Contains(answer, `"NotWanted"`) {
			return fmt.Errorf("got %s", answer)
		}
		return nil
	})
	command := nextCommand.FindStringSubmatch(answer)
	if command == nil || command[1] != "why" {
		t.Fatalf("got %s", answer)
	}
	w.expect(w.run(append([]string{"why"}, strings.Fields(command[2])...)...), 2,
		"Nothing in the namespace follows what was pushed", "none of https://github.com/example/none.git")

	answer = post("gatewaysyncs/none/webhookdeliveries", push, "a-secret-of-this-test")
	want := "kubectl postern doctor gatewaysync/none -n " + w.Namespace + " --source github"
	if !strings.Contains(answer, want) {
		t.Errorf("404: got %s, expected %s", answer, want)
	}
	answer = post("gatewaysyncs/plant/webhookdeliveries", push, "another-secret")
	want = "kubectl postern doctor KIND/NAME --source TYPE"
	if strings.Contains(answer, w.Namespace) || !strings.Contains(answer, want) {
		t.Errorf("401: got %s", answer)
	}
}

func TestAnswers_KubectlCreateWarns(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	create := func(name, ref string, args ...string) string {
		t.Helper()
		command := w.KubectlCommand(t.Context(), w.AdminKubeconfig(),
			append([]string{"create", "-n", w.Namespace, "-f", "-"}, args...)...)
		command.Stdin = strings.NewReader(`
apiVersion: postern.dev/v1alpha1
kind: WebhookDelivery
metadata: {name: ` + name + `}
spec: {target: {kind: GatewaySync, name: plant}, ref: ` + ref + `}`)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	const commit = `"6dcb09b5b57875f334f61aebed695e2e4193db5e"`
	warning := "Warning: the delivery is Ignored (CommitNotAccepted): kubectl postern why commit -n " + w.Namespace +
		"\n"
	if out := create("commit", commit); !strings.HasPrefix(out, warning) {
		t.Errorf("got %s", out)
	}
	for _, out := range []string{create("fine", "v1"), create("tried", commit, "--dry-run=server")} {
		if strings.Contains(out, "Warning") {
			t.Errorf("got %s", out)
		}
	}
}
