// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/cmd/kubectl-postern/app"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/cli/doctor"
	"postern.dev/postern/test/testcluster"
)

// setup is a set-up that is broken in one way. {ns} in its texts is the namespace of the case.
type setup struct {
	name string
	// objects are created in the namespace.
	objects []string
	// secrets are the data of the webhook secrets; nil creates none.
	secrets map[string]string
	// allowed are the endpoints, as resource/name, to which the sender may deliver.
	allowed []string
	// breaks does what objects can't. It returns what mends it at the end of the test, nil if nothing has to be.
	breaks func(*run) (restore func())
	// sent is the delivery, and refused its outcome: the code, and the phase if there is one.
	sent    delivery
	refused string
	// after does what happens after that delivery; nil if nothing.
	after func(*run)
	// question are the arguments of the command, and level, step and cause what it has to find: all parts of cause are
	// in the message. An empty step is any.
	question []string
	level    doctor.Level
	step     string
	cause    []string
	// words replaces the words in capital letters of the printed command, and stdin is what the user types. If the
	// command is not complete, complete is false, and it is not run.
	words    map[string]string
	stdin    string
	editor   string
	manually bool
	// then is what the user does besides the command, with its output; nil if nothing.
	then func(r *run, output string)
	// accepted is the delivery that succeeds; the zero value is the one that was refused.
	accepted delivery
	// check checks the effect; nil if the answer shows it.
	check func(*run) error
}

// delivery is a webhook as a sender sends it.
type delivery struct {
	path, body string
	header     map[string]string
	// secret signs the body; empty does not.
	secret string
	// anonymous senders show no token; a user shows a certificate instead.
	anonymous bool
	user      string
}

// run is a set-up in its namespace.
type run struct {
	*testcluster.Sandbox
	setup
	subject rbacv1.Subject
	token   string
	// dir is where the shell runs.
	dir string
}

func (s *suite) run(t *testing.T, c setup) {
	r := &run{Sandbox: s.NewSandbox(t), setup: c, dir: t.TempDir()}
	r.subject, r.token = r.ServiceAccount("ci", time.Hour)
	if c.sent.anonymous {
		r.subject = testcluster.Unauthenticated
	}
	for _, manifest := range c.objects {
		r.kubectl(r.expand(manifest), "create", "-f", "-")
	}
	if c.secrets != nil {
		r.SetWebhookSecrets(c.secrets)
	}
	for _, allowed := range c.allowed {
		resource, name, _ := strings.Cut(allowed, "/")
		r.Grant(r.subject, "create", resource+"/webhookdeliveries", name)
	}
	if c.breaks != nil {
		if restore := c.breaks(r); restore != nil {
			t.Cleanup(restore)
		}
	}
	r.untilAnswered(c.sent, c.refused)
	if c.after != nil {
		c.after(r)
	}
	output := r.mend(r.diagnose())
	if c.then != nil {
		c.then(r, output)
	}
	if r.accepted.path == "" {
		r.accepted = r.sent
	}
	r.untilAnswered(r.accepted, "202 Applied")
	if c.check != nil {
		r.Eventually(testcluster.Patience, func() error { return c.check(r) })
	}
}

func (r *run) expand(text string) string { return strings.ReplaceAll(text, "{ns}", r.Namespace) }

// kubectl runs kubectl as the administrator in the namespace.
func (r *run) kubectl(stdin string, args ...string) string {
	r.T.Helper()
	return cluster.MustKubectl(r.T, stdin, append([]string{"--namespace", r.Namespace}, args...)...)
}

// untilAnswered delivers until the outcome is as wanted: roles, secrets and policies take effect with a delay.
func (r *run) untilAnswered(d delivery, want string) {
	r.T.Helper()
	r.Eventually(testcluster.Patience, func() error {
		got, err := r.deliver(d)
		if err == nil && got.outcome != want {
			err = fmt.Errorf("the answer is %s, want %s: %s", got.outcome, want, got.body)
		}
		return err
	})
}

type answer struct {
	outcome string
	body    []byte
}

