// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/test/node"
)

// TestNetworkPolicy lets kube-router enforce the policies of the manifests.
func TestNetworkPolicy(t *testing.T) {
	n := newNetwork(t)
	for _, name := range []string{"kargo", "other"} {
		n.startPod(name)
	}
	n.kubectl("label", "namespace", "kargo", "webhooks=enabled")
	n.answers("other", n.receiver(), "202") // nothing enforces policies yet
	n.enforcePolicies()
	n.eventually("a Pod in a namespace without the label is refused", func(ctx context.Context) error {
		if got, err := n.curlIn(ctx, "other", n.receiver()...); err == nil {
			return fmt.Errorf("it is answered %q", got)
		}
		return nil
	})
	n.answers("kargo", n.receiver(), "202")
	// The API server's port is open to all, and refuses whom the kube-apiserver did not relay.
	port := "https://" + n.podIP(system, "postern-0") + ":8443"
	n.answers("other", []string{port + "/livez"}, "200")
	n.answers("other", []string{port + "/apis/postern.dev/v1alpha1/webhookdeliveries"}, "403")
	if got := n.newSender().post("plant", `{"ref": "v3.0.0"}`, nil); !got.accepted() {
		n.t.Errorf("a delivery through the kube-apiserver was answered %d: %s", got.code, got.complaint)
	}
	n.restart() // the probes of the kubelet and the check of the kube-apiserver pass
	n.kubectl("label", "namespace", "other", "webhooks=enabled")
	n.eventually("the Pod is admitted once its namespace has the label", func(ctx context.Context) error {
		_, err := n.curlIn(ctx, "other", n.receiver()...)
		return err
	})
}

// network is a world with the classic receiver, and Pods that may call it.
type network struct {
	*world
	node *node.Node
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	w := newWorld(t)
	n := &network{world: w, node: w.Nodes()[0]}
	w.addVolume(n.node)
	w.kubectl("create", "namespace", system)
	w.kubectl("create", "secret", "generic", "postern-receiver-secrets", "--namespace="+system,
		"--from-literal=token=example-token")
	w.install("manifests/overlays/receiver", "")
	return n
}

// enforcePolicies runs a controller that enforces NetworkPolicies.
func (n *network) enforcePolicies() {
	n.t.Helper()
	if err := n.node.StartProgram("kube-router", filepath.Join(suite.repository, "bin", "network", "kube-router"),
		"--run-firewall=true", "--run-router=false", "--run-service-proxy=false", "--hostname-override="+n.node.Name(),
		"--kubeconfig="+n.Kubeconfig()); err != nil {
		n.t.Fatal(err)
	}
}

// startPod starts a Pod that does nothing in a namespace of the same name, and returns when it runs.
func (n *network) startPod(name string) {
	n.t.Helper()
	n.kubectl("create", "namespace", name)
	n.eventually("the namespace has a ServiceAccount, and the Pod is created", func(ctx context.Context) error {
		_, err := n.Kubectl(ctx, nil, "run", name, "--namespace="+name, "--image="+node.PauseImage,
			"--image-pull-policy=Never")
		return err
	})
	n.kubectl("wait", "--for=condition=Ready", "pod/"+name, "--namespace="+name, "--timeout="+patience.String())
}

// receiver returns the arguments of curl for a delivery to the classic receiver.
func (n *network) receiver() []string {
	return []string{
		"--header", "Authorization: Bearer example-token", "--data", `{"ref": "v2.0.0"}`,
		"https://" + n.podIP(system, "postern-0") + ":8082/webhook/demo/plant",
	}
}

// answers checks the status code that a Pod is answered.
func (n *network) answers(pod string, args []string, want string) {
	n.t.Helper()
	if got, err := n.curlIn(n.t.Context(), pod, args...); got != want {
		n.t.Errorf("the Pod %s is answered %q, %v, want %s", pod, got, err, want)
	}
}

// curlIn runs curl in the network of a Pod of startPod, and returns the status code.
func (n *network) curlIn(ctx context.Context, pod string, args ...string) (code string, err error) {
	return n.node.RunInPod(ctx, n.podIP(pod, pod), "curl", append([]string{
		"--silent", "--show-error", "--insecure", "--max-time", "5", "--output", "/dev/null",
		"--write-out", "%{http_code}",
	}, args...)...)
}

func (n *network) podIP(namespace, name string) string {
	n.t.Helper()
	pod, err := n.kube.CoreV1().Pods(namespace).Get(n.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	return pod.Status.PodIP
}
