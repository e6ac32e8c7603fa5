// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// needsRunners skips a test that needs a program that only "make test-runners" installs.
func needsRunners(t *testing.T) {
	t.Helper()
	if os.Getenv("POSTERN_RUNNERS") == "" {
		t.Skip(`"make test-runners" runs it`)
	}
}

// actions is a repository whose workflows act runs on this machine, with the action of this checkout as its release.
type actions struct {
	*world
	dir string
	// env are variables of the runner, and args more arguments of act.
	env, args []string
}

func newActions(t *testing.T) *actions {
	t.Helper()
	needsRunners(t)
	a := &actions{world: newWorld(t), dir: t.TempDir()}
	a.write("vars", "KUBE_APISERVER="+shared.Address()+"\nKUBE_CA="+quoteLines(readFile(t, shared.CAFile()))+
		"\nNAMESPACE="+a.Namespace+"\n")
	a.write("secrets", "POSTERN_TOKEN="+a.token+"\n")
	git(t, a.dir, "init", "--quiet", "--initial-branch=main")
	git(t, a.dir, "commit", "--quiet", "--allow-empty", "--message=first")
	return a
}

// quoteLines quotes a text of several lines for a file of variables.
func quoteLines(text string) string { return `"` + strings.ReplaceAll(text, "\n", `\n`) + `"` }

func (a *actions) write(name, content string) string {
	a.T.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		a.T.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		a.T.Fatal(err)
	}
	return path
}

// released runs a workflow for a release with a tag, and returns the log and whether it has succeeded.
func (a *actions) released(workflow, tag string) (log string, succeeded bool) {
	a.T.Helper()
	event, err := json.Marshal(map[string]any{
		"action": "published", "release": map[string]any{"tag_name": tag},
		"repository": map[string]any{"clone_url": "https://github.com/example/plant.git", "default_branch": "main"},
	})
	if err != nil {
		a.T.Fatal(err)
	}
	workflow = strings.ReplaceAll(workflow, "namespace: demo", "namespace: "+a.Namespace)
	a.write(".github/workflows/deliver.yaml", workflow)
	args := append([]string{
		"release", "--directory=" + a.dir, "--eventpath=" + a.write("event.json", string(event)),
		"--secret-file=" + filepath.Join(a.dir, "secrets"), "--var-file=" + filepath.Join(a.dir, "vars"),
		"--platform=ubuntu-latest=-self-hosted", "--no-cache-server", "--action-offline-mode",
		"--local-repository=postern-dev/postern@v0.1.0=" + checkout(a.T, "."),
	}, a.args...)
	cmd := exec.CommandContext(a.T.Context(), checkout(a.T, "bin/runners/act"), args...)
	cmd.Dir = a.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + a.dir, "XDG_CACHE_HOME=" + a.dir}, a.env...)
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), a.token) {
		a.T.Errorf("the token is in the log:\n%s", out)
	}
	return string(out), err == nil
}

// The example delivers a release, with the action as users name it.
func TestAction_Example(t *testing.T) {
	a := newActions(t)
	log, succeeded := a.released(readFile(t, checkout(t, "artifacts/senders/github-actions.yaml")), "v1.4.0")
	if !succeeded || a.requested() != "v1.4.0" {
		t.Errorf("succeeded: %v; the GatewaySync has %q:\n%s", succeeded, a.requested(), log)
	}
}

// workflow has a job with a step that delivers by inputs, and one that prints the outputs.
const workflow = `
on: release
jobs:
  deliver:
    runs-on: ubuntu-latest
    permissions: {id-token: write}
    steps:
    - id: postern
      continue-on-error: true
      uses: postern-dev/postern/artifacts/deliver@v0.1.0
      with:
        server: ${{ vars.KUBE_APISERVER }}
        ca: ${{ vars.KUBE_CA }}
        namespace: ${{ vars.NAMESPACE }}
        %s
    - run: printf '<%%s>' "$OUTCOME" "$PHASE" "$NAME" "$MESSAGE"
      env:
        OUTCOME: ${{ steps.postern.outcome }}
        PHASE: ${{ steps.postern.outputs.phase }}
        NAME: ${{ steps.postern.outputs.name }}
        MESSAGE: ${{ steps.postern.outputs.message }}
`

