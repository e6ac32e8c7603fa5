// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

func TestOrder_LearnsFromRecord(t *testing.T) {
	record := toAll()
	record.Spec.Events = []postern.DeliveryEvent{
		{
			Source: "github", Ref: "v1",
		}, {Source: "github", Ref: "v2"}, {Source: "github", Ref: "v3"}, {Source: "github", Ref: "v4"},
		{Source: "github", Ref: "v5"},
	}
	record.Status.ReceivedTime = &metav1.MicroTime{Time: received}
	for ref, result := range map[string]postern.TargetResultType{
		"v1": postern.TargetWritten, "v2": postern.TargetUnchanged, "v3": postern.TargetFailed,
		"v4": postern.TargetSuperseded, "v5": postern.TargetPending,
	} {
		record.Status.Targets = append(record.Status.Targets,
			postern.TargetResult{Kind: postern.TargetGatewaySync, Name: "plant", Ref: ref, Result: result})
	}
	p := newDefaultPipeline()
	p.HandleRecord(record)
	got := map[string]bool{}
	for _, line := range p.journal {
		got[line] = true
	}
	want := map[string]bool{
		"held " + plant + " v1 0s": true, "held " + plant + " v2 1ns": true, "owed " + plant + " v3 2ns": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("noted (-want +got):\n%s", diff)
	}
	record.Status.ReceivedTime = nil // as in a record of an earlier version
	p.journal = nil
	if p.HandleRecord(record); p.journal != nil {
		t.Errorf("noted %q without a time", p.journal)
	}
}

// Of one ref of several repositories, a named target has one.
func TestOrder_LearnsTheChosenRepository(t *testing.T) {
	record := toPlant()
	record.Spec.Events = []postern.DeliveryEvent{
		{Source: "kargo", Ref: "main", Repository: "https://git.acme.io/a"},
		{Source: "kargo", Ref: "main", Repository: "https://git.acme.io/b"},
	}
	record.Status.ReceivedTime = &metav1.MicroTime{Time: received}
	record.Status.Targets = []postern.TargetResult{{
		Kind: postern.TargetGatewaySync, Name: "plant", Ref: "main", Repository: "https://git.acme.io/b",
		Result: postern.TargetWritten,
	}}
	p := newDefaultPipeline()
	p.HandleRecord(record)
	if want := []string{"held " + plant + " main 1ns"}; !slices.Equal(p.journal, want) {
		t.Errorf("noted %q, want %q", p.journal, want)
	}
	if got := eventsToRedeliver(record); !cmp.Equal(got, record.Spec.Events[1:]) {
		t.Errorf("redelivers %v", got)
	}
}

// tagged returns an event for each image, all with the tag v1.
func tagged(repositories ...string) []postern.DeliveryEvent {
	var events []postern.DeliveryEvent
	for _, repository := range repositories {
		events = append(events, postern.DeliveryEvent{
			Source: "cloudevents", Ref: "v1", Image: &postern.ImageReference{
				Host: "quay.io", Repository: repository, Tag: "v1",
			},
		})
	}
	return events
}

// A target did not hold what it skipped, so an earlier request for that is not late.
func TestOrder_LearnsEachImageOfOneTag(t *testing.T) {
	const written, skipped, unchanged = postern.TargetWritten, postern.TargetSkipped, postern.TargetUnchanged
	const db, web = "held Application demo/shop quay.io/db:v1 1ns", "held Application demo/shop quay.io/web:v1 0s"
	for name, test := range map[string]struct {
		results []postern.TargetResultType
		want    []string
	}{
		"the first was written":         {[]postern.TargetResultType{written, skipped}, []string{web}},
		"the second is as it was":       {[]postern.TargetResultType{skipped, unchanged}, []string{db}},
		"both were written":             {[]postern.TargetResultType{written, written}, []string{web, db}},
		"it is not known which of them": {[]postern.TargetResultType{written}, nil},
	} {
		for _, named := range []bool{false, true} {
			record := toAll()
			if named {
				record.Spec.Target = &postern.TargetReference{Kind: postern.TargetApplication, Name: "shop"}
			}
			record.Spec.Events = tagged("web", "db")
			record.Status.ReceivedTime = &metav1.MicroTime{Time: received}
			for _, result := range test.results {
				record.Status.Targets = append(record.Status.Targets,
					postern.TargetResult{Kind: postern.TargetApplication, Name: "shop", Ref: "v1", Result: result})
			}
			p := newDefaultPipeline()
			p.HandleRecord(record)
			if diff := cmp.Diff(test.want, p.journal); diff != "" {
				t.Errorf("%s, named %t: noted (-want +got):\n%s", name, named, diff)
			}
		}
	}
}

// HandleRecord blocks the watch of all namespaces.
func TestOrder_LearningCostIsBounded(t *testing.T) {
	var repositories []string
	for i := range 256 {
		repositories = append(repositories, fmt.Sprint("image-", i))
	}
	record := toAll()
	record.Spec.Events = tagged(repositories...)
	record.Status.ReceivedTime = &metav1.MicroTime{Time: received}
	for range repositories {
		record.Status.Targets = append(record.Status.Targets,
			postern.TargetResult{
				Kind: postern.TargetApplication, Name: "shop", Ref: "v1", Result: postern.TargetWritten,
			})
	}
	for i := range 744 { // each wanted one of the images
		record.Status.Targets = append(record.Status.Targets, postern.TargetResult{
			Kind: postern.TargetApplication, Name: fmt.Sprint("other-", i), Ref: "v1", Result: postern.TargetWritten,
		})
	}
	p := newDefaultPipeline()
	if p.HandleRecord(record); len(p.journal) != len(repositories) {
		t.Errorf("256 results of a target were noted as %d requests", len(p.journal))
	}
}
