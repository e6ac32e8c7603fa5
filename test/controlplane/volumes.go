// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mounts maps the mount paths of a container to local directories.
type mounts map[string]string

// localize replaces the mount path by its directory at the start of a text or of a flag's value.
func (m mounts) localize(text string) string {
	for path, dir := range m {
		for _, prefix := range []string{"", text[:strings.Index(text, "=")+1]} {
			rest, found := strings.CutPrefix(text, prefix+path)
			if found && (rest == "" || rest[0] == '/') {
				return prefix + dir + rest
			}
		}
	}
	return text
}

// mount writes the current content of a container's volumes below dir.
func (w *workload) mount(ctx context.Context, container *corev1.Container, dir string) (mounts, error) {
	mounted := mounts{}
	for _, mount := range container.VolumeMounts {
		local := filepath.Join(dir, mount.Name)
		if err := os.MkdirAll(local, 0o700); err != nil {
			return nil, err
		}
		files, err := w.files(ctx, mount.Name)
		if err != nil {
			return nil, fmt.Errorf("volume %s: %w", mount.Name, err)
		}
		for name, content := range files {
			if err := replaceFile(filepath.Join(local, name), content); err != nil {
				return nil, err
			}
		}
		mounted[mount.MountPath] = filepath.Join(local, mount.SubPath)
	}
	return mounted, nil
}

// files returns the initial content of a volume.
func (w *workload) files(ctx context.Context, volume string) (map[string][]byte, error) {
	for _, claim := range w.set.Spec.VolumeClaimTemplates {
		if claim.Name == volume {
			return nil, nil
		}
	}
	for _, one := range w.set.Spec.Template.Spec.Volumes {
		if one.Name != volume {
			continue
		}
		switch {
		case one.EmptyDir != nil:
			return nil, nil
		case one.Secret != nil:
			return w.secretFiles(ctx, one.Secret)
		case one.ConfigMap != nil:
			return w.configMapFiles(ctx, one.ConfigMap)
		}
		return nil, fmt.Errorf("can't be mounted here: %v", one.VolumeSource)
	}
	return nil, fmt.Errorf("volume not found")
}

func (w *workload) secretFiles(ctx context.Context, source *corev1.SecretVolumeSource) (map[string][]byte, error) {
	secret, err := w.kube.CoreV1().Secrets(w.set.Namespace).Get(ctx, source.SecretName, metav1.GetOptions{})
	if err != nil {
		return nil, ignoreMissing(err, source.Optional)
	}
	return project(source.SecretName, secret.Data, source.Items, source.Optional)
}

func (w *workload) configMapFiles(ctx context.Context, source *corev1.ConfigMapVolumeSource) (map[string][]byte,
	error) {
	configMap, err := w.kube.CoreV1().ConfigMaps(w.set.Namespace).Get(ctx, source.Name, metav1.GetOptions{})
	if err != nil {
		return nil, ignoreMissing(err, source.Optional)
	}
	data := map[string][]byte{}
	maps.Copy(data, configMap.BinaryData)
	for key, value := range configMap.Data {
		data[key] = []byte(value)
	}
	return project(source.Name, data, source.Items, source.Optional)
}

// project returns the files that a volume projects from an object's data: the given items, or all data without items.
func project(object string, data map[string][]byte, items []corev1.KeyToPath, optional *bool) (map[string][]byte,
	error) {
	if len(items) == 0 {
		return data, nil
	}
	files := map[string][]byte{}
	for _, item := range items {
		content, found := data[item.Key]
		if err := requireKey(found, object, item.Key, optional); err != nil {
			return nil, err
		}
		if found {
			files[item.Path] = content
		}
	}
	return files, nil
}

// replaceFile replaces a file atomically: readers see the old content or the new.
func replaceFile(path string, content []byte) error {
	unfinished := path + ".new"
	if err := os.WriteFile(unfinished, content, 0o600); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}
