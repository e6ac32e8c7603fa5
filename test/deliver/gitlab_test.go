// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// pipeline is a repository whose jobs gitlab-ci-local runs on this machine. It checks them by GitLab's own JSON schema.
type pipeline struct {
	*world
	dir string
}

func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	needsRunners(t)
	p := &pipeline{newWorld(t), t.TempDir()}
	git(p.T, p.dir, "init", "--quiet", "--initial-branch=main")
	git(p.T, p.dir, "remote", "add", "origin", "git@gitlab.example.com:example/plant.git")
	p.write("gitlab.yaml", readFile(t, checkout(t, "artifacts/deliver/gitlab.yaml")))
	return p
}

func (p *pipeline) write(name, content string) {
	p.T.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600); err != nil {
		p.T.Fatal(err)
	}
}

// run runs the job of the example for a pushed tag, with more inputs and variables, and returns the log and the exit
// code.
func (p *pipeline) run(tag, inputs string, variables ...string) (log string, code int) {
	p.T.Helper()
	example := readFile(p.T, checkout(p.T, "artifacts/senders/gitlab-ci.yaml"))
	const released = "https://raw.githubusercontent.com/postern-dev/postern/v0.1.0/artifacts/deliver/gitlab.yaml"
	for old, replacement := range map[string]string{
		"remote: " + released:      "local: gitlab.yaml",
		"https://<kube-apiserver>": shared.Address(), "namespace: demo": "namespace: " + p.Namespace,
	} {
		if !strings.Contains(example, old) {
			p.T.Fatalf("%q is missing in the example", old)
		}
		example = strings.ReplaceAll(example, old, replacement)
	}
	p.write(".gitlab-ci.yml", example+inputs)
	git(p.T, p.dir, "add", ".")
	git(p.T, p.dir, "commit", "--quiet", "--allow-empty", "--message=change")
	git(p.T, p.dir, "tag", "--force", tag)
	args := []string{
		checkout(p.T, "bin/runners/node_modules/gitlab-ci-local/dist/index.js"), "--force-shell-executor",
		"--no-color", "--ignore-predefined-vars=CI_COMMIT_REF_NAME", "deliver",
	}
	for _, variable := range append([]string{
		"CI_COMMIT_TAG=" + tag, "CI_COMMIT_REF_NAME=" + tag, "POSTERN_CA_FILE=" + shared.CAFile(),
	}, variables...) {
		args = append(args, "--variable", variable)
	}
	cmd := exec.CommandContext(p.T.Context(), "node", args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		p.T.Fatal(err)
	}
	if strings.Contains(string(out), p.token) {
		p.T.Errorf("the token is in the log:\n%s", out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestGitLab_Example(t *testing.T) {
	p := newPipeline(t)
	log, code := p.run("v1.4.0", "", "POSTERN_TOKEN="+p.token)
	if code != 0 || p.requested() != "v1.4.0" {
		t.Fatalf("exit code %d; the GatewaySync has %q:\n%s", code, p.requested(), log)
	}
	got := p.untilRecorded("v1.4.0", v1alpha1.DeliveryApplied).Spec.Events[0]
	if got.Repository != "https://gitlab.example.com/example/plant.git" || got.Revision == "" {
		t.Errorf("the delivery has the event %+v", got)
	}
}

// The exit code of the job is that of the script, so that a pipeline can allow some.
func TestGitLab_ExitCode(t *testing.T) {
	p := newPipeline(t)
	log, code := p.run("v1.4.0", "    oidc: cluster\n", "POSTERN_ID_TOKEN=header.payload.signature")
	if code == 0 || !strings.Contains(log, "FAIL 2") {
		t.Errorf("exit code %d:\n%s", code, log)
	}
}
