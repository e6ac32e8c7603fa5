// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// maxCommands is how many commands a reader needs to set a sender up.
const maxCommands = 4

// samples are the objects that "make up" creates, in the namespace demo.
var samples = []string{
	"artifacts/examples/gatewaysync.yaml", "artifacts/examples/application.yaml",
	"hack/local/samples/applications-of-images.yaml", "hack/local/samples/sender-ci.yaml",
}

// readmeBlocks returns the commands of each block of shell in the section of the README about senders.
func readmeBlocks(t *testing.T) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Set up a sender\n")
	if !found {
		t.Fatal("README.md has no section about senders")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks [][]string
	for _, block := range strings.Split(section, "\n```sh\n")[1:] {
		block, _, _ = strings.Cut(block, "\n```")
		blocks = append(blocks, strings.Split(block, "\n"))
	}
	return blocks
}

// Each sender of the README is set up by a few commands of the plugin, and the last one delivers.
func TestReadme_SetsSendersUpInAFewCommands(t *testing.T) {
	shared.MustKubectl(t, "", "create", "namespace", "demo")
	for _, sample := range samples {
		shared.MustKubectl(t, "", "apply", "--server-side", "--filename="+sample)
	}
	programs := []string{absolute(t, "bin"), absolute(t, controlplane.ProgramsDir()), os.Getenv("PATH")}
	dir := t.TempDir()
	if err := os.Symlink(absolute(t, "hack"), filepath.Join(dir, "hack")); err != nil {
		t.Fatal(err)
	}
	run := func(command string) error {
		shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", command)
		shell.Dir = dir
		shell.Env = []string{
			"PATH=" + strings.Join(programs, ":"), "HOME=" + dir, "KUBECONFIG=" + shared.AdminKubeconfig(),
		}
		if output, err := shell.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", command, err, output)
		}
		return nil
	}
	blocks := readmeBlocks(t)
	senders := map[string]string{"github": "HMAC", "harbor": "ServiceAccount", "generic": "ServiceAccount"}
	if len(blocks) != len(senders)+1 {
		t.Fatalf("there are %d blocks of commands, want one for each sender and one that shows the outcome",
			len(blocks))
	}
	sandbox := shared.Sandbox(t, "demo")
	for _, commands := range blocks[:len(senders)] {
		if len(commands) > maxCommands {
			t.Errorf("a sender needs %d commands, want at most %d: %q", len(commands), maxCommands, commands)
		}
		last := len(commands) - 1
		for i, command := range commands {
			if !strings.Contains(command, "kubectl postern ") || strings.HasPrefix(command, " ") {
				t.Errorf("%q is no command of the plugin", command)
			}
			if i < last {
				if err := run(command); err != nil {
					t.Fatal(err)
				}
			}
		}
		// Permissions and secrets take effect with a delay.
		sandbox.Eventually(testcluster.Patience, func() error { return run(commands[last]) })
	}
	list, err := shared.Deliveries.PosternV1alpha1().WebhookDeliveries("demo").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, delivery := range list.Items {
		source := delivery.Spec.Events[0].Source
		if delivery.Status.Phase != "Applied" || delivery.Status.Sender.Method != senders[source] {
			t.Errorf("the delivery of %s has the phase %s and the sender %+v", source, delivery.Status.Phase,
				delivery.Status.Sender)
		}
		delete(senders, source)
	}
	if len(senders) > 0 {
		t.Errorf("there are no deliveries of %v", senders)
	}
	requireIgnored(t, dir)
}

// requireIgnored fails the test if git would add a file of a directory, were it in the root of the checkout.
func requireIgnored(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	written, err := filepath.Glob(filepath.Join(dir, "[^.]*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range written {
		name := filepath.Base(path)
		isIgnored := func(pattern string) bool {
			matches, err := filepath.Match(pattern, "/"+name)
			return matches && err == nil
		}
		if name != "hack" && !slices.ContainsFunc(strings.Fields(string(text)), isIgnored) {
			t.Errorf("the commands write %s, which .gitignore does not have", name)
		}
	}
}

// absolute returns the absolute path of a file of the checkout.
func absolute(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}
