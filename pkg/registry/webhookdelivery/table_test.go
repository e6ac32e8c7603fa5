// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"postern.dev/postern/apis/postern"
)

func table(t *testing.T, obj, options runtime.Object) *metav1.Table {
	t.Helper()
	table, err := tableConvertor{}.ConvertToTable(t.Context(), obj, options)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestColumnsOfKubectlGet(t *testing.T) {
	var normal, wide []string
	for _, column := range table(t, applied(), nil).ColumnDefinitions {
		if column.Description == "" || column.Type != "string" {
			t.Errorf("column %s has the type %q and the description %q", column.Name, column.Type, column.Description)
		}
		wide = append(wide, column.Name)
		if column.Priority == 0 {
			normal = append(normal, column.Name)
		}
	}
	if diff := cmp.Diff([]string{"Name", "Source", "Target", "Ref", "Phase", "Age"}, normal); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Name", "Source", "Target", "Ref", "Phase", "Age", "Sender", "Method", "Reason"}, wide); diff != "" {
		t.Errorf("wide columns (-want +got):\n%s", diff)
	}
	if got := table(t, applied(), &metav1.TableOptions{NoHeaders: true}).ColumnDefinitions; got != nil {
		t.Errorf("got columns where none were wanted: %v", got)
	}
}

func TestRowOfKubectlGet(t *testing.T) {
	for name, test := range map[string]struct {
		delivery *postern.WebhookDelivery
		want     []any
	}{
		"applied": {applied(), []any{
			"github-x", "github", "gatewaysync/plant", "main,v2.0.0", "Applied", "5d", "system:anonymous", "HMAC", "Requested",
		}},
		// A dry run may answer with as little.
		"empty": {&postern.WebhookDelivery{}, []any{"", "", "", "", "", "<unknown>", "", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			rows := table(t, test.delivery, nil).Rows
			if len(rows) != 1 {
				t.Fatalf("got %d rows, want 1", len(rows))
			}
			if diff := cmp.Diff(test.want, rows[0].Cells); diff != "" {
				t.Errorf("cells (-want +got):\n%s", diff)
			}
			if rows[0].Object.Object != test.delivery {
				t.Error("the row does not hold the delivery")
			}
		})
	}
}

func TestTableKeepsWhatPagingAndWatchingNeed(t *testing.T) {
	if got := table(t, applied(), nil).ResourceVersion; got != "7" {
		t.Errorf("one delivery: resource version %q, want 7", got)
	}
	remaining := int64(3)
	meta := metav1.ListMeta{ResourceVersion: "9", Continue: "next", RemainingItemCount: &remaining}
	second := applied()
	second.Name = "github-y"
	got := table(t, &postern.WebhookDeliveryList{ListMeta: meta, Items: []postern.WebhookDelivery{*applied(), *second}}, nil)
	if diff := cmp.Diff(meta, got.ListMeta); diff != "" {
		t.Errorf("list meta (-want +got):\n%s", diff)
	}
	if len(got.Rows) != 2 || got.Rows[0].Cells[0] != "github-x" || got.Rows[1].Cells[0] != "github-y" {
		t.Errorf("got the rows %v", got.Rows)
	}
}

func TestThereIsNoTableOfAnythingElse(t *testing.T) {
	if _, err := (tableConvertor{}).ConvertToTable(t.Context(), &postern.Application{}, nil); err == nil {
		t.Error("there is one of an Application")
	}
}
