// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package deliver runs the artifacts with which CI jobs and promotions deliver and wait, against a real control plane
// with Postern.
package deliver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/deliver/script"
	"postern.dev/postern/test/testcluster"
)

// root is the root of the checkout.
const root = "../.."

// shared is the control plane of all tests.
var shared *testcluster.Cluster

func TestMain(m *testing.M) {
	var postern *controlplane.Postern
	testcluster.Main(m, func(ctx context.Context) (err error) {
		shared, postern, err = testcluster.StartWithPostern(ctx)
		return err
	}, func(ctx context.Context) error { return errors.Join(postern.Kill(), shared.Stop(ctx)) })
}

// world is the namespace of one test, with the GatewaySync plant and a CI job that may deliver.
type world struct {
	*testcluster.Sandbox
	token string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Sandbox: shared.NewSandbox(t)}
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	subject, token := w.ServiceAccount("ci", time.Hour)
	w.token = token
	w.Grant(subject, "create", "gatewaysyncs/webhookdeliveries", "plant")
	w.Grant(subject, "create", "webhooksources/webhookdeliveries", "generic", "cloudevents")
	w.Eventually(testcluster.Patience, func() error {
		for _, path := range []string{"gatewaysyncs.postern.dev/plant", "webhooksources.postern.dev/generic",
			"webhooksources.postern.dev/cloudevents"} {
			_, err := shared.Kubectl(t.Context(), "", "auth", "can-i", "create", path,
				"--subresource=webhookdeliveries", "--namespace="+w.Namespace,
				"--as=system:serviceaccount:"+w.Namespace+":ci")
			if err != nil {
				return err
			}
		}
		return nil
	})
	return w
}

// variables are those of the script, for a ref of the GatewaySync.
func (w *world) variables(ref string) map[string]string {
	return map[string]string{
		"POSTERN_SERVER": shared.Address(), "POSTERN_CA_FILE": shared.CAFile(), "POSTERN_NAMESPACE": w.Namespace,
		"POSTERN_TARGET": "gatewaysync/plant", "POSTERN_REF": ref, "POSTERN_TOKEN": w.token, "POSTERN_TIMEOUT": "60s",
	}
}

// deliver runs the script with variables, of which more replace others, and returns its outputs too.
func (w *world) deliver(ref string, more ...string) (script.Result, map[string]string) {
	w.T.Helper()
	return w.start(ref, more...)()
}

// start is deliver in the background. ended waits for the end.
func (w *world) start(ref string, more ...string) (ended func() (script.Result, map[string]string)) {
	w.T.Helper()
	dir := w.T.TempDir()
	env := w.variables(ref)
	env["GITHUB_OUTPUT"] = filepath.Join(dir, "output")
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	result, done := script.Result{}, make(chan struct{})
	go func() {
		defer close(done)
		result = script.Run{Script: checkout(w.T, "artifacts/deliver/deliver.sh"), Dir: dir, Env: env}.Do(w.T)
	}()
	w.T.Cleanup(func() { <-done })
	return func() (script.Result, map[string]string) {
		w.T.Helper()
		<-done
		return result, script.Outputs(w.T, env["GITHUB_OUTPUT"])
	}
}

// checkout returns the path of a file of the checkout.
func checkout(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// git runs git in a repository.
func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	args = append([]string{"-C", dir, "-c", "user.name=test", "-c", "user.email=test@example.com"}, args...)
	if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err != nil {
		t.Fatalf("git %q: %v: %s", args, err, out)
	}
}

// requested returns the ref that the GatewaySync has.
func (w *world) requested() string {
	w.T.Helper()
	return w.Get(testcluster.GatewaySyncs, "plant").GetAnnotations()["stoker.io/requested-ref"]
}

// records returns the records of the namespace.
func (w *world) records() []v1alpha1.WebhookDelivery {
	w.T.Helper()
	list, err := shared.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).List(w.T.Context(),
		metav1.ListOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return list.Items
}

// untilRecorded waits until a record of the ref has the phase, and returns it.
func (w *world) untilRecorded(ref string, phase v1alpha1.DeliveryPhase) v1alpha1.WebhookDelivery {
	w.T.Helper()
	var found v1alpha1.WebhookDelivery
	w.Eventually(testcluster.Patience, func() error {
		for _, found = range w.records() {
			if len(found.Spec.Events) == 1 && found.Spec.Events[0].Ref == ref && found.Status.Phase == phase &&
				found.Status.Reason != "" { // once it is answered
				return nil
			}
		}
		return fmt.Errorf("no delivery of %s is %s", ref, phase)
	})
	return found
}

// breakOff makes the kube-apiserver answer writes of the GatewaySync with 500, as if an admission webhook were
// unreachable, until mend is called.
func (w *world) breakOff() (mend func()) {
	w.T.Helper()
	mend = w.RegisterWebhook(`
clientConfig: {url: "https://127.0.0.1:1/"}
failurePolicy: Fail
timeoutSeconds: 5
rules: [{apiGroups: [stoker.io], apiVersions: ['*'], operations: [UPDATE], resources: [gatewaysyncs]}]`)
	w.Eventually(testcluster.Patience, func() error {
		_, err := shared.Objects.Resource(testcluster.GatewaySyncs).Namespace(w.Namespace).Patch(w.T.Context(), "plant",
			types.MergePatchType, []byte(`{"metadata": {"annotations": {"example.com/try": "it"}}}`),
			metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("the webhook is not in effect yet")
		}
		return nil
	})
	return mend
}
