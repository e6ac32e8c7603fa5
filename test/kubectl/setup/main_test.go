// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package setup tests how kubectl-postern sets senders up, in a real control plane with Postern.
package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/cmd/kubectl-postern/app"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// root is the root of the checkout.
const root = "../../.."

// shared is the control plane of all tests.
var shared *testcluster.Cluster

func TestMain(m *testing.M) {
	var postern *controlplane.Postern
	testcluster.Main(m, func(ctx context.Context) (err error) {
		shared, postern, err = testcluster.StartWithPostern(ctx)
		return err
	}, func(ctx context.Context) error { return errors.Join(postern.Kill(), shared.Stop(ctx)) })
}

// world is the namespace of one test.
type world struct {
	*testcluster.Sandbox
	// dir has the files of the test.
	dir string
	// kubeconfig is the user's.
	kubeconfig string
}

// newWorld returns a namespace with the GatewaySync plant and the Application shop, and the administrator as the user.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{shared.NewSandbox(t), t.TempDir(), shared.AdminKubeconfig()}
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	w.Create(testcluster.Applications, testcluster.Application("shop"))
	return w
}

// path returns the path of a file of the test.
func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// result is what a command did.
type result struct {
	args     []string
	out, err string
	code     int
}

func (r result) String() string {
	return fmt.Sprintf("kubectl postern %s: exit code %d\n%s%s", strings.Join(r.args, " "), r.code, r.out, r.err)
}

// run runs a command in the namespace.
func (w *world) run(stdin string, args ...string) result {
	var out, errOut bytes.Buffer
	args = append(args, "--kubeconfig="+w.kubeconfig, "--namespace="+w.Namespace)
	code := app.Run(args, genericiooptions.IOStreams{In: strings.NewReader(stdin), Out: &out, ErrOut: &errOut})
	return result{args, out.String(), errOut.String(), code}
}

// must runs a command, which must succeed, and returns its output.
func (w *world) must(stdin string, args ...string) string {
	w.T.Helper()
	r := w.run(stdin, args...)
	if r.code != 0 {
		w.T.Fatal(r)
	}
	return r.out
}

// fails runs a command, which must fail with a code, and a text on the standard error.
func (w *world) fails(code int, text string, args ...string) result {
	w.T.Helper()
	r := w.run("", args...)
	if r.code != code || !strings.Contains(r.err, text) {
		w.T.Errorf("want exit code %d and %q: %s", code, text, r)
	}
	return r
}

// untilSent runs send until it has the exit code: permissions and secrets take effect with a delay.
func (w *world) untilSent(code int, stdin string, args ...string) result {
	w.T.Helper()
	var last result
	w.Eventually(testcluster.Patience, func() error {
		if last = w.run(stdin, append([]string{"send"}, args...)...); last.code != code {
			return errors.New(last.String())
		}
		return nil
	})
	return last
}

// record returns the record of a delivery that a command has named.
func (w *world) record(out string) *v1alpha1.WebhookDelivery {
	w.T.Helper()
	name, _, _ := strings.Cut(strings.TrimPrefix(out, "webhookdelivery/"), ":")
	found, err := shared.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).Get(w.T.Context(), name,
		metav1.GetOptions{})
	if err != nil {
		w.T.Fatalf("%v; the command printed %q", err, out)
	}
	return found
}
