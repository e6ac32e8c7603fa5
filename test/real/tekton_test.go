// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// tektonStep contains the used fields of a step, after Tekton has replaced its variables.
type tektonStep struct {
	Script string `json:"script"`
	Env    []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"env"`
}

// tekton has our example of a Task, and the files that its Pod would have.
type tekton struct {
	*world
	*tools
	account string
}

func newTekton(t *testing.T) *tekton {
	t.Helper()
	needsPrograms(t)
	w := newWorld(t)
	tt := &tekton{world: w, tools: newTools(t), account: t.TempDir()}
	writeFile(t, tt.account, "token", w.tokenFor("gatewaysyncs", "plant"))
	writeFile(t, tt.account, "ca.crt", readFile(t, w.CAFile()))
	return tt
}

// steps returns the steps of the Task for a run with the uid that requests a ref, as Tekton makes them.
func (tt *tekton) steps(uid, ref string) (steps []tektonStep) {
	tt.T.Helper()
	params, err := json.Marshal([]map[string]string{
		{"name": "namespace", "value": tt.Namespace}, {"name": "name", "value": "plant"}, {"name": "ref", "value": ref},
	})
	if err != nil {
		tt.T.Fatal(err)
	}
	run := writeFile(tt.T, tt.dir, "run.yaml", `{"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
		"metadata": {"name": "deliver-1", "namespace": "demo", "uid": "`+uid+`"},
		"spec": {"taskRef": {"name": "deliver"}, "params": `+string(params)+`}}`)
	task := filepath.Join(checkout(tt.T), "artifacts/senders/tekton-task.yaml")
	output := tt.run("bin/senders/tekton", "steps", task, run)
	if err := json.Unmarshal([]byte(output), &steps); err != nil || len(steps) == 0 {
		tt.T.Fatalf("%v: %s", err, output)
	}
	return steps
}

// runTask runs the steps of the Task in a shell, with the address and the files of this cluster for those of a Pod.
func (tt *tekton) runTask(uid, ref string) (output string, err error) {
	tt.T.Helper()
	for _, step := range tt.steps(uid, ref) {
		script := replaceEach(tt.T, step.Script, "/var/run/secrets/kubernetes.io/serviceaccount", tt.account)
		cmd := exec.CommandContext(tt.T.Context(), writeScript(tt.T, tt.dir, script))
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		for _, variable := range step.Env {
			value := strings.Replace(variable.Value, "https://kubernetes.default.svc", tt.Address(), 1)
			cmd.Env = append(cmd.Env, variable.Name+"="+value)
		}
		all, err := cmd.CombinedOutput()
		output += string(all)
		if err != nil {
			return output, err
		}
	}
	return output, nil
}

// writeScript writes a script that can be run, as Tekton does.
func writeScript(t *testing.T, dir, script string) string {
	t.Helper()
	path := writeFile(t, dir, "script", script)
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTekton_Task(t *testing.T) {
	reacted := scenario(t, "Tekton: the steps of a Task to a GatewaySync")
	tt := newTekton(t)
	tt.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	started := time.Now()
	output, err := tt.runTask("one", "v1.4.0")
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	tt.waitRequestedRef("plant", "v1.4.0", func() string { return output })
	reacted(started)
	if output, err := tt.runTask("one", "v1.4.0"); err != nil || len(tt.deliveries()) != 1 {
		t.Errorf("what is sent again makes %d records, want one: %v: %s", len(tt.deliveries()), err, output)
	}

	// A ref is never a command, nor a field of the request.
	marker := filepath.Join(tt.dir, "marker")
	for _, ref := range []string{
		"$(touch " + marker + ")", "`touch " + marker + "`", `"; touch ` + marker + `; "`, `v2", "ref": "main`,
	} {
		if output, err := tt.runTask("two", ref); err == nil {
			t.Errorf("the ref %s was accepted: %s", ref, output)
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a ref was run as a command")
	}
	// Without the permission, the step fails.
	writeFile(t, tt.account, "token", "wrong")
	if output, err := tt.runTask("three", "v1.5.0"); err == nil {
		t.Errorf("with a wrong token: %s", output)
	}
	tt.checkRequests("request v1.4.0")
}

// Tekton's controller sends its events without a credential, for runs in all namespaces.
func TestTekton_CloudEventsRequestNothing(t *testing.T) {
	tt := newTekton(t)
	run := writeFile(t, tt.dir, "run.yaml", `
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: build-1, namespace: another}
spec: {taskRef: {name: build}}
status:
  conditions: [{type: Succeeded, status: "True", reason: Succeeded}]
  results:
  - {name: IMAGE_URL, type: string, value: "registry.example.com/team/shop:1.4.1"}
  - {name: IMAGE_DIGEST, type: string, value: "sha256:4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e"}
`)
	event := tt.run("bin/senders/tekton", "event", run)
	if !strings.Contains(event, "dev.tekton.event.taskrun.successful.v1") {
		t.Fatalf("not the event of a successful run: %s", event)
	}
	subject, token := tt.ServiceAccount("events", time.Hour)
	tt.Grant(subject, "create", "webhooksources/webhookdeliveries", "cloudevents")
	delivery, _ := tt.post(tt.sender(token), "webhooksources/cloudevents/webhookdeliveries", event,
		map[string]string{"Content-Type": "application/cloudevents+json"})
	if delivery.Status.Phase != v1alpha1.DeliveryIgnored || delivery.Status.Reason != "EventIgnored" {
		t.Errorf("got %s (%s: %s), want Ignored", delivery.Status.Phase, delivery.Status.Reason,
			delivery.Status.Message)
	}
}
