// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"postern.dev/postern/test/controlplane"
)

const (
	// namespace is where the sample objects are; their files name it too.
	namespace = "demo"
	// samplesDir is relative to the root of the checkout, where make runs this program.
	samplesDir = "hack/local/samples"
)

// applySamples makes the objects to deliver to, GatewaySync plant and Application shop, and a CI job that may deliver
// to the first. Those that are there already stay as they are.
func applySamples(ctx context.Context, cluster *controlplane.ControlPlane) error {
	const namespaceManifest = `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "` + namespace + `"}}`
	if _, err := cluster.Kubectl(ctx, namespaceManifest, "apply", "--server-side", "--filename=-"); err != nil {
		return fmt.Errorf("could not create the namespace: %w", err)
	}
	for _, file := range []string{
		"artifacts/examples/gatewaysync.yaml",
		"artifacts/examples/application.yaml",
		samplesDir + "/sender-ci.yaml",
	} {
		if _, err := cluster.Kubectl(ctx, "", "get", "--filename="+file); err == nil {
			continue // with what was delivered to it since it was made
		}
		if _, err := cluster.Kubectl(ctx, "", "apply", "--server-side", "--filename="+file); err != nil {
			return fmt.Errorf("could not create the sample objects: %w", err)
		}
	}
	return nil
}

// posternPath is the path at the kube-apiserver to which webhooks for one object are sent.
func posternPath(resource, name string) string {
	return fmt.Sprintf("/apis/postern.dev/v1alpha1/namespaces/%s/%s/%s/webhookdeliveries", namespace, resource, name)
}
