// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"postern.dev/postern/test/controlplane"
)

const (
	// namespace is the namespace of the sample objects. It is also in their files.
	namespace = "demo"
	// samplesDir is relative to the root of the checkout, where make runs this program.
	samplesDir = "hack/local/samples"
)

// applySamples creates the targets, GatewaySync plant and the Applications shop, cart and till, and a CI job that may
// deliver to the first. Existing objects are unchanged.
func applySamples(ctx context.Context, cluster *controlplane.ControlPlane) error {
	const namespaceManifest = `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "` + namespace + `"}}`
	if _, err := cluster.Kubectl(ctx, namespaceManifest, "apply", "--server-side", "--filename=-"); err != nil {
		return fmt.Errorf("could not create the namespace: %w", err)
	}
	for _, file := range []string{
		"artifacts/examples/gatewaysync.yaml",
		"artifacts/examples/application.yaml",
		samplesDir + "/applications-of-images.yaml",
		samplesDir + "/sender-ci.yaml",
	} {
		if _, err := cluster.Kubectl(ctx, "", "get", "--filename="+file); err == nil {
			continue // keep refs that were delivered to it
		}
		if _, err := cluster.Kubectl(ctx, "", "apply", "--server-side", "--filename="+file); err != nil {
			return fmt.Errorf("could not create the sample objects: %w", err)
		}
	}
	return nil
}

// posternPath returns the path on the kube-apiserver for webhooks to one object.
func posternPath(resource, name string) string {
	return fmt.Sprintf("/apis/postern.dev/v1alpha1/namespaces/%s/%s/%s/webhookdeliveries", namespace, resource, name)
}
