// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

const newDigest = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

// imageCase is an Application on the API server, and a pushed image.
type imageCase struct {
	// annotations are "key: value"; keys of Image Updater have no prefix.
	annotations []string
	// updater is the spec of an ImageUpdater object, as YAML; empty if there is none.
	updater string
	// tool renders the Application, or each of its sources.
	tool string
	// runs are the running images.
	runs []string
	// spec is the spec of the Application, in JSON.
	spec   string
	pushed string
}

// document returns the Application in JSON, with fields that our types lack.
func (c imageCase) document(t *testing.T) string {
	t.Helper()
	annotations := map[string]string{"team": "shop"}
	for _, annotation := range c.annotations {
		key, value, _ := strings.Cut(annotation, ": ")
		if !strings.Contains(key, "/") {
			key = iuv1alpha1.AnnotationPrefix + key
		}
		annotations[key] = value
	}
	tools := strings.Fields(c.tool)
	status := map[string]any{
		"sync": map[string]any{"status": "Synced"}, "sourceType": c.tool, "sourceTypes": tools,
		"summary": map[string]any{"images": c.runs, "externalURLs": []string{"https://shop.example.com"}},
	}
	if len(tools) > 1 {
		delete(status, "sourceType")
	}
	return encode(t, map[string]any{
		"metadata": map[string]any{"namespace": "demo", "name": "shop", "labels": map[string]string{"a": "b"},
			"annotations": annotations},
		"spec":   json.RawMessage(c.spec),
		"status": status,
	})
}

func (c imageCase) updaters(t *testing.T) []*imageupdate.Updater {
	t.Helper()
	if c.updater == "" {
		return nil
	}
	updater := &iuv1alpha1.ImageUpdater{}
	updater.Namespace, updater.Name = "demo", "images"
	if err := yaml.UnmarshalStrict([]byte(c.updater), &updater.Spec); err != nil {
		t.Fatal(err)
	}
	return []*imageupdate.Updater{imageupdate.NewUpdater(updater)}
}

func (c imageCase) request(t *testing.T) Request {
	t.Helper()
	return Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, c.pushed), Source: "harbor"}, At: noon}
}

// decide decides on an Application in JSON, as the Writer does after a live read.
func (c imageCase) decide(t *testing.T, document string) Decision {
	t.Helper()
	decision, err := decide(parse(t, postern.TargetApplication, document), c.request(t), c.updaters(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(decision.Patch) > 0 {
		if decision.Patch, err = exactTests(decision.Patch, []byte(document)); err != nil {
			t.Fatal(err)
		}
	}
	return decision
}

// after returns the Application once it holds the request.
func (c imageCase) after(t *testing.T, spec string) string {
	t.Helper()
	var object map[string]any
	decode(t, c.document(t), &object)
	object["spec"] = json.RawMessage(spec)
	annotations := object["metadata"].(map[string]any)["annotations"].(map[string]any)
	maps.Copy(annotations, map[string]any{
		"postern.dev/requested-ref":            c.pushed,
		"postern.dev/requested-at":             "2026-03-01T12:00:00Z",
		"postern.dev/requested-by":             "harbor",
		"argocd.argoproj.io/refresh":           "normal",
		"argocd.argoproj.io/refresh-timestamp": "2026-03-01T12:00:00.0000005Z",
	})
	return encode(t, object)
}

// image parses a reference. Unlike in an event, its name keeps its spelling.
func image(t testing.TB, ref string) *postern.ImageReference {
	t.Helper()
	parsed, err := imageupdate.ParseImage(ref)
	if err != nil {
		t.Fatal(err)
	}
	return &postern.ImageReference{Repository: parsed.Name, Tag: parsed.Tag, Digest: parsed.Digest}
}

func encode(t testing.TB, value any) string {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func decode(t testing.TB, document string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(document), into); err != nil {
		t.Fatal(err)
	}
}

// expectObject compares all fields of objects in JSON.
func expectObject(t *testing.T, want, got string) {
	t.Helper()
	var wanted, gotten any
	decode(t, want, &wanted)
	decode(t, got, &gotten)
	if diff := cmp.Diff(wanted, gotten); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
}

// onSpec returns the edits of the spec and the tests of the edited fields.
func onSpec(patch []Operation) []Operation {
	return slices.DeleteFunc(slices.Clone(patch), func(o Operation) bool {
		edited := slices.ContainsFunc(patch, func(edit Operation) bool {
			return !edit.isTest() && strings.HasPrefix(edit.Path+"/", o.Path+"/")
		})
		return !strings.HasPrefix(o.Path, "/spec/") || o.probe || !edited
	})
}

// edits drops the operations that only test.
func edits(patch []Operation) []Operation {
	return slices.DeleteFunc(slices.Clone(patch), Operation.isTest)
}

// appOf decodes an Application.
func appOf(t *testing.T, document string) *argov1alpha1.Application {
	t.Helper()
	return parse(t, postern.TargetApplication, document).(*argov1alpha1.Application)
}
