// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"postern.dev/postern/test/controlplane"
)

// The namespace enforces the "restricted" Pod Security Standard in the kube-apiserver.
func TestPods_RestrictedAndWriteOnlyData(t *testing.T) {
	c := start(t)
	for _, path := range installations(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			rendered, err := c.Render(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			// Volume claims of an existing StatefulSet are immutable.
			c.MustKubectl(c.t, "", "delete", "statefulset", "--all-namespaces", "--all")
			if err := c.InstallFrom(t.Context(), rendered); err != nil {
				t.Fatal(err)
			}
			spec := c.installed().Spec.Template.Spec
			if err := c.tryPod(t, spec); err != nil {
				t.Errorf("the Pod is rejected: %v", err)
			}
			c.checkWritable(t, spec)
			for what, weaken := range map[string]func(*corev1.PodSpec){
				"runAsNonRoot": func(s *corev1.PodSpec) { s.SecurityContext.RunAsNonRoot = nil },
				"seccomp":      func(s *corev1.PodSpec) { s.SecurityContext.SeccompProfile = nil },
				"capabilities": func(s *corev1.PodSpec) { s.Containers[0].SecurityContext.Capabilities = nil },
				"allowPrivilegeEscalation": func(s *corev1.PodSpec) {
					s.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
				},
			} {
				weaker := spec.DeepCopy()
				weaken(weaker)
				if err := c.tryPod(t, *weaker); err == nil || !strings.Contains(err.Error(), what) {
					t.Errorf("without %s: the error %v does not mention it", what, err)
				}
			}
		})
	}
}

// checkWritable fails the test if a container can write to anything except the data volume.
func (c *cluster) checkWritable(t *testing.T, spec corev1.PodSpec) {
	t.Helper()
	for _, container := range spec.Containers {
		if readOnly := container.SecurityContext.ReadOnlyRootFilesystem; readOnly == nil || !*readOnly {
			t.Errorf("the root file system of container %s is writable", container.Name)
		}
		for _, mount := range container.VolumeMounts {
			if mount.Name != "data" && !mount.ReadOnly {
				t.Errorf("volume %s of container %s is writable", mount.Name, container.Name)
			}
		}
	}
}

// tryPod returns the kube-apiserver's error on creating the Pod, as a dry run.
func (c *cluster) tryPod(t *testing.T, spec corev1.PodSpec) error {
	t.Helper()
	kube, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	// Add the volumes of the claims, as the StatefulSet controller does.
	for _, claim := range c.installed().Spec.VolumeClaimTemplates {
		source := &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name + "-postern-0"}
		spec.Volumes = append(spec.Volumes, corev1.Volume{
			Name: claim.Name, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: source},
		})
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "postern-0"}, Spec: spec}
	_, err = kube.CoreV1().Pods(controlplane.Namespace).Create(t.Context(), pod,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}
