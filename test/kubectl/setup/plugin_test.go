// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"os"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"postern.dev/postern/test/testcluster"
)

// kubectl runs kubectl with the plugin and its completion in PATH.
func (w *world) kubectl(args ...string) string {
	w.T.Helper()
	command := shared.KubectlCommand(w.T.Context(), w.kubeconfig, args...)
	command.Env = append(command.Env, "PATH="+absolute(w.T, "bin")+":"+absolute(w.T, "artifacts/krew")+":"+
		os.Getenv("PATH"))
	out, err := command.CombinedOutput()
	if err != nil {
		w.T.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// The program is the one that make has built.
func TestPlugin_KubectlFindsIt(t *testing.T) {
	w := newWorld(t)
	if out := w.kubectl("plugin", "list"); !strings.Contains(out, "/bin/kubectl-postern\n") {
		t.Errorf("kubectl lists the plugins\n%s", out)
	}
	for _, args := range [][]string{{"postern", "--help"}, {"postern", "secret", "set", "--help"}} {
		out := w.kubectl(args...)
		if !strings.Contains(out, "Usage:\n  kubectl postern ") || strings.Contains(out, "--kubeconfig") {
			t.Errorf("the help of %v is\n%s", args, out)
		}
	}
}

func TestPlugin_KubectlCompletes(t *testing.T) {
	w := newWorld(t)
	in := "--namespace=" + w.Namespace
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"sec"}, "secret"},
		{[]string{"secret", ""}, "rotate"},
		{[]string{"secret", "set", "git"}, "gitlab"},
		{[]string{"secret", "set", "github", in, "gatewaysync/"}, "gatewaysync/plant"},
		{[]string{"url", "app"}, "application/"},
		{[]string{"url", in, "app/"}, "app/shop"},
		{[]string{"url", "--source", "h"}, "harbor"},
		{[]string{"send", release, "--method", ""}, "QueryToken"},
		{[]string{"send", release, "--dry-run", ""}, "server"},
		{[]string{"url", "-n", w.Namespace[:12]}, w.Namespace},
		{[]string{"url", "-o", ""}, "yaml"},
	} {
		out := w.kubectl(append([]string{"__complete", "postern"}, c.words...)...)
		found := false
		for line := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			found = found || word == c.want
		}
		if !found {
			t.Errorf("%q is not completed to %q:\n%s", c.words, c.want, out)
		}
	}
}

// A user who may read neither secrets nor targets still gets what is known without them.
func TestPlugin_WithoutPermissions(t *testing.T) {
	w := newWorld(t)
	w.must("", "grant", "gatewaysync/plant", "--anonymous", "--apply")
	w.must("", "secret", "set", "github", "--out="+w.path("secret"))
	var err error
	if w.kubeconfig, err = shared.Kubeconfig("guest-of-" + w.Namespace); err != nil {
		t.Fatal(err)
	}
	w.must("", "url", "gatewaysync/plant", "--source=github")
	w.must("", "grant", "gatewaysync/plant", "--anonymous")
	w.fails(1, "forbidden", "grant", "gatewaysync/plant", "--anonymous", "--apply")
	w.fails(1, "forbidden", "secret", "show-keys")
	w.fails(1, "forbidden", "secret", "set", "gitlab", "--show")
	w.fails(1, "give the secret with --secret-file", append([]string{"send"}, sendRelease...)...)
	w.untilSent(0, "", append(sendRelease, "--secret-file="+w.path("secret"))...)
	w.fails(2, "403 Forbidden", append([]string{"send", "--dry-run=server"}, sendRelease...)...)

	guest := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "guest-of-" + w.Namespace}
	w.Grant(guest, "create", "gatewaysyncs/webhookdeliveries", "plant")
	dry := w.untilSent(0, "", append(sendRelease, "--dry-run=server")...)
	if !strings.Contains(dry.out, "(server dry run)") || !strings.Contains(dry.out, guest.Name) {
		t.Error(dry)
	}
}

// A dry run shows what would be written, and writes nothing.
func TestSend_DryRunWritesNothing(t *testing.T) {
	w := newWorld(t)
	before := w.Get(testcluster.GatewaySyncs, "plant")
	r := w.run("", append([]string{"send", "--dry-run=server"}, sendRelease...)...)
	if r.code != 0 || !strings.Contains(r.out, "gatewaysync/plant: Written, ") {
		t.Error(r)
	}
	if after := w.Get(testcluster.GatewaySyncs, "plant"); after.GetResourceVersion() != before.GetResourceVersion() {
		t.Error("the target has changed")
	}
}

// The exit code tells a delivery that is not applied from a command that can't deliver.
func TestSend_ExitCodes(t *testing.T) {
	w := newWorld(t)
	w.fails(1, "is not a type of sender", "send", release, "--source=gitub")
	w.fails(1, "no such file", "send", w.path("none"), "gatewaysync/plant", "--source=generic")
	w.fails(1, "has no secret for GitHub: set one with\n  kubectl postern secret set github --out=secret -n "+
		w.Namespace, append([]string{"send"}, sendRelease...)...)
	w.fails(1, "could not send the delivery", "send", release, "gatewaysync/plant", "--source=generic",
		"--server=https://127.0.0.1:1")
	w.fails(1, "can use no webhook secret", "send", release, "--source=harbor", "--secret-file="+w.path("none"))
	w.fails(1, "can't authenticate by", "send", release, "--source=github", "--method=Token")
	w.fails(2, "404 Not Found", "send", release, "gatewaysync/none", "--source=docker.io", "--dry-run=server")
	r := w.run(`{"ref": "v1.0.0"}`, "send", "-", "gatewaysync/none", "--source=generic", "-o=json")
	if r.code != 2 || !strings.Contains(r.out, `"kind": "Status"`) || !strings.Contains(r.out, `"code": 404`) {
		t.Error(r)
	}
}
