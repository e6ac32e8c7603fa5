// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/deliver/script"
	"postern.dev/postern/test/testcluster"
)

// want fails the test unless the script has ended with a code and a phase.
func want(t *testing.T, got script.Result, outputs map[string]string, code int, phase string) {
	t.Helper()
	if got.Code != code || outputs["phase"] != phase {
		t.Fatalf("got %s and %q, want %d and %q", got, outputs, code, phase)
	}
}

func TestDeliver_Applied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 2 { // the second changes nothing
		got, outputs := w.deliver("v1.4.0")
		want(t, got, outputs, script.Applied, "Applied")
	}
	if got := w.requested(); got != "v1.4.0" {
		t.Errorf("the GatewaySync has %q", got)
	}
	records := w.records()
	if len(records) != 2 { // each run is a delivery, so that v1, v2, v1 ends with v1
		t.Errorf("got %d records, want 2", len(records))
	}
}

// What waits for its target is one delivery, which is followed with no other permission than to deliver.
func TestDeliver_PendingIsFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mend := w.breakOff()
	ended := w.start("v1.4.0")
	pending := w.untilRecorded("v1.4.0", v1alpha1.DeliveryPending)
	mend()
	got, outputs := ended()
	want(t, got, outputs, script.Applied, "Applied")
	if said := "postern: delivery " + pending.Name + " is Pending"; !strings.HasPrefix(got.Out, said) {
		t.Errorf("the script printed %s, want first %q", got.Out, said)
	}
	if outputs["name"] != pending.Name || len(w.records()) != 1 || w.requested() != "v1.4.0" {
		t.Errorf("the outputs are %q, of the records %+v; the GatewaySync has %q", outputs, w.records(), w.requested())
	}
}

func TestDeliver_Superseded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mend := w.breakOff()
	first := w.start("v1.4.0")
	w.untilRecorded("v1.4.0", v1alpha1.DeliveryPending)
	got, outputs := w.deliver("v1.5.0", "POSTERN_TIMEOUT", "10s")
	want(t, got, outputs, script.Pending, "Pending")
	mend()
	w.untilRecorded("v1.5.0", v1alpha1.DeliveryApplied)
	got, outputs = first()
	want(t, got, outputs, script.Superseded, "Superseded")
}

func TestDeliver_Failed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ServeWebhook(`
failurePolicy: Fail
rules: [{apiGroups: [stoker.io], apiVersions: ['*'], operations: [UPDATE], resources: [gatewaysyncs]}]`,
		func(context.Context, *admissionv1.AdmissionRequest) bool { return false })
	w.Eventually(testcluster.Patience, func() error {
		if got, outputs := w.deliver("v1.4.0"); got.Code != script.Failed || outputs["phase"] != "Failed" {
			return context.DeadlineExceeded
		}
		return nil
	})
}

func TestDeliver_Refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, more := range map[string][]string{
		"unknown token":    {"POSTERN_TOKEN", "header.payload.signature"},
		"not permitted":    {"POSTERN_TARGET", "gatewaysync/other"},
		"no such ref":      {"POSTERN_REF", "-v1"},
		"other namespace":  {"POSTERN_NAMESPACE", "default"},
		"not an apiserver": {"POSTERN_SERVER", shared.Address() + "/version"},
	} {
		got, outputs := w.deliver("v1.4.0", more...)
		if got.Code != script.Refused || outputs["message"] == "" {
			t.Errorf("%s: got %s and %q, want %d", name, got, outputs, script.Refused)
		}
	}
	if records := w.records(); len(records) > 0 {
		t.Errorf("got the records %+v", records)
	}
}

// Without a target, what follows the repository or the image gets it, or no target.
func TestDeliver_BySource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Create(testcluster.Applications, testcluster.Application("shop")+
		"\nstatus: {sourceType: Kustomize, summary: {images: [\"registry.example.com/team/shop:1.0.0\"]}}")
	shared.MustKubectl(t, "", "annotate", "application", "shop", "--namespace="+w.Namespace,
		"argocd-image-updater.argoproj.io/image-list=shop=registry.example.com/team/shop")
	w.Eventually(testcluster.Patience, func() error {
		got, _ := w.deliver("", "POSTERN_TARGET", "", "POSTERN_IMAGE", "registry.example.com/team/shop:1.4.0")
		if got.Code != script.Applied {
			return context.DeadlineExceeded
		}
		return nil
	})
	if delivered := w.untilRecorded("1.4.0", v1alpha1.DeliveryApplied); delivered.Spec.Source != "cloudevents" ||
		len(delivered.Status.Targets) != 1 || delivered.Status.Targets[0].Name != "shop" {
		t.Errorf("got %+v", delivered)
	}
	got, outputs := w.deliver("main", "POSTERN_TARGET", "", "POSTERN_REPOSITORY", "https://github.com/example/shop.git")
	want(t, got, outputs, script.Applied, "Applied")
	got, outputs = w.deliver("main", "POSTERN_TARGET", "", "POSTERN_REPOSITORY", "https://github.com/example/other.git")
	want(t, got, outputs, script.Ignored, "Ignored")
}

