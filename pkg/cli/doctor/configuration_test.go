// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// The owner's annotations that keep deliveries from a target are named, with the command that ends a hold.
func TestConfiguration_Annotations(t *testing.T) {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetAnnotations(map[string]string{
		"postern.dev/hold": "freeze until Monday", "postern.dev/deploy-on": "workflow_run:CI",
	})
	var found []Finding
	e := &examiner{
		Cluster: &cli.Cluster{Namespace: "demo"}, found: func(f Finding) { found = append(found, f) }, object: object,
		Question: Question{Target: &v1alpha1.TargetReference{Kind: v1alpha1.TargetGatewaySync, Name: "plant"}},
	}
	e.examineConfiguration(t.Context())
	for _, want := range []Finding{
		{Level: Warning, Message: `postern.dev/hold is "freeze until Monday", so deliveries are held. The newest is ` +
			`written once the annotation is removed`,
			Command: "kubectl annotate gatewaysyncs.stoker.io plant postern.dev/hold- -n demo"},
		{Level: Note, Message: `it takes git refs only from the events in postern.dev/deploy-on, "workflow_run:CI"`},
	} {
		if !slices.Contains(found, want) {
			t.Errorf("%s", cmp.Diff(want, found))
		}
	}
}
