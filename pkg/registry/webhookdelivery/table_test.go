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

func TestTable_Columns(t *testing.T) {
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
	all := []string{"Name", "Source", "Target", "Ref", "Phase", "Age", "Sender", "Method", "Reason"}
	if diff := cmp.Diff(all, wide); diff != "" {
		t.Errorf("wide columns (-want +got):\n%s", diff)
	}
	if got := table(t, applied(), &metav1.TableOptions{NoHeaders: true}).ColumnDefinitions; got != nil {
		t.Errorf("got columns, want none: %v", got)
	}
}

func TestTable_Row(t *testing.T) {
	for name, test := range map[string]struct {
		delivery *postern.WebhookDelivery
		want     []any
	}{
		"applied": {applied(), []any{
			"github-x", "github", "gatewaysync/plant", "main,v2.0.0", "Applied", "5d", "system:anonymous", "HMAC",
			"Requested",
		}},
		// The response to a dry run may be this short.
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
				t.Error("the row does not contain the delivery")
			}
		})
	}
}

func TestTable_KeepsListMetadata(t *testing.T) {
	if got := table(t, applied(), nil).ResourceVersion; got != "7" {
		t.Errorf("one delivery: resource version %q, want 7", got)
	}
	remaining := int64(3)
	meta := metav1.ListMeta{ResourceVersion: "9", Continue: "next", RemainingItemCount: &remaining}
	second := applied()
	second.Name = "github-y"
	got := table(t, &postern.WebhookDeliveryList{ListMeta: meta, Items: []postern.WebhookDelivery{*applied(), *second}},
		nil)
	if diff := cmp.Diff(meta, got.ListMeta); diff != "" {
		t.Errorf("list meta (-want +got):\n%s", diff)
	}
	if len(got.Rows) != 2 || got.Rows[0].Cells[0] != "github-x" || got.Rows[1].Cells[0] != "github-y" {
		t.Errorf("got the rows %v", got.Rows)
	}
}

func TestTable_OtherObjects(t *testing.T) {
	if _, err := (tableConvertor{}).ConvertToTable(t.Context(), &postern.Application{}, nil); err == nil {
		t.Error("converted an Application")
	}
}

func ofImage(host, repository, tag, digest string) postern.DeliveryEvent {
	return postern.DeliveryEvent{Ref: tag,
		Image: &postern.ImageReference{Host: host, Repository: repository, Tag: tag, Digest: digest}}
}

func ofGit(ref string) postern.DeliveryEvent { return postern.DeliveryEvent{Ref: ref} }

func TestTable_ColumnRef(t *testing.T) {
	for want, events := range map[string][]postern.DeliveryEvent{
		"":                                   nil,
		"main":                               {ofGit("main")},
		"main,v2.0.0":                        {ofGit("main"), ofGit("v2.0.0")},
		"a,b,c":                              {ofGit("a"), ofGit("b"), ofGit("c")},
		"a,b,c,+2":                           {ofGit("a"), ofGit("b"), ofGit("c"), ofGit("d"), ofGit("e")},
		"library/nginx:1.2.3":                {ofImage("docker.io", "library/nginx", "1.2.3", "sha256:abc")},
		"example/shop:1.0":                   {ofImage("", "example/shop", "1.0", "")},
		"registry.example.com:5000/shop:1.0": {ofImage("registry.example.com:5000", "shop", "1.0", "")},
		"ghcr.io/example/shop@sha256:abc":    {ofImage("ghcr.io", "example/shop", "", "sha256:abc")},
		"quay.io/example/shop:1.4,1.4.0,latest": {ofImage("quay.io", "example/shop", "1.4", ""),
			ofImage("quay.io", "example/shop", "1.4.0", ""), ofImage("quay.io", "example/shop", "latest", "")},
		"quay.io/a:1,quay.io/b:1": {ofImage("quay.io", "a", "1", ""), ofImage("quay.io", "b", "1", "")},
		"quay.io/a:1,main,quay.io/a:2": {ofImage("quay.io", "a", "1", ""), ofGit("main"),
			ofImage("quay.io", "a", "2", "")},
		"quay.io/a:1,quay.io/a@sha256:abc": {ofImage("quay.io", "a", "1", ""),
			ofImage("quay.io", "a", "", "sha256:abc")},
		"quay.io/team/shop": {ofImage("quay.io", "team/shop", "", "")},
		"registry.example.com/a:1,2,3,+1": {ofImage("registry.example.com", "a", "1", ""),
			ofImage("registry.example.com", "a", "2", ""), ofImage("registry.example.com", "a", "3", ""),
			ofImage("registry.example.com", "a", "4", "")},
	} {
		if got := refCell(events); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTable_ColumnTarget(t *testing.T) {
	to := func(results ...postern.TargetResult) *postern.WebhookDelivery {
		return &postern.WebhookDelivery{Status: postern.WebhookDeliveryStatus{Targets: results}}
	}
	result := func(kind postern.TargetKind, name string, result postern.TargetResultType) postern.TargetResult {
		return postern.TargetResult{Kind: kind, Name: name, Result: result}
	}
	shop := result(postern.TargetApplication, "shop", postern.TargetWritten)
	plant := result(postern.TargetGatewaySync, "plant", postern.TargetPending)
	failed := result(postern.TargetApplication, "failed", postern.TargetFailed)
	skipped := result(postern.TargetApplication, "skipped", postern.TargetSkipped)
	named := to(shop, plant)
	named.Spec.Target = &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: "plant"}

	for name, test := range map[string]struct {
		delivery *postern.WebhookDelivery
		want     string
	}{
		"one that is named":                      {named, "gatewaysync/plant"},
		"none found":                             {to(), ""},
		"one found":                              {to(shop), "application/shop"},
		"several":                                {to(shop, plant, failed), "3 targets"},
		"one, for several refs":                  {to(shop, shop), "application/shop"},
		"one wants it, and others do not":        {to(skipped, shop, skipped), "application/shop"},
		"all are skipped":                        {to(skipped), "application/skipped"},
		"several, of which one does not want it": {to(shop, plant, skipped), "2 targets"},
		"of both kinds with the same name": {
			to(shop, result(postern.TargetGatewaySync, "shop", postern.TargetWritten)), "2 targets"},
	} {
		if got := targetCell(test.delivery); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
