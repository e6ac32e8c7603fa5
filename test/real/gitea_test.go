// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// giteaServer is a Gitea with the repository ada/plant, whose clone is in the directory plant of the tools.
type giteaServer struct {
	*world
	*tools
	url     string
	program *controlplane.Program
}

const (
	giteaUser     = "ada"
	giteaPassword = "correct-horse"
)

// newGitea runs a Gitea without its front end, which its API and its webhooks don't need.
func newGitea(t *testing.T) *giteaServer {
	t.Helper()
	needsPrograms(t)
	w := newWorld(t)
	port := freePort(t)
	g := &giteaServer{world: w, tools: newTools(t), url: "http://127.0.0.1:" + port}
	config := writeFile(t, g.dir, "app.ini", `
WORK_PATH = `+g.dir+`
RUN_MODE = prod
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = `+port+`
ROOT_URL = `+g.url+`/
STATIC_ROOT_PATH = `+filepath.Join(checkout(t), "bin/senders/gitea-static")+`
DISABLE_SSH = true
[database]
DB_TYPE = sqlite3
[security]
INSTALL_LOCK = true
[actions]
ENABLED = false
[indexer]
ISSUE_INDEXER_TYPE = db
[webhook]
ALLOWED_HOST_LIST = loopback
`)
	g.program = w.RunProgram(t, controlplane.ProgramOptions{
		Name: "gitea-" + w.Namespace, Path: "bin/senders/gitea", Args: []string{"web", "--config=" + config},
		Env: []string{"SSL_CERT_FILE=" + w.CAFile()},
	})
	w.waitForPort(port, g.program)
	g.run("bin/senders/gitea", "admin", "user", "create", "--config="+config, "--username="+giteaUser,
		"--password="+giteaPassword, "--email=ada@example.com", "--must-change-password=false", "--admin")
	g.call(http.MethodPost, "/user/repos", map[string]any{"name": "plant", "default_branch": "main", "auto_init": true})
	g.run("git", "config", "--global", "user.name", "Ada")
	g.run("git", "config", "--global", "user.email", "ada@example.com")
	g.run("git", "clone", "--quiet", strings.Replace(g.url, "//", "//"+giteaUser+":"+giteaPassword+"@", 1)+
		"/ada/plant.git")
	return g
}

// call calls Gitea's API as ada and returns the answer.
func (g *giteaServer) call(method, path string, body any) (answer map[string]any) {
	g.T.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		g.T.Fatal(err)
	}
	req, err := http.NewRequestWithContext(g.T.Context(), method, g.url+"/api/v1"+path,
		strings.NewReader(string(encoded)))
	if err != nil {
		g.T.Fatal(err)
	}
	req.SetBasicAuth(giteaUser, giteaPassword)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.T.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		g.T.Fatal(err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		g.T.Fatalf("%s %s: %s: %s\n%s", method, path, resp.Status, content, g.program.LogTail())
	}
	_ = json.Unmarshal(content, &answer) // some answers are empty
	return answer
}

// addWebhook adds a webhook for all events to the repository, for the GatewaySync plant.
func (g *giteaServer) addWebhook(secret, authorization string) (id any) {
	g.T.Helper()
	return g.call(http.MethodPost, "/repos/ada/plant/hooks", map[string]any{
		"type": "gitea", "active": true, "authorization_header": authorization,
		"events": []string{
			"create", "delete", "fork", "push", "issues", "issue_comment", "pull_request", "wiki", "repository",
			"release",
			"package",
		},
		"config": map[string]string{
			"url":          g.Address() + testcluster.NamespacePath(g.Namespace) + toPlant,
			"content_type": "json", "secret": secret,
		},
	})["id"]
}

// git runs git in the clone.
func (g *giteaServer) git(args ...string) string {
	g.T.Helper()
	return g.run("git", append([]string{"-C", "plant"}, args...)...)
}

// commit adds a commit to the current branch of the clone.
func (g *giteaServer) commit(message string) {
	g.T.Helper()
	g.git("commit", "--quiet", "--allow-empty", "-m", message)
}

