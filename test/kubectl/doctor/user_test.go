// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"postern.dev/postern/cmd/kubectl-postern/app"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/cli/doctor"
	"postern.dev/postern/test/testcluster"
)

// as runs the command as a user, and returns its output and its exit code.
func as(t *testing.T, user string, groups []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	kubeconfig, err := cluster.Kubeconfig(user, groups...)
	if err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	args = append([]string{"doctor", "--kubeconfig=" + kubeconfig}, args...)
	code = app.Run(args, genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &out, ErrOut: &errOut})
	return out.String(), errOut.String(), code
}

// auditEvent has the fields of an event in the audit log that the test reads.
type auditEvent struct {
	Verb      string
	User      struct{ Username string }
	ObjectRef struct{ Resource, Name, Subresource string }
	Request   string                `json:"requestURI"`
	Response  struct{ Kind string } `json:"responseObject"`
}

// requestsOf returns what a user has sent, by the audit log.
func requestsOf(t *testing.T, user string) (events []auditEvent) {
	t.Helper()
	log, err := os.ReadFile(cluster.AuditLog())
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(log))
	const maxLine = 16 << 20
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var event auditEvent
		if json.Unmarshal(lines.Bytes(), &event) == nil && event.User.Username == user {
			events = append(events, event)
		}
	}
	return events
}

func TestDoctor_OnlyReads(t *testing.T) {
	box := cluster.NewSandbox(t)
	box.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	box.SetWebhookSecrets(map[string]string{"webhook.github-secret": secret})
	const user = "asker"
	stdout, stderr, _ := as(t, user, []string{"system:masters"}, "--namespace="+box.Namespace, toPlant,
		"--source=github",
		"--try=v1")
	if stderr != "" {
		t.Errorf("the command complains: %s", stderr)
	}
	if !strings.Contains(stdout, "Secret: Postern has a secret for github: the key webhook.github-secret") {
		t.Errorf("the key is not found:\n%s", stdout)
	}
	sent := requestsOf(t, user)
	if len(sent) == 0 {
		t.Fatal("the audit log has no request of the command")
	}
	for _, event := range sent {
		isReview := strings.HasSuffix(event.ObjectRef.Resource, "subjectaccessreviews")
		isDryRun := event.ObjectRef.Resource == "webhookdeliveries" && strings.Contains(event.Request, "dryRun=All")
		if event.Verb != "get" && event.Verb != "list" && !isReview && !isDryRun {
			t.Errorf("the command sends %s %s", event.Verb, event.Request)
		}
		if event.ObjectRef.Resource == "secrets" && !strings.HasPrefix(event.Response.Kind, "PartialObjectMetadata") {
			t.Errorf("the command reads the values of a Secret: %s", event.Request)
		}
	}
	if objects, err := cluster.Deliveries.PosternV1alpha1().WebhookDeliveries(box.Namespace).List(t.Context(),
		metav1.ListOptions{}); err != nil || len(objects.Items) > 0 {
		t.Errorf("the dry run has left %d records (error %v)", len(objects.Items), err)
	}
}

func TestDoctor_UserWithoutPermissions(t *testing.T) {
	box := cluster.NewSandbox(t)
	box.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	for _, question := range [][]string{{}, {toPlant}, {"--source=github"}, {toPlant, "--source=github", "--try=v1"}} {
		stdout, stderr, code := as(t, "stranger", nil, append(question, "--namespace="+box.Namespace,
			"--output=json")...)
		var findings []doctor.Finding
		if err := json.Unmarshal([]byte(stdout), &findings); err != nil || stderr != "" || code != cli.ExitOK {
			t.Fatalf("%v: exit code %d, error %v, %s%s", question, code, err, stdout, stderr)
		}
		unknown := slices.ContainsFunc(findings, func(f doctor.Finding) bool {
			return f.Level == doctor.Unknown && strings.Contains(f.Message, "you may not read")
		})
		if !unknown {
			t.Errorf("%v: nothing says what the user may not read:\n%s", question, describe(findings))
		}
	}
}

// The owner of a namespace sees what happens there, and not the rest of the cluster. No controller aggregates the role
// admin here, so the user has its parts that matter.
func TestDoctor_UserOfANamespace(t *testing.T) {
	box := cluster.NewSandbox(t)
	const user = "owner"
	cluster.MustKubectl(t, "", "create", "role", user, "--namespace="+box.Namespace, "--verb=get,list,create",
		"--resource=secrets,localsubjectaccessreviews.authorization.k8s.io")
	for name, role := range map[string]string{"own": "--role=" + user, "views": "--clusterrole=postern-viewer"} {
		cluster.MustKubectl(t, "", "create", "rolebinding", name, "--namespace="+box.Namespace, role, "--user="+user)
	}
	box.Eventually(testcluster.Patience, func() error { return examinedByOwner(t, box.Namespace, user) })
}

func examinedByOwner(t *testing.T, namespace, user string) error {
	stdout, stderr, code := as(t, user, nil, "--namespace="+namespace, "--source=github")
	if code != cli.ExitFault || stderr != "" {
		return fmt.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	for _, line := range []string{
		"ok     Source: github is a type of sender", "FAULT  Secret: there is no Secret postern-webhook-secrets",
		"FAULT  Permission: an anonymous sender may not deliver",
		"note   Deliveries: no delivery of github has been recorded in " + namespace,
		"?      APIService: you may not read the APIService", "Found 2 faults and no warning.",
	} {
		if !strings.Contains(stdout, line) {
			return fmt.Errorf("there is no %q in\n%s", line, stdout)
		}
	}
	return nil
}

func TestDoctor_NoCluster(t *testing.T) {
	_, stderr, code := as(t, "asker", nil, "--server=https://127.0.0.1:1")
	if code != cli.ExitFailed || !strings.HasPrefix(stderr, "error: could not reach the kube-apiserver: ") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestDoctor_BadArguments(t *testing.T) {
	for problem, args := range map[string][]string{
		"error: --try needs a target":    {"--try=v1"},
		"error: \"plant\" is not a targ": {"plant"},
		"error: unable to match":         {"--output=table"},
	} {
		stdout, stderr, code := as(t, "asker", nil, args...)
		if code != cli.ExitFailed || !strings.HasPrefix(stderr, problem) || stdout != "" {
			t.Errorf("%v: exit code %d, %s%s", args, code, stdout, stderr)
		}
	}
}
