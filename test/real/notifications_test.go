// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

const argocdPage = "docs/senders/argocd.md"

// shellBlocks matches the fenced blocks of shell commands of a page.
var shellBlocks = regexp.MustCompile("(?s)```sh\n(.*?)```")

// pageCommands returns the block of commands of a page that contains a text.
func pageCommands(t *testing.T, page, text string) string {
	t.Helper()
	for _, match := range shellBlocks.FindAllStringSubmatch(readRepositoryFile(t, page), -1) {
		if strings.Contains(match[1], text) {
			return match[1]
		}
	}
	t.Fatalf("%s has no commands with %q", page, text)
	return ""
}

// notifier is Argo CD's notification controller with the service, template and trigger of our page.
type notifier struct {
	*world
	*tools
	program *controlplane.Program
}

// newNotifier runs Argo CD with its notification controller, as the page of the sender describes. The test's namespace
// takes the place of the page's namespace demo.
func newNotifier(t *testing.T) *notifier {
	t.Helper()
	shared.needsArgoCD(t)
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	n := &notifier{world: w, tools: newTools(t,
		"PATH="+filepath.Join(checkout(t), controlplane.ProgramsDir())+":/usr/bin:/bin",
		"KUBECONFIG="+w.AdminKubeconfig(),
		"TOKEN="+w.tokenFor("gatewaysyncs", "plant"),
	)}
	config := replaceEach(t, readRepositoryFile(t, "artifacts/senders/argocd-notifications.yaml"),
		"https://kubernetes.default.svc", w.Address())
	w.MustKubectl(t, config, "create", "--filename=-")
	w.MustKubectl(t, "", "create", "secret", "generic", "argocd-notifications-secret", "--namespace=argocd")
	n.run("sh", "-euc", pageCommands(t, argocdPage, "argocd-notifications-secret"))

	program := w.argocdProgram(t, "argocd-notifications", "--namespace=argocd", "--application-namespaces=*",
		"--metrics-port="+freePort(t))
	// A file of the ConfigMap argocd-tls-certs-cm, which a Pod has as a volume.
	writeFile(t, filepath.Join(w.Dir(), program.Name, "tls"), "127.0.0.1", readFile(t, w.CAFile()))
	n.program = w.RunProgram(t, program)
	return n
}

// waitProcessed waits until the controller has processed a change of the Application shop that is made now.
func (n *notifier) waitProcessed(change func()) {
	n.T.Helper()
	processed := func() int {
		log, err := n.program.Log()
		if err != nil {
			n.T.Fatal(err)
		}
		count := 0
		for line := range strings.Lines(log) {
			if strings.Contains(line, "Processing completed") && strings.Contains(line, n.Namespace+"/shop") {
				count++
			}
		}
		return count
	}
	before := processed()
	change()
	n.Eventually(testcluster.Patience, func() error {
		if processed() == before {
			return fmt.Errorf("the change is not processed; %s", n.program.LogTail())
		}
		return nil
	})
}

func TestArgoCD_Notifications(t *testing.T) {
	n := newNotifier(t)
	reacted := scenario(t, "Argo CD's notification controller: an Application that is synced to a GatewaySync")
	g, r := n.github(), n.newShop("git.ref: v1.0.0")
	subscribe := replaceEach(t, pageCommands(t, argocdPage, "kubectl annotate application"),
		"application web -n argocd", "application shop -n "+n.Namespace, "namespace=demo", "namespace="+n.Namespace)
	subscribed := time.Now()
	n.run("sh", "-euc", subscribe)
	n.waitRequestedRef("plant", "v1.0.0", n.program.LogTail)
	reacted(subscribed)

	// A commit that is compared, but not synced, is not announced.
	n.patchShop(`{"spec": {"syncPolicy": null}}`)
	commit := r.commit(map[string]string{"shop.yaml": configMap("shop", "2")})
	g.push(byGitHub, r, mainBranch, commit)
	n.waitOutOfSync(commit)
	n.waitProcessed(func() { n.annotate("shop", `{"git.ref": "v2.0.0-not-synced"}`) })
	n.annotate("shop", `{"git.ref": "v2.0.0"}`)
	n.patchShop(`{"operation": {"sync": {"revision": "` + commit + `"}}}`)
	n.waitRequestedRef("plant", "v2.0.0", n.program.LogTail)
	n.waitVersion("shop", "2")

	// Without the annotation it is the commit, of the repository that the GatewaySync has too.
	n.MustKubectl(t, "", "patch", "gatewaysync", "plant", "--namespace="+n.Namespace, "--type=merge", "--patch="+
		`{"metadata": {"annotations": {"postern.dev/accept-commits": "true"}}, "spec": {"git": {"repo": "`+r.url+`"}}}`)
	n.annotate("shop", `{"git.ref": null}`)
	last := r.commit(map[string]string{"shop.yaml": configMap("shop", "3")})
	n.patchShop(`{"operation": {"sync": {"revision": "` + last + `"}}}`)
	n.waitRequestedRef("plant", last, n.program.LogTail)
	n.checkRequests("notification v1.0.0", "push main", "notification v2.0.0", "notification "+last)
}

// patchShop changes the Application shop, as a user does.
func (n *notifier) patchShop(patch string) {
	n.T.Helper()
	n.MustKubectl(n.T, "", "patch", "application", "shop", "--namespace="+n.Namespace, "--type=merge", "--patch="+patch)
}

// waitOutOfSync waits until Argo CD has compared the Application shop with a commit that it has not synced.
func (n *notifier) waitOutOfSync(commit string) {
	n.T.Helper()
	n.Eventually(reactionTimeout, func() error {
		got, _, _ := unstructured.NestedMap(n.Get(applications, "shop").Object, "status", "sync")
		if got["status"] != "OutOfSync" || got["revision"] != commit {
			return fmt.Errorf("shop is %v at %v, want OutOfSync at %s", got["status"], got["revision"], commit)
		}
		return nil
	})
}

// waitRequestedRef waits until a GatewaySync has the ref.
func (w *world) waitRequestedRef(name, ref string, program func() string) {
	w.T.Helper()
	w.Eventually(testcluster.Patience, func() error {
		got := w.Get(testcluster.GatewaySyncs, name).GetAnnotations()["stoker.io/requested-ref"]
		if got != ref {
			return fmt.Errorf("the requested ref is %q, want %q; %s", got, ref, program())
		}
		return nil
	})
}
