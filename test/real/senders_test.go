// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// readRepositoryFile returns a file of the checkout.
func readRepositoryFile(t *testing.T, path string) string {
	t.Helper()
	return readFile(t, filepath.Join(checkout(t), path))
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// replaceEach replaces texts that a user replaces in an example, and fails if one is missing.
func replaceEach(t *testing.T, content string, oldNew ...string) string {
	t.Helper()
	for pair := range slices.Chunk(oldNew, 2) {
		if !strings.Contains(content, pair[0]) {
			t.Fatalf("%q is missing in:\n%s", pair[0], content)
		}
		content = strings.ReplaceAll(content, pair[0], pair[1])
	}
	return content
}

// writeFile writes a file into the directory and returns its path.
func writeFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tools runs commands with a directory for their files and settings.
type tools struct {
	t   *testing.T
	dir string
	env []string // NAME=value, in addition to PATH and HOME
}

func newTools(t *testing.T, env ...string) *tools {
	t.Helper()
	return &tools{t: t, dir: t.TempDir(), env: env}
}

// run runs a program of the checkout, or one in PATH if its name has no slash, and returns its standard output.
func (c *tools) run(program string, args ...string) string {
	c.t.Helper()
	if strings.Contains(program, "/") {
		program = filepath.Join(checkout(c.t), program)
	}
	cmd := exec.CommandContext(c.t.Context(), program, args...)
	cmd.Dir = c.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir}, c.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s%s", filepath.Base(program), strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// deliveries returns the records in the namespace, oldest first.
func (w *world) deliveries() []v1alpha1.WebhookDelivery {
	w.T.Helper()
	list, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).List(w.T.Context(),
		metav1.ListOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.WebhookDelivery) int {
		return a.Status.ReceivedTime.Compare(b.Status.ReceivedTime.Time)
	})
	return list.Items
}

// outcomes describes the outcomes of deliveries, for failure reports.
func outcomes(deliveries []v1alpha1.WebhookDelivery) string {
	var all []string
	for _, d := range deliveries {
		all = append(all, fmt.Sprintf("%s %s (%s)", d.Status.Phase, d.Status.Reason, d.Status.Message))
	}
	return strings.Join(all, ", ")
}

// requests returns what deliveries requested, once each, oldest first.
func requests(deliveries []v1alpha1.WebhookDelivery) (requested []string) {
	for _, d := range deliveries {
		for _, e := range d.Spec.Events {
			request := e.Event + " " + e.Ref
			if e.Image != nil {
				request = fmt.Sprintf("%s %s:%s", e.Event, e.Image.Repository, e.Image.Tag)
			}
			if !slices.Contains(requested, request) {
				requested = append(requested, request)
			}
		}
	}
	return requested
}

// checkRequests compares what all deliveries in the namespace requested, and reports failures of any.
func (w *world) checkRequests(want ...string) {
	w.T.Helper()
	all := w.deliveries()
	if diff := cmp.Diff(want, requests(all)); diff != "" {
		w.T.Errorf("requests (-want +got):\n%s", diff)
	}
	for _, d := range all {
		if d.Status.Phase == v1alpha1.DeliveryFailed {
			w.T.Errorf("delivery %s failed: %s: %s", d.Name, d.Status.Reason, d.Status.Message)
		}
	}
}

// runningShop creates an Application that runs an image, and takes new ones by its annotations.
func (w *world) runningShop(name, image string, annotations map[string]string) {
	w.T.Helper()
	// Argo CD may run for other tests. It would set the status.
	w.Create(testcluster.Applications, replaceEach(w.T, testcluster.Application(name), "name: "+name,
		"name: "+name+`, annotations: {argocd.argoproj.io/skip-reconcile: "true"}`))
	app := w.Get(testcluster.Applications, name)
	all := app.GetAnnotations()
	maps.Copy(all, annotations)
	app.SetAnnotations(all)
	err := unstructured.SetNestedMap(app.Object, map[string]any{
		"sourceType": "Kustomize", "summary": map[string]any{"images": []any{image}},
	}, "status")
	if err != nil {
		w.T.Fatal(err)
	}
	if _, err := w.Objects.Resource(testcluster.Applications).Namespace(w.Namespace).Update(w.T.Context(), app,
		metav1.UpdateOptions{}); err != nil {
		w.T.Fatal(err)
	}
}

// images returns the image overrides of an Application.
func (w *world) images(name string) []string {
	w.T.Helper()
	images, _, err := unstructured.NestedStringSlice(w.Get(testcluster.Applications, name).Object,
		"spec", "source", "kustomize", "images")
	if err != nil {
		w.T.Fatal(err)
	}
	return images
}

// waitOverride waits until an Application has the image override, and no other.
func (w *world) waitOverride(name, image string, program func() string) {
	w.T.Helper()
	w.Eventually(testcluster.Patience, func() error {
		if got := w.images(name); !slices.Equal(got, []string{image}) {
			return fmt.Errorf("the images are %q, want %q, after %s; %s", got, image, outcomes(w.deliveries()),
				program())
		}
		return nil
	})
}

// tokenFor creates a ServiceAccount that may deliver to one object and returns its token, as documented for senders.
// It waits until the permission is in effect.
func (w *world) tokenFor(resource, name string) string {
	w.T.Helper()
	subject, token := w.ServiceAccount("sender", time.Hour)
	w.Grant(subject, "create", resource+"/webhookdeliveries", name)
	w.Eventually(testcluster.Patience, func() error {
		_, err := w.Kubectl(w.T.Context(), "", "auth", "can-i", "create", resource+".postern.dev/"+name,
			"--subresource=webhookdeliveries", "--namespace="+w.Namespace,
			"--as=system:serviceaccount:"+w.Namespace+":sender")
		return err
	})
	return token
}
