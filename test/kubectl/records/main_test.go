// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package records tests the commands of kubectl-postern about recorded deliveries, with a real kube-apiserver and
// Postern behind it. The commands run in this process.
package records

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/cmd/kubectl-postern/app"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// shared is the control plane of all tests, and postern runs behind it.
var (
	shared  *testcluster.Cluster
	postern *controlplane.Postern
)

func TestMain(m *testing.M) {
	testcluster.Main(m, func(ctx context.Context) (err error) {
		shared, postern, err = testcluster.StartWithPostern(ctx)
		return err
	}, func(ctx context.Context) error { return errors.Join(postern.Kill(), shared.Stop(ctx)) })
}

// world is the namespace of one test.
type world struct {
	*testcluster.Cluster
	*testcluster.Sandbox
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{shared, shared.NewSandbox(t)}
}

// result is what a command printed, and its exit code.
type result struct {
	out, errOut string
	code        int
}

// run runs a command of the plugin as the administrator, in the namespace of the test.
func (w *world) run(args ...string) result {
	w.T.Helper()
	return w.runWith("", args...)
}

// runWith is run with an input, which is no terminal.
func (w *world) runWith(in string, args ...string) result {
	w.T.Helper()
	var out, errOut bytes.Buffer
	code := w.start(strings.NewReader(in), &out, &errOut, args...)
	return result{out.String(), errOut.String(), code}
}

// start runs a command until it ends. It is safe for concurrent use.
func (w *world) start(in io.Reader, out, errOut io.Writer, args ...string) int {
	all := append([]string{"--kubeconfig", w.AdminKubeconfig(), "--namespace", w.Namespace}, args...)
	return app.Run(all, genericiooptions.IOStreams{In: in, Out: out, ErrOut: errOut})
}

// expect fails the test unless a result has the exit code and each of the texts.
func (w *world) expect(r result, code int, texts ...string) {
	w.T.Helper()
	if r.code != code {
		w.T.Errorf("the exit code is %d, expected %d", r.code, code)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.errOut, text) {
			w.T.Errorf("%q is missing", text)
		}
	}
	if w.T.Failed() {
		w.T.Fatalf("stdout:\n%s\nstderr:\n%s", r.out, r.errOut)
	}
}

// deliver creates a delivery as an object, and returns it once it has ended.
func (w *world) deliver(name string, spec v1alpha1.WebhookDeliverySpec) *v1alpha1.WebhookDelivery {
	w.T.Helper()
	client := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace)
	delivery, err := client.Create(w.T.Context(), &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec,
	}, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	w.Eventually(testcluster.Patience, func() error { // the outcome is stored after the answer
		delivery, err = client.Get(w.T.Context(), name, metav1.GetOptions{})
		if err == nil && delivery.Status.Phase == v1alpha1.DeliveryPending {
			err = fmt.Errorf("%s is pending: %s", name, delivery.Status.Message)
		}
		return err
	})
	return delivery
}

// toPlant requests a ref of the GatewaySync plant.
func toPlant(ref string) v1alpha1.WebhookDeliverySpec {
	return v1alpha1.WebhookDeliverySpec{
		Target: &v1alpha1.TargetReference{Kind: v1alpha1.TargetGatewaySync, Name: "plant"}, Ref: ref,
	}
}

// imageToShop requests an image of the Application shop.
func imageToShop(image, tag string) v1alpha1.WebhookDeliverySpec {
	return v1alpha1.WebhookDeliverySpec{
		Target: &v1alpha1.TargetReference{Kind: v1alpha1.TargetApplication, Name: "shop"}, Image: image, Ref: tag,
	}
}

// pushed is a push of GitHub to all targets that follow it, with the headers of its event.
func pushed(event, payload string) v1alpha1.WebhookDeliverySpec {
	return v1alpha1.WebhookDeliverySpec{
		Source: "github", Headers: map[string]string{"X-GitHub-Event": event},
		Payload: &v1alpha1.JSON{Raw: []byte(payload)},
	}
}

// kubectlAtEnd runs kubectl at the end of a test, when its context has ended.
func (w *world) kubectlAtEnd(args ...string) {
	if _, err := w.Kubectl(context.Background(), "", args...); err != nil {
		w.T.Error(err)
	}
}
