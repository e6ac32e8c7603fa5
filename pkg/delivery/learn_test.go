// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

func TestARecordTellsWhatItsTargetsHeld(t *testing.T) {
	record := toAll()
	record.Spec.Events = []postern.DeliveryEvent{
		{Source: "github", Ref: "v1"}, {Source: "github", Ref: "v2"}, {Source: "github", Ref: "v3"}, {Source: "github", Ref: "v4"},
	}
	record.Status.ReceivedTime = &metav1.MicroTime{Time: received}
	for ref, result := range map[string]postern.TargetResultType{
		"v1": postern.TargetWritten, "v2": postern.TargetUnchanged, "v3": postern.TargetFailed, "v4": postern.TargetSuperseded,
	} {
		record.Status.Targets = append(record.Status.Targets,
			postern.TargetResult{Kind: postern.TargetGatewaySync, Name: "plant", Ref: ref, Result: result})
	}
	p := newDefaultPipeline()
	p.Learn(record)
	got := map[string]bool{}
	for _, line := range p.journal {
		got[line] = true
	}
	want := map[string]bool{"held " + plant + " v1 0s": true, "held " + plant + " v2 1ns": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("learnt (-want +got):\n%s", diff)
	}
	record.Status.ReceivedTime = nil // as an earlier version made it
	p.journal = nil
	if p.Learn(record); p.journal != nil {
		t.Errorf("learnt %q without a time", p.journal)
	}
}