func (r *run) deliver(d delivery) (answer, error) {
	config, err := cluster.AnonymousConfig()
	if d.user != "" {
		config, err = cluster.UserConfig(d.user)
	}
	if err != nil {
		return answer{}, err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return answer{}, err
	}
	sender := testcluster.Sender{Client: client, Base: cluster.Address() + testcluster.NamespacePath(r.Namespace)}
	if !d.anonymous && d.user == "" {
		sender.Token = r.token
	}
	header := map[string]string{}
	maps.Copy(header, d.header)
	if d.secret != "" {
		header["X-Hub-Signature-256"] = testcluster.Sign(d.secret, d.body)
	}
	path := d.path + "/webhookdeliveries"
	if strings.HasPrefix(d.path, "/") {
		sender.Base, path = cluster.Address(), r.expand(path)
	}
	req, err := sender.NewRequest(r.T.Context(), http.MethodPost, path, strings.NewReader(d.body), header)
	if err != nil {
		return answer{}, err
	}
	got, err := sender.Do(req)
	if err != nil {
		return answer{}, err
	}
	var record v1alpha1.WebhookDelivery
	_ = json.Unmarshal(got.Body, &record) // an error has no phase
	return answer{strings.TrimSpace(fmt.Sprint(got.Code, " ", record.Status.Phase)), got.Body}, nil
}

// diagnose runs the command until it has found the cause, and returns that finding. Postern's log shows a refusal with
// a delay.
func (r *run) diagnose() doctor.Finding {
	r.T.Helper()
	var cause doctor.Finding
	var found string
	r.Eventually(testcluster.Patience, func() error {
		findings, code, err := r.doctor(r.question...)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(findings, r.isCause)
		if i < 0 {
			return fmt.Errorf("the cause is not among the findings:\n%s", describe(findings))
		}
		cause = findings[i]
		found = describe(findings)
		hasFault := slices.ContainsFunc(findings, func(f doctor.Finding) bool { return f.Level == doctor.Fault })
		if want := map[bool]int{true: cli.ExitFault, false: cli.ExitOK}[hasFault]; code != want {
			return fmt.Errorf("the exit code is %d, want %d", code, want)
		}
		return nil
	})
	r.T.Logf("found:\n%s", found)
	return cause
}

func (r *run) isCause(f doctor.Finding) bool {
	isStep := r.step == "" || f.Step == r.step
	return f.Level == r.level && isStep && !slices.ContainsFunc(r.cause, func(part string) bool {
		return !strings.Contains(f.Message, r.expand(part))
	})
}

func describe(findings []doctor.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s %s: %s\n    %s\n", f.Level, f.Step, f.Message, f.Command)
	}
	return b.String()
}

// doctor runs the command in this process. Its output must not have a secret.
func (r *run) doctor(question ...string) (findings []doctor.Finding, code int, err error) {
	args := []string{"doctor", "--kubeconfig=" + cluster.AdminKubeconfig(), "--namespace=" + r.Namespace,
		"--output=json"}
	for _, arg := range question {
		args = append(args, r.expand(arg))
	}
	var stdout, stderr bytes.Buffer
	code = app.Run(args, genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &stdout, ErrOut: &stderr})
	for key, secret := range r.secrets {
		if secret != "" && strings.Contains(stdout.String()+stderr.String(), secret) {
			r.T.Errorf("the output has the secret under %s", key)
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &findings); err != nil {
		return nil, code, fmt.Errorf("could not read the output: %w: %s%s", err, stdout.String(), stderr.String())
	}
	return findings, code, nil
}

// mend runs the command of a finding in a shell, and returns its output.
func (r *run) mend(f doctor.Finding) (output string) {
	r.T.Helper()
	command := f.Command
	for word, value := range r.words {
		if !strings.Contains(command, word) {
			r.T.Fatalf("the command has no %s: %s", word, command)
		}
		command = strings.ReplaceAll(command, word, value)
	}
	if r.manually {
		return ""
	}
	if command == "" {
		r.T.Fatalf("there is no command: %+v", f)
	}
	shell := exec.CommandContext(r.T.Context(), "sh", "-c", command)
	shell.Dir = r.dir
	shell.Env = []string{"PATH=" + cluster.programs + ":" + os.Getenv("PATH"), "HOME=" + r.dir,
		"KUBE_EDITOR=" + r.editor}
	var stdout, stderr bytes.Buffer
	shell.Stdin, shell.Stdout, shell.Stderr = strings.NewReader(r.stdin), &stdout, &stderr
	if err := shell.Run(); err != nil {
		r.T.Fatalf("the printed command fails: %v\n%s\n%s%s", err, command, stdout.String(), stderr.String())
	}
	return stdout.String()
}

func mustJSON(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
