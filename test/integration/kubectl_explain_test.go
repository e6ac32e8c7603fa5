// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// fieldPaths returns the paths of the fields below a type for kubectl explain.
func fieldPaths(t reflect.Type, prefix string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[v1alpha1.JSON]() {
		return nil
	}
	var paths []string
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		paths = append(paths, prefix+name)
		paths = append(paths, fieldPaths(field.Type, prefix+name+".")...)
	}
	return paths
}

// explained parses the fields in the output of kubectl explain --recursive, which indents by depth.
func explained(out string) (paths []string) {
	var parents []string
	line := regexp.MustCompile(`(?m)^((?:  )+)(\w+)\t<`)
	for _, match := range line.FindAllStringSubmatch(out, -1) {
		depth := len(match[1])/2 - 1
		parents = append(parents[:depth], match[2])
		paths = append(paths, strings.Join(parents, "."))
	}
	return paths
}

func TestKubectlExplain_EveryField(t *testing.T) {
	w := newWorld(t)
	w.openAPIv3Paths()
	for field, root := range map[string]reflect.Type{
		"spec":   reflect.TypeFor[v1alpha1.WebhookDeliverySpec](),
		"status": reflect.TypeFor[v1alpha1.WebhookDeliveryStatus](),
	} {
		want := slices.Sorted(slices.Values(fieldPaths(root, "")))
		got := slices.Sorted(slices.Values(explained(w.kubectl("", "explain", "webhookdelivery."+field,
			"--recursive"))))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}

	whole := explained(w.kubectl("", "explain", "webhookdelivery", "--recursive"))
	for _, path := range []string{"apiVersion", "kind", "metadata.name", "spec.events.ref",
		"status.targets.previousRef"} {
		if !slices.Contains(whole, path) {
			t.Errorf("kubectl explain webhookdelivery --recursive does not have %s", path)
		}
	}
}

func TestKubectlExplain_Description(t *testing.T) {
	w := newWorld(t)
	w.openAPIv3Paths()
	for field, want := range map[string]string{
		"webhookdelivery.status.targets": "Outcome for each target",
		"webhookdelivery.status.targets.previousRef": "Ref that the target had before: the one requested last, " +
			"otherwise the one in its specification.",
		"whd.status.sender.method":           "Authentication method: ",
		"whd.spec.payload":                   "The sender's payload, as any JSON.",
		"webhookdeliveries.spec.target.kind": "Kind of the object: GatewaySync",
		"webhooksource.status.methods":       "Methods by which the sender can authenticate",
	} {
		out := strings.Join(strings.Fields(w.kubectl("", "explain", field)), " ")
		if !strings.Contains(out, want) {
			t.Errorf("kubectl explain %s: got %q, want %q in it", field, out, want)
		}
	}
}
