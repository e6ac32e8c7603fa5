// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/test/testcluster"
)

// breakOff makes the kube-apiserver answer writes of GatewaySyncs with 500, as if a webhook were unreachable.
func (w *world) breakOff() (mend func()) {
	w.T.Helper()
	mend = w.RegisterWebhook(`
clientConfig: {url: "https://127.0.0.1:1/"}
failurePolicy: Fail
timeoutSeconds: 5
rules: [{apiGroups: [stoker.io], apiVersions: ['*'], operations: [UPDATE], resources: [gatewaysyncs]}]`)
	w.Eventually(testcluster.Patience, func() error {
		_, err := shared.Kubectl(w.T.Context(), "", "annotate", "gatewaysync", "plant", "example.com/try=it",
			"--namespace="+w.Namespace, "--dry-run=server")
		if err == nil {
			return errors.New("the webhook is not in effect yet")
		}
		return nil
	})
	return mend
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

// A pending delivery is followed until it has ended, and is one delivery, whether or not its sender gives it an id.
func TestSend_WaitsForPending(t *testing.T) {
	for name, c := range map[string]struct{ source, header string }{
		"by its own id":    {source: "azure-devops"},
		"by an id":         {source: "generic"},
		"by its record":    {source: "generic", header: "Idempotency-Key:"},
		"signed, by an id": {source: "github"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			target := []string{"gatewaysync/plant"}
			args := append([]string{
				filepath.Join(root, "pkg/payload/testdata", examples[c.source].file), "--source=" + c.source,
			}, target...)
			if c.header != "" {
				args = append(args, "--header="+c.header)
			}
			if c.source == "github" {
				w.provide(c.source, credential.MethodHMAC, target)
				w.untilSent(cli.ExitOK, "", args...)
				args[0] = filepath.Join(root, "pkg/payload/testdata/github/push-annotated-tag.json")
			}
			mend := w.breakOff()
			if got := w.run("", append([]string{"send"}, args...)...); got.code != cli.ExitPending {
				t.Errorf("want exit code %d: %s", cli.ExitPending, got)
			}
			got := w.run("", append([]string{"send", "--wait", "--timeout=15s"}, args...)...)
			if got.code != cli.ExitPending || !strings.Contains(got.out, ": Pending") {
				t.Errorf("want exit code %d: %s", cli.ExitPending, got)
			}
			before := len(w.records())
			ended := make(chan result, 1)
			go func() { ended <- w.run("", append([]string{"send", "--wait"}, args...)...) }()
			w.Eventually(testcluster.Patience, func() error {
				if len(w.records()) == before && c.source != "azure-devops" { // it is the same delivery
					return errors.New("the delivery is not recorded yet")
				}
				return nil
			})
			mend()
			if got := <-ended; got.code != cli.ExitOK || !strings.Contains(got.out, ": Applied") {
				t.Errorf("want exit code 0: %s", got)
			}
			if after := len(w.records()); after > before+1 {
				t.Errorf("waiting made %d records", after-before)
			}
		})
	}
}

// The exit code tells the outcomes apart, without waiting, too.
func TestSend_WaitExitCodes(t *testing.T) {
	w := newWorld(t)
	const body = `{"ref": "v9", "repository": "https://github.com/example/other.git"}`
	for name, c := range map[string]struct {
		body string
		code int
		args []string
	}{
		"applied":  {body, cli.ExitOK, []string{"gatewaysync/plant"}},
		"ignored":  {body, cli.ExitIgnored, nil},
		"refused":  {body, cli.ExitFault, []string{"gatewaysync/missing"}},
		"not sent": {body, cli.ExitFailed, []string{"gatewaysync/plant", "--on-held=never"}},
	} {
		for _, wait := range []string{"--wait", "--wait=false"} {
			args := append([]string{"send", "-", "--source=generic", wait}, c.args...)
			if got := w.run(c.body, args...); got.code != c.code {
				t.Errorf("%s: want exit code %d: %s", name, c.code, got)
			}
		}
	}
	w.ServeWebhook(`
failurePolicy: Fail
rules: [{apiGroups: [stoker.io], apiVersions: ['*'], operations: [UPDATE], resources: [gatewaysyncs]}]`,
		func(context.Context, *admissionv1.AdmissionRequest) bool { return false })
	w.untilSent(cli.ExitNotWritten, `{"ref": "v10"}`, "-", "gatewaysync/plant", "--source=generic", "--wait")
}
