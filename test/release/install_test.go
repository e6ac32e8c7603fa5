// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/test/node"
)

// clusterPatience allows for a machine that is busy with other tests.
const clusterPatience = 3 * time.Minute

// testInstall installs the chart from the registry, and install.yaml, in a cluster with a real node, which pulls the
// image by its digest.
func (r *released) testInstall(t *testing.T) {
	repository, err := filepath.Abs(checkout)
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Requirements(repository); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), clusterPatience)
	defer cancel()
	c, err := node.Start(ctx, node.Options{Repository: repository})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	i := &installation{Cluster: c, t: t}
	i.exposeRegistry(r.host)
	if err := c.Nodes()[0].AddVolume(ctx); err != nil {
		t.Fatal(err)
	}
	i.kubectl("apply", "--server-side", "--filename=artifacts/crds/gatewaysyncs.stoker.io.yaml")
	i.kubectl("create", "namespace", "demo")
	i.kubectl("apply", "--filename=artifacts/examples/gatewaysync.yaml")

	// As docs/install/helm.md and docs/uninstall.md say.
	i.helm("install", "postern", "oci://"+r.chart, "--version="+strings.TrimPrefix(version, "v"), "--plain-http",
		"--create-namespace")
	i.check(r, "v1.0.0-chart")
	i.kubectl("delete", "apiservice", "v1alpha1.postern.dev")
	i.helm("uninstall", "postern", "--wait")

	// As docs/install.md says. The volume is still there.
	i.kubectl("apply", "--filename="+filepath.Join(r.dir, "install.yaml"))
	i.check(r, "v1.0.0-manifests")
	records := i.kubectl("get", "webhookdeliveries", "--namespace=demo", "--output=jsonpath={.items[*].spec.ref}")
	if want := "v1.0.0-chart v1.0.0-manifests"; records != want {
		t.Errorf("there are records of %q, want %q", records, want)
	}
}

// installation is a cluster in which a release is installed.
type installation struct {
	*node.Cluster
	t *testing.T
}

// exposeRegistry lets the node reach the registry of this machine at the same address, which is one of its own.
func (i *installation) exposeRegistry(host string) {
	i.t.Helper()
	listener, err := i.Nodes()[0].Listen(i.t.Context(), host)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go relay(conn, host)
		}
	}()
}

// relay connects conn with an address of this machine until both ends have closed.
func relay(conn net.Conn, address string) {
	defer conn.Close()
	var dialer net.Dialer
	upstream, err := dialer.DialContext(context.Background(), "tcp", address)
	if err != nil {
		return // so the client sees a closed connection
	}
	defer upstream.Close()
	go func() {
		_, _ = io.Copy(upstream, conn)
		_ = upstream.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, upstream)
}

// check waits until Postern runs from the image of the release, and makes a delivery of a ref.
func (i *installation) check(r *released, ref string) {
	i.t.Helper()
	timeout := "--timeout=" + clusterPatience.String()
	i.kubectl("rollout", "status", "statefulset/postern", "--namespace=postern-system", timeout)
	i.kubectl("wait", "--for=condition=Available", "apiservice/v1alpha1.postern.dev", timeout)
	image := i.kubectl("get", "pod", "postern-0", "--namespace=postern-system",
		"--output=jsonpath={.status.containerStatuses[0].imageID}")
	if want := r.image + "@" + r.digest; image != want {
		i.t.Errorf("the container runs %s, want %s", image, want)
	}
	delivery := strings.NewReader(`
apiVersion: postern.dev/v1alpha1
kind: WebhookDelivery
metadata: {name: ` + ref + `, namespace: demo}
spec: {target: {kind: GatewaySync, name: plant}, ref: ` + ref + `}`)
	if _, err := i.Kubectl(i.t.Context(), delivery, "create", "--filename=-"); err != nil {
		i.t.Fatal(err)
	}
	i.kubectl("wait", "--for=condition=Applied", "webhookdelivery/"+ref, "--namespace=demo", timeout)
	requested := i.kubectl("get", "gatewaysync", "plant", "--namespace=demo",
		`--output=jsonpath={.metadata.annotations.stoker\.io/requested-ref}`)
	if requested != ref {
		i.t.Errorf("plant was requested to use %q, want %s", requested, ref)
	}
}

func (i *installation) kubectl(args ...string) string {
	i.t.Helper()
	output, err := i.Kubectl(i.t.Context(), nil, args...)
	if err != nil {
		i.t.Fatal(err)
	}
	return output
}

// helm runs helm in the network of the node, where the registry is.
func (i *installation) helm(args ...string) {
	i.t.Helper()
	program, err := filepath.Abs(checkout + "/bin/tools/helm")
	if err != nil {
		i.t.Fatal(err)
	}
	args = append(args, "--namespace=postern-system")
	if output, err := i.Client(i.t.Context(), program, args...).CombinedOutput(); err != nil {
		i.t.Fatalf("helm %q: %v: %s", args, err, output)
	}
}