// waitRecord waits until a delivery is recorded with the phase and the reason.
func (g *giteaServer) waitRecord(phase v1alpha1.DeliveryPhase, reason string) {
	g.T.Helper()
	g.Eventually(testcluster.Patience, func() error {
		all := g.deliveries()
		if !slices.ContainsFunc(all, func(d v1alpha1.WebhookDelivery) bool {
			return d.Status.Phase == phase && d.Status.Reason == reason
		}) {
			return fmt.Errorf("no delivery is %s with the reason %s, of %d; %s", phase, reason, len(all),
				g.program.LogTail())
		}
		return nil
	})
}

func TestGitea(t *testing.T) {
	for _, authentication := range []string{"token", "signature"} {
		t.Run(authentication, func(t *testing.T) {
			reacted := scenario(t, "Gitea: push, tag, release and package to a GatewaySync, by "+authentication)
			g := newGitea(t)
			g.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
			secret, header := "", ""
			if authentication == "token" {
				header = "Bearer " + g.tokenFor("gatewaysyncs", "plant")
			} else {
				secret = "a-secret-of-the-webhook"
				g.SetWebhookSecrets(map[string]string{"webhook.gitea-secret": secret})
				g.Grant(testcluster.Unauthenticated, "create", "gatewaysyncs/webhookdeliveries", "plant")
			}
			hook := g.addWebhook(secret, header)
			g.play(hook, reacted)
			want := []string{"push main", "push v1.0.0", "push feature/ü", "push v1.1.0", "release.published v1.1.0"}
			if authentication == "token" { // the secret of the repository can request no image
				want = append(want, "package.created ada/shop:1.0.1")
			}
			g.checkRequests(want...)
			g.waitRequestedRef("plant", "v1.1.0", g.program.LogTail)
		})
	}
}

// play does in Gitea what users do, and checks what is requested.
func (g *giteaServer) play(hook any, reacted func(time.Time)) {
	g.T.Helper()
	g.commit("one")
	g.git("push", "--quiet", "origin", "HEAD:main")
	pushed := time.Now()
	g.waitRequestedRef("plant", "main", g.program.LogTail)
	reacted(pushed)

	g.git("tag", "v1.0.0")
	g.git("push", "--quiet", "origin", "v1.0.0")
	g.waitRequestedRef("plant", "v1.0.0", g.program.LogTail)

	g.git("push", "--quiet", "origin", "HEAD:feature/ü")
	g.waitRequestedRef("plant", "feature/ü", g.program.LogTail)
	g.git("push", "--quiet", "origin", ":feature/ü")
	g.waitRecord(v1alpha1.DeliveryIgnored, "RefDeleted")

	g.call(http.MethodPost, "/repos/ada/plant/releases", map[string]any{"tag_name": "v1.1.0-rc.1", "draft": true})
	g.call(http.MethodPost, "/repos/ada/plant/releases", map[string]any{"tag_name": "v1.1.0", "name": "1.1.0"})
	g.waitRequestedRef("plant", "v1.1.0", g.program.LogTail)

	g.call(http.MethodPost, "/repos/ada/plant/issues", map[string]any{"title": "It leaks"})
	g.call(http.MethodPost, fmt.Sprintf("/repos/ada/plant/hooks/%.0f/tests", hook), nil)
	g.waitRecord(v1alpha1.DeliveryIgnored, "Ping")

	g.pushPackages()
}

// pushPackages pushes two images to Gitea's registry. The first links the package to the repository, whose webhook then
// reports the second.
func (g *giteaServer) pushPackages() {
	g.T.Helper()
	g.login()
	g.pushImage("1.0.0")
	g.call(http.MethodPost, "/packages/ada/container/shop/-/link/plant", nil)
	before := len(g.deliveries())
	g.pushImage("1.0.1")
	g.Eventually(testcluster.Patience, func() error {
		if len(g.deliveries()) == before {
			return fmt.Errorf("no delivery of a package; %s", g.program.LogTail())
		}
		return nil
	})
}
