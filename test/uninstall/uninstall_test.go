// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package uninstall

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/test/controlplane"
)

// deleters are the controllers that take part in installing and uninstalling Postern: those that create its Pod and
// volume claim, and those that delete.
var deleters = []string{
	"namespace-controller", "garbage-collector-controller", "statefulset-controller",
	"persistentvolumeclaim-protection-controller",
}

func TestUninstall_DocumentedOrderLeavesNothing(t *testing.T) {
	c := newCluster(t, deleters...)
	if err := c.ApplyCRDs(t.Context(), crds); err != nil {
		t.Fatal(err)
	}
	before := c.inventory()

	postern := c.installPostern()
	c.kubectl("wait", "--for=create", "persistentvolumeclaim/data-postern-0", "--namespace="+controlplane.Namespace,
		"--timeout="+patience.String()) // otherwise there would be less to leave behind
	c.deliver("demo", "v1.0.0")
	c.deliver("first", "v1.0.0")
	c.deliver("second", "v1.0.0")
	c.deliver("third", "v1.0.0")

	c.deleteNamespace("first") // with its deliveries, while Postern runs
	c.kubectl("delete", "apiservice", apiService)
	c.deleteNamespace("second")
	if err := postern.Kill(); err != nil {
		t.Fatal(err)
	}
	c.deleteNamespace("third")
	c.kubectl("delete", "--kustomize=manifests/base", "--ignore-not-found", "--timeout="+patience.String())

	after := c.inventory()
	before["namespaces /demo"] = true
	before["gatewaysyncs.stoker.io demo/plant"] = true
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the cluster has changed (-before +after):\n%s", diff)
	}
	ref := c.kubectl("get", "gatewaysync", "plant", "--namespace=demo",
		`--output=jsonpath={.metadata.annotations.stoker\.io/requested-ref}`)
	if ref != "v1.0.0" {
		t.Errorf("the requested ref of the remaining target is %q, want v1.0.0", ref)
	}
}

func TestNamespace_DeletionWaitsForAPIService(t *testing.T) {
	c := newCluster(t, "namespace-controller")
	postern := c.installPostern()
	c.deliver("demo", "v1.0.0")
	if err := postern.Kill(); err != nil {
		t.Fatal(err)
	}
	c.kubectl("wait", "--for=condition=Available=false", "apiservice/"+apiService, "--timeout="+patience.String())

	c.kubectl("delete", "namespace", "demo", "--wait=false")
	c.kubectl("wait", "--for=condition=NamespaceDeletionDiscoveryFailure", "namespace/demo", "--timeout="+
		patience.String())
	message := c.kubectl("get", "namespace", "demo",
		`--output=jsonpath={.status.conditions[?(@.type=="NamespaceDeletionDiscoveryFailure")].message}`)
	if !strings.Contains(message, "postern.dev/v1alpha1") {
		t.Errorf("the namespace's condition %q does not name Postern's API", message)
	}

	c.kubectl("delete", "apiservice", apiService)
	c.kubectl("wait", "--for=delete", "namespace/demo", "--timeout="+patience.String())
}