// inputs returns the workflow with more inputs of the action.
func inputs(lines ...string) string { return fmt.Sprintf(workflow, strings.Join(lines, "\n        ")) }

// A step that fails has outputs too.
func TestAction_Outputs(t *testing.T) {
	a := newActions(t)
	log, _ := a.released(inputs("ref: main", "repository: https://github.com/example/other.git",
		"token: ${{ secrets.POSTERN_TOKEN }}"), "v1.4.0")
	ignored := a.untilRecorded("main", v1alpha1.DeliveryIgnored)
	if !strings.Contains(log, "<failure><Ignored><"+ignored.Name+"><delivery "+ignored.Name+" is Ignored: ") ||
		!strings.Contains(log, "exit status 3") {
		t.Errorf("the outputs are missing in:\n%s", log)
	}
}

// A tag that a user has chosen is neither run nor a command.
func TestAction_HostileTag(t *testing.T) {
	a := newActions(t)
	const tag = "v1\"$(touch${IFS}pwned)`touch${IFS}pwned`';touch${IFS}pwned;'"
	log, _ := a.released(inputs("target: gatewaysync/plant", "ref: ${{ github.event.release.tag_name }}",
		"token: ${{ secrets.POSTERN_TOKEN }}"), tag)
	if !strings.Contains(log, "<success><Applied>") || a.requested() != tag {
		t.Errorf("the GatewaySync has %q, want %q:\n%s", a.requested(), tag, log)
	}
	found, err := exec.CommandContext(t.Context(), "find", a.dir, checkout(t, "artifacts"), "-name", "pwned").Output()
	if err != nil || len(found) > 0 {
		t.Errorf("the tag was run: %s, %v", found, err)
	}
}

// The job needs no secret if the cluster trusts the issuer of its OIDC token. Here the issuer gives it a token that the
// cluster knows.
func TestAction_OIDC(t *testing.T) {
	a := newActions(t)
	var queries []string
	issuer := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		queries = append(queries, req.URL.RawQuery+" "+req.Header.Get("Authorization"))
		_, _ = io.WriteString(rw, `{"count": 1, "value": "`+a.token+`"}`)
	}))
	t.Cleanup(issuer.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw})
	ca := a.write("issuer.crt", string(certificate))
	a.args = []string{
		"--env=ACTIONS_ID_TOKEN_REQUEST_URL=" + issuer.URL + "/?api-version=2.0",
		"--env=ACTIONS_ID_TOKEN_REQUEST_TOKEN=runners-own", "--env=CURL_CA_BUNDLE=" + ca,
	}
	log, _ := a.released(inputs("target: gatewaysync/plant", "ref: v1.4.0", "oidc: cluster"), "v1.4.0")
	if !strings.Contains(log, "<success><Applied>") || a.requested() != "v1.4.0" {
		t.Errorf("the GatewaySync has %q:\n%s", a.requested(), log)
	}
	if len(queries) != 1 || queries[0] != "api-version=2.0&audience=postern bearer runners-own" {
		t.Errorf("the issuer got %q", queries)
	}
}

// actionlint finds neither a wrong input of the action, nor an expression that a script would run.
func TestAction_Lint(t *testing.T) {
	needsRunners(t)
	for name, content := range map[string]string{
		"example":  readFile(t, checkout(t, "artifacts/senders/github-actions.yaml")),
		"workflow": inputs("ref: main", "oidc: cluster"),
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, ".github/workflows/deliver.yaml")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		// It knows the inputs of actions in the same repository.
		content = strings.ReplaceAll(content, "postern-dev/postern/artifacts/deliver@v0.1.0", "./deliver")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(dir, "deliver"), os.DirFS(checkout(t, "artifacts/deliver"))); err != nil {
			t.Fatal(err)
		}
		lint := checkout(t, "bin/runners/actionlint")
		cmd := exec.CommandContext(t.Context(), lint, "-shellcheck=", "-pyflakes=", path)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v:\n%s", name, err, out)
		}
	}
}
