// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"postern.dev/postern/test/controlplane"
)

const (
	// repository is the root of the checkout, with helm, kubectl and their inputs.
	repository = "../.."
	chartDir   = "charts/postern"
	release    = "postern"
	namespace  = "postern-system"
)

// run runs a program in the root of the checkout and returns its standard output. The error is its standard error.
func run(t *testing.T, env []string, program string, args ...string) ([]byte, error) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(repository, program))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("run \"make control-plane helm\" first: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir, cmd.Env = repository, append(env, "HOME="+t.TempDir()) // without the user's settings
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, errors.New(stderr.String())
	}
	return stdout.Bytes(), nil
}

// template renders the chart with the given files and flags, such as --set=replicaCount=1.
func template(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	return run(t, nil, "bin/tools/helm",
		append([]string{"template", release, chartDir, "--namespace=" + namespace}, args...)...)
}

func mustTemplate(t *testing.T, args ...string) []byte {
	t.Helper()
	rendered, err := template(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return rendered
}

func kustomize(t *testing.T, dir string) []byte {
	t.Helper()
	rendered, err := run(t, nil, filepath.Join(controlplane.ProgramsDir(), "kubectl"), "kustomize", dir)
	if err != nil {
		t.Fatal(err)
	}
	return rendered
}

// parse returns the objects of a YAML stream by kind, namespace and name. Duplicate keys are errors.
func parse(t *testing.T, rendered []byte) map[string]*unstructured.Unstructured {
	t.Helper()
	objects := map[string]*unstructured.Unstructured{}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(rendered)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(document, &object.Object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(object.Object) == 0 {
			continue // only comments
		}
		key := fmt.Sprintf("%s %s/%s", object.GroupVersionKind().GroupKind(), object.GetNamespace(), object.GetName())
		if objects[key] != nil {
			t.Fatalf("%s is there twice", key)
		}
		objects[key] = object
	}
}
