// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"postern.dev/postern/pkg/generated/clientset/versioned"
	"postern.dev/postern/test/node"
)

// targets is the number of GatewaySyncs, plant-0 and so on, in the namespace of senders.
const (
	targets   = 10
	namespace = "demo"
)

var gatewaySyncs = schema.GroupVersionResource{Group: "stoker.io", Version: "v1alpha1", Resource: "gatewaysyncs"}

// world is a cluster with the image, the CRDs of targets, GatewaySyncs, and a ServiceAccount that may deliver to them.
type world struct {
	*node.Cluster
	t          *testing.T
	kube       kubernetes.Interface
	objects    dynamic.Interface
	deliveries versioned.Interface
	account    *rest.Config // with the token of the ServiceAccount
}

// newWorld starts a cluster for the duration of a test.
func newWorld(t *testing.T) *world {
	t.Helper()
	if suite.skip != "" {
		t.Skip(suite.skip)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cluster, err := node.Start(ctx, node.Options{
		Repository: suite.repository, Images: []string{suite.image.archive},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Cluster: cluster, t: t}
	t.Cleanup(func() {
		if t.Failed() {
			w.explain()
		}
		if err := cluster.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	admin, err := cluster.Admin()
	if err != nil {
		t.Fatal(err)
	}
	w.kube, w.objects = kubernetes.NewForConfigOrDie(admin), dynamic.NewForConfigOrDie(admin)
	w.deliveries = versioned.NewForConfigOrDie(admin)
	w.createTargets()
	return w
}

func (w *world) createTargets() {
	w.t.Helper()
	w.kubectl("apply", "--server-side", "--filename=artifacts/crds")
	w.kubectl("wait", "--for=condition=Established", "--timeout=60s", "--filename=artifacts/crds")
	w.kubectl("create", "namespace", namespace)
	example, err := os.ReadFile(filepath.Join(suite.repository, "artifacts", "examples", "gatewaysync.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	objects := string(example)
	for i := range targets {
		objects += "---\n" + strings.Replace(string(example), "name: plant\n", fmt.Sprintf("name: plant-%d\n", i), 1)
	}
	w.feed(objects, "create", "--filename=-")
	w.feed(loadUser, "create", "--namespace="+namespace, "--filename=-")
	if w.account, err = w.Anonymous(); err != nil {
		w.t.Fatal(err)
	}
	token := w.kubectl("create", "token", "load", "--namespace="+namespace, "--duration=4h")
	w.account.BearerToken = strings.TrimSpace(token)
}

// loadUser may deliver to all targets. "kubectl create role" would need Postern, which is not installed yet.
const loadUser = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: load}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: load}
rules:
- apiGroups: [postern.dev]
  resources: [gatewaysyncs/webhookdeliveries]
  verbs: [create]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: load}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: load}
subjects: [{kind: ServiceAccount, name: load, namespace: demo}]
`

// kubectl runs kubectl as the administrator in the root of the checkout. The test fails if kubectl fails.
func (w *world) kubectl(args ...string) string {
	w.t.Helper()
	return w.feed("", args...)
}

// feed is kubectl with standard input.
func (w *world) feed(stdin string, args ...string) string {
	w.t.Helper()
	output, err := w.Kubectl(w.t.Context(), strings.NewReader(stdin), args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return output
}

// shell runs a script as a user would: as the administrator, with kubectl, in the network of the first node.
func (w *world) shell(script string) string {
	w.t.Helper()
	cmd := w.Client(w.t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = w.t.TempDir()
	bin := filepath.Join(suite.repository, "bin") // of the plugin of kubectl
	cmd.Env = append(cmd.Env, "PATH="+filepath.Join(bin, "k8s")+":"+bin+":"+os.Getenv("PATH"))
	output, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s\n%s\n%v", script, output, err)
	}
	return string(output)
}

// posternUser is the user and the group of the container.
const posternUser = 65532

// addVolume adds a volume for Postern on a node.
func (w *world) addVolume(on *node.Node) {
	w.t.Helper()
	if err := on.AddVolume(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// build is a program in an image, and the checkout that it was built from.
type build struct {
	checkout string
	image    image
}

// install installs the image of the suite with a directory of its manifests and more patches.
func (w *world) install(manifests, patches string) {
	w.t.Helper()
	w.apply(build{suite.repository, suite.image}, manifests, patches)
}

// apply applies a directory of manifests of a build, as docs/install.md says, and more patches.
func (w *world) apply(b build, manifests, patches string) {
	w.t.Helper()
	overlay := filepath.Join(w.Dir(), "overlay")
	if err := os.MkdirAll(overlay, 0o755); err != nil {
		w.t.Fatal(err)
	}
	base, err := filepath.Rel(overlay, filepath.Join(b.checkout, manifests))
	if err != nil {
		w.t.Fatal(err)
	}
	kustomization := fmt.Sprintf(`apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [%s]
images:
- name: ghcr.io/postern-dev/postern
  newName: %s
  newTag: %s
%s`, base, b.image.name, b.image.tag, patches)
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.kubectl("apply", "--kustomize="+overlay)
	w.awaitRollout()
}

// awaitRollout returns once all replicas are up to date and ready, and the kube-apiserver proxies to them.
func (w *world) awaitRollout() {
	w.t.Helper()
	w.kubectl("rollout", "status", "statefulset/postern", "--namespace="+system, "--timeout="+patience.String())
	w.kubectl("wait", "--for=condition=Available", "apiservice/v1alpha1.postern.dev", "--timeout="+patience.String())
}

// eventually polls until done returns no error.
func (w *world) eventually(what string, done func(ctx context.Context) error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	var last error
	if err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		last = done(ctx)
		return last == nil, nil
	}); err != nil {
		w.t.Fatalf("waited in vain until %s: %v", what, last)
	}
}

// podUID returns the UID of the Pod postern-0.
func (w *world) podUID() string {
	w.t.Helper()
	pod, err := w.kube.CoreV1().Pods(system).Get(w.t.Context(), "postern-0", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(pod.UID)
}

// replaced returns nil if there is another ready Pod postern-0 than the one with the given UID.
func (w *world) replaced(ctx context.Context, uid string) error {
	pod, err := w.kube.CoreV1().Pods(system).Get(ctx, "postern-0", metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue && string(pod.UID) != uid {
			return nil
		}
	}
	return errors.New("the Pod is not ready, or not replaced")
}

// explain logs what a failed test may be explained by.
func (w *world) explain() {
	for _, args := range [][]string{
		{"get", "pods,endpointslices,events", "--namespace=" + system, "--output=wide"},
		{"describe", "pods", "--namespace=" + system},
		{"logs", "--selector=app.kubernetes.io/name=postern", "--namespace=" + system, "--tail=40"},
		{"get", "apiservice", "v1alpha1.postern.dev", "--output=yaml"},
	} {
		output, err := w.Kubectl(context.Background(), nil, args...)
		w.t.Logf("kubectl %s:\n%s\n%v", strings.Join(args, " "), output, err)
	}
}