// The same request with the same id is one delivery, also of senders that let their users choose headers.
func TestIdempotencyKey_IsOneDelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, body := range []string{
		`{"ref": "v2.0.0"}`,
		`{"freight": {"commits": [{"repoURL": "https://github.com/example/plant.git", "tag": "v2.0.0"}]}}`,
		`{"app": {"metadata": {"annotations": {"git.ref": "v2.0.0"}}}}`,
	} {
		before, names := len(w.records()), map[string]bool{}
		for range 3 {
			names[w.post(body, "Idempotency-Key", "promotion-1").Name] = true
		}
		if after := len(w.records()); len(names) != 1 || after != before+1 {
			t.Errorf("%s: got the records %v, and %d more", body, names, after-before)
		}
		for range 2 {
			w.post(body, "Idempotency-Key", "")
		}
		if after := len(w.records()); after != before+3 {
			t.Errorf("%s: got %d records more, want 3", body, after-before)
		}
	}
}

// post delivers a body with a header to the GatewaySync, and returns the record.
func (w *world) post(body, name, value string) *v1alpha1.WebhookDelivery {
	w.T.Helper()
	config, err := shared.AnonymousConfig()
	if err != nil {
		w.T.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		w.T.Fatal(err)
	}
	from := testcluster.Sender{
		Client: client, Base: shared.Address() + testcluster.NamespacePath(w.Namespace), Token: w.token,
	}
	req, err := from.NewRequest(w.T.Context(), http.MethodPost, "gatewaysyncs/plant/webhookdeliveries",
		strings.NewReader(body), map[string]string{name: value})
	if err != nil {
		w.T.Fatal(err)
	}
	answer, err := from.Do(req)
	if err != nil || answer.Code != http.StatusAccepted {
		w.T.Fatalf("got %d, %v: %s", answer.Code, err, answer.Body)
	}
	delivery := &v1alpha1.WebhookDelivery{}
	if err := json.Unmarshal(answer.Body, delivery); err != nil {
		w.T.Fatal(err)
	}
	return delivery
}

// The kube-apiserver accepts the Job, whose command is the script.
func TestJob_Delivers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	manifest := strings.ReplaceAll(readFile(t, checkout(t, "artifacts/deliver/job.yaml")), "namespace: demo",
		"namespace: "+w.Namespace)
	created := shared.MustKubectl(t, manifest, "create", "--filename=-", "--dry-run=server", "--output=json")
	var job batchv1.Job
	if err := json.Unmarshal([]byte(created), &job); err != nil {
		t.Fatal(err)
	}
	container := job.Spec.Template.Spec.Containers[0]
	dir := t.TempDir()
	script.Write(t, dir, "token", w.token+"\n")
	env := map[string]string{}
	for _, variable := range container.Env {
		env[variable.Name] = variable.Value
	}
	if account := "/var/run/secrets/kubernetes.io/serviceaccount/"; env["POSTERN_TOKEN_FILE"] != account+"token" ||
		env["POSTERN_CA_FILE"] != account+"ca.crt" || env["POSTERN_SERVER"] != "https://kubernetes.default.svc" {
		t.Errorf("the Job has the variables %q", env)
	}
	env["POSTERN_SERVER"], env["POSTERN_CA_FILE"] = shared.Address(), shared.CAFile()
	env["POSTERN_NAMESPACE"], env["POSTERN_TOKEN_FILE"] = w.Namespace, filepath.Join(dir, "token")
	got := script.Run{Shell: container.Command[:2], Script: container.Command[2], Dir: dir, Env: env}.Do(t)
	if got.Code != script.Applied || w.requested() != env["POSTERN_REF"] {
		t.Errorf("got %s; the GatewaySync has %q", got, w.requested())
	}
}
