// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// workloadName is the name of the installation's StatefulSet and of its container.
const workloadName = "postern"

// workload is the installed StatefulSet. There is no kubelet, so this package does its work.
type workload struct {
	kube kubernetes.Interface
	set  *appsv1.StatefulSet
}

// launch is what a kubelet would run for a Pod of a workload.
type launch struct {
	args, env []string
	mounted   mounts
}

func (c *ControlPlane) installedWorkload(ctx context.Context) (*workload, error) {
	kube, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return nil, err
	}
	set, err := kube.AppsV1().StatefulSets(Namespace).Get(ctx, workloadName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("could not find the installation: %w", err)
	}
	return &workload{kube: kube, set: set}, nil
}

// launch resolves the arguments, the environment and the volumes of a Pod's container. Volumes are written below dir,
// and paths in arguments and environment point there.
func (w *workload) launch(ctx context.Context, pod, dir string) (*launch, error) {
	spec := &w.set.Spec.Template.Spec
	i := slices.IndexFunc(spec.Containers, func(c corev1.Container) bool { return c.Name == workloadName })
	if i < 0 {
		return nil, fmt.Errorf("StatefulSet %s has no container %s", w.set.Name, workloadName)
	}
	container := &spec.Containers[i]
	env, err := w.environment(ctx, pod, container)
	if err != nil {
		return nil, fmt.Errorf("could not resolve the environment of %s: %w", pod, err)
	}
	mounted, err := w.mount(ctx, container, dir)
	if err != nil {
		return nil, fmt.Errorf("could not mount the volumes of %s: %w", pod, err)
	}
	l := &launch{mounted: mounted}
	for _, arg := range container.Args {
		l.args = append(l.args, mounted.localize(expand(arg, env)))
	}
	for _, one := range env {
		l.env = append(l.env, one.Name+"="+mounted.localize(one.Value))
	}
	return l, nil
}

// override replaces the flags of the same names by the given ones, all of the form --name=value.
func (l *launch) override(flags ...string) {
	for _, flag := range flags {
		name, _, _ := strings.Cut(flag, "=")
		l.args = slices.DeleteFunc(l.args, func(arg string) bool {
			return arg == name || strings.HasPrefix(arg, name+"=")
		})
	}
	l.args = append(l.args, flags...)
}
