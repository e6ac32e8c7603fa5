// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

const ping = `{"zen": "Design for failure.", "hook_id": 1}`

// threeDeliveries creates web-ref and web-ping for GatewaySync web, and shop-release for Application shop.
func (w *world) threeDeliveries() {
	w.T.Helper()
	w.gatewaySync("web")
	w.application("shop", nil)
	for _, manifest := range []string{
		delivery("web-ref", toWeb+", ref: v1"),
		delivery("web-ping", toWeb+", payload: "+ping),
		delivery("shop-release", toShop+", payload: "+release),
	} {
		w.concluded(w.deliver(manifest).Name)
	}
}

// table parses kubectl's output into columns and the cells of each row.
func table(t *testing.T, out string) (columns []string, rows [][]string) {
	t.Helper()
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	starts := regexp.MustCompile(`\S+`).FindAllStringIndex(lines[0], -1)
	for _, line := range lines {
		var cells []string
		for i, start := range starts {
			end := len(line)
			if i+1 < len(starts) {
				end = min(end, starts[i+1][0])
			}
			cells = append(cells, strings.TrimSpace(line[min(start[0], len(line)):end]))
		}
		rows = append(rows, cells)
	}
	return rows[0], rows[1:]
}

// hideAge makes the column AGE comparable.
func hideAge(t *testing.T, columns []string, rows [][]string) {
	t.Helper()
	at := slices.Index(columns, "AGE")
	for _, row := range rows {
		if !regexp.MustCompile(`^\d+m?s$|^\d+m\d*s?$`).MatchString(row[at]) {
			t.Errorf("got age %q, want minutes or seconds", row[at])
		}
		row[at] = "some"
	}
}

func TestKubectlGet_Columns(t *testing.T) {
	w := newWorld(t)
	w.threeDeliveries()

	columns, rows := table(t, w.kubectl("", "get", "whd"))

	if diff := cmp.Diff([]string{"NAME", "SOURCE", "TARGET", "REF", "PHASE", "AGE"}, columns); diff != "" {
		t.Fatalf("columns (-want +got):\n%s", diff)
	}
	hideAge(t, columns, rows)
	want := [][]string{
		{"shop-release", "github", "application/shop", "v2.0.0", "Applied", "some"},
		{"web-ping", "github", "gatewaysync/web", "", "Ignored", "some"},
		{"web-ref", "generic", "gatewaysync/web", "v1", "Applied", "some"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestKubectlGet_WideColumns(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.concluded(w.deliver(delivery("by-admin", toWeb+", ref: v1")).Name)
	w.concluded(w.ci().mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, 202).delivery(t).Name)

	columns, rows := table(t, w.kubectl("", "get", "whd", "--output=wide"))

	want := []string{"NAME", "SOURCE", "TARGET", "REF", "PHASE", "AGE", "SENDER", "METHOD", "REASON"}
	if diff := cmp.Diff(want, columns); diff != "" {
		t.Fatalf("columns (-want +got):\n%s", diff)
	}
	hideAge(t, columns, rows)
	wantRows := [][]string{
		{"by-admin", "generic", "gatewaysync/web", "v1", "Applied", "some", "admin", "User", "Requested"},
		{rows[1][0], "generic", "gatewaysync/web", "v1", "Applied", "some",
			"system:serviceaccount:" + w.Namespace + ":ci", "ServiceAccount", "AlreadyRequested"},
	}
	if diff := cmp.Diff(wantRows, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestKubectlGet_FieldSelector(t *testing.T) {
	w := newWorld(t)
	w.threeDeliveries()
	for _, test := range []struct{ selector, want string }{
		{"status.phase=Applied", "shop-release web-ref"},
		{"status.phase!=Applied", "web-ping"},
		{"status.phase=Pending", ""},
		{"spec.source=github", "shop-release web-ping"},
		{"spec.target.kind=GatewaySync", "web-ping web-ref"},
		{"spec.target.name=shop", "shop-release"},
		{"spec.target.kind=GatewaySync,spec.target.name=web,status.phase=Ignored", "web-ping"},
		{"metadata.name=web-ref", "web-ref"},
		{"metadata.namespace=elsewhere", ""},
	} {
		got := w.kubectl("", "get", "whd", "--field-selector="+test.selector,
			"--output=jsonpath={.items[*].metadata.name}")
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.selector, got, test.want)
		}
	}
}

func TestKubectlGet_UnknownFieldSelector(t *testing.T) {
	w := newWorld(t)
	output := w.refused("", "get", "whd", "--field-selector=spec.ref=v1")
	mustBeIn(t, output, "Error from server (BadRequest)", `"spec.ref" is not a selectable field of deliveries: use `+
		"metadata.name, metadata.namespace, status.phase, spec.source, spec.target.kind or spec.target.name")
}

func TestKubectlGet_RawOfTarget(t *testing.T) {
	other, w := newWorld(t), newWorld(t)
	w.threeDeliveries()
	w.application("web", nil) // another kind with the same name
	w.deliver(delivery("app-web", "target: {kind: Application, name: web}, ref: v1"))
	other.gatewaySync("web")
	other.deliver(delivery("elsewhere", toWeb+", ref: v1"))

	for path, want := range map[string][]string{
		gatewaySyncPath("web"):     {"web-ping", "web-ref"},
		applicationPath("shop"):    {"shop-release"},
		applicationPath("web"):     {"app-web"},
		gatewaySyncPath("nothing"): {},
	} {
		out := w.kubectl("", "get", "--raw", w.absolute(path))
		var list v1alpha1.WebhookDeliveryList
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatal(err)
		}
		wantType := metav1.TypeMeta{Kind: "WebhookDeliveryList", APIVersion: "postern.dev/v1alpha1"}
		if diff := cmp.Diff(wantType, list.TypeMeta); diff != "" {
			t.Errorf("%s: type (-want +got):\n%s", path, diff)
		}
		got := []string{}
		for _, d := range list.Items {
			got = append(got, d.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestKubectlGet_ImagesAndTargets(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b"} {
		w.runningShop(name, "example/shop:1.0.0", "argocd-image-updater.argoproj.io/image-list: example/shop")
	}
	w.runningShop("harbors", "harbor.example.com/team/shop:1.0.0", wantsHarborsShop)
	const (
		toBoth = "image: example/shop, ref: 1.1.0"
		toOne  = "image: harbor.example.com/team/shop, ref: 1.4.0"
	)
	w.eventually(func() error { // until the Applications are in the cache
		both := len(w.deliver(delivery("try", toBoth), "--dry-run=server").Status.Targets)
		one := len(w.deliver(delivery("try", toOne), "--dry-run=server").Status.Targets)
		return want("targets", both+one, 3)
	})
	for name, spec := range map[string]string{
		"both": toBoth, "named": "target: {kind: Application, name: a}, " + toBoth, "one": toOne,
		"unwanted": "image: example/other, ref: 1.0.0",
	} {
		w.deliver(delivery(name, spec))
		w.concluded(name)
	}

	columns, rows := table(t, w.kubectl("", "get", "whd"))

	hideAge(t, columns, rows)
	want := [][]string{
		{"both", "generic", "2 targets", "example/shop:1.1.0", "Applied", "some"},
		{"named", "generic", "application/a", "example/shop:1.1.0", "Applied", "some"},
		{"one", "generic", "application/harbors", "harbor.example.com/team/shop:1.4.0", "Applied", "some"},
		{"unwanted", "generic", "", "example/other:1.0.0", "Ignored", "some"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}
