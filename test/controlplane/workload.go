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

// workloadName is the name of the StatefulSet, and of the container in it, that an installation consists of.
const workloadName = "postern"

// workload is the StatefulSet that is installed. No kubelet runs here, so what it would make of it is done by this package.
type workload struct {
	kube kubernetes.Interface
	set  *appsv1.StatefulSet
}

// launch is what a kubelet would run for one Pod of a workload.
type launch struct {
	args, env []string
	mounted   mounts
}

// installedWorkload reads the StatefulSet.
func (c *ControlPlane) installedWorkload(ctx context.Context) (*workload, error) {
	kube, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return nil, err
	}
	set, err := kube.AppsV1().StatefulSets(Namespace).Get(ctx, workloadName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("could not find what is installed: %w", err)
	}
	return &workload{kube: kube, set: set}, nil
}

// launch resolves what a Pod's container gets: its arguments, its environment, and its volumes, which are written below
// dir. Paths in arguments and environment lead there.
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

// override puts flags, all as --name=value, in the place of those of the same names.
func (l *launch) override(flags ...string) {
	for _, flag := range flags {
		name, _, _ := strings.Cut(flag, "=")
		l.args = slices.DeleteFunc(l.args, func(arg string) bool { return arg == name || strings.HasPrefix(arg, name+"=") })
	}
	l.args = append(l.args, flags...)
}
