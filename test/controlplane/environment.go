// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// environment returns a container's variables as a kubelet resolves them: a missing optional key yields no variable,
// any other missing key is an error.
func (w *workload) environment(ctx context.Context, pod string, container *corev1.Container) ([]corev1.EnvVar, error) {
	resolved := []corev1.EnvVar{{Name: "HOSTNAME", Value: pod}}
	for _, one := range container.Env {
		value, found, err := w.variable(ctx, pod, one, resolved)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.Name, err)
		}
		if found {
			resolved = append(resolved, corev1.EnvVar{Name: one.Name, Value: value})
		}
	}
	return resolved, nil
}

func (w *workload) variable(ctx context.Context, pod string, one corev1.EnvVar, before []corev1.EnvVar) (value string,
	found bool, err error) {
	switch from := one.ValueFrom; {
	case from == nil:
		return expand(one.Value, before), true, nil
	case from.FieldRef != nil:
		value, err := w.field(pod, from.FieldRef.FieldPath)
		return value, true, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		object, err := w.kube.CoreV1().ConfigMaps(w.set.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return "", false, ignoreMissing(err, ref.Optional)
		}
		value, found := object.Data[ref.Key]
		return value, found, requireKey(found, ref.Name, ref.Key, ref.Optional)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		object, err := w.kube.CoreV1().Secrets(w.set.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return "", false, ignoreMissing(err, ref.Optional)
		}
		value, found := object.Data[ref.Key]
		return string(value), found, requireKey(found, ref.Name, ref.Key, ref.Optional)
	}
	return "", false, fmt.Errorf("can't be resolved here: %v", one.ValueFrom)
}

func (w *workload) field(pod, path string) (string, error) {
	switch path {
	case "metadata.name":
		return pod, nil
	case "metadata.namespace":
		return w.set.Namespace, nil
	case "spec.nodeName":
		return "localhost", nil
	case "status.podIP", "status.hostIP":
		return "127.0.0.1", nil
	}
	return "", fmt.Errorf("the field %s can't be resolved here", path)
}

func ignoreMissing(err error, optional *bool) error {
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return nil
	}
	return err
}

func requireKey(found bool, object, key string, optional *bool) error {
	if found || optional != nil && *optional {
		return nil
	}
	return fmt.Errorf("%s has no key %q", object, key)
}

// reference matches $(NAME), or $$ for a dollar sign, in the arguments and the environment of a container.
var reference = regexp.MustCompile(`\$\$|\$\([A-Za-z_.-][A-Za-z0-9_.-]*\)`)

// expand replaces references by values. Unknown references are unchanged.
func expand(text string, env []corev1.EnvVar) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$$" {
			return "$"
		}
		for _, e := range slices.Backward(env) {
			if e.Name == found[2:len(found)-1] {
				return e.Value
			}
		}
		return found
	})
}
