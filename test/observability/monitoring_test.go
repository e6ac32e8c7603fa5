// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package observability

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestAlerts_HaveRunbookAndTest(t *testing.T) {
	tests, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := Alerts(repository)
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile(filepath.Join(repository, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, alert := range alerts {
		if !strings.Contains(string(runbook), "\n### "+alert.Name+"\n") {
			t.Errorf("%s: docs/operations.md does not explain what to do about it", alert.Name)
		}
		if severity := alert.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s: it has the severity %q", alert.Name, severity)
		}
		want := "https://github.com/postern-dev/postern/blob/main/docs/operations.md#" + strings.ToLower(alert.Name)
		if got := alert.Annotations["runbook_url"]; got != want {
			t.Errorf("%s: its runbook is %s, want %s", alert.Name, got, want)
		}
		for _, annotation := range []string{"summary", "description"} {
			if !strings.HasSuffix(alert.Annotations[annotation], ".") {
				t.Errorf("%s: its %s is not a sentence: %q", alert.Name, annotation, alert.Annotations[annotation])
			}
		}
		if !strings.Contains(string(tests), "\n- name: "+alert.Name+" ") {
			t.Errorf("%s: it has no test in alerts.yaml", alert.Name)
		}
	}
}

func TestAlerts_ReadDefinedMetrics(t *testing.T) {
	var names []string
	for _, m := range defined(t) {
		names = append(names, m.Name)
		if m.Type == "histogram" {
			names = append(names, m.Name+"_bucket", m.Name+"_sum", m.Name+"_count")
		}
	}
	used, err := MetricsUsed(repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range used {
		if strings.HasPrefix(name, "postern_") && !slices.Contains(names, name) {
			t.Errorf("an alert or the dashboard reads %s, which is not defined", name)
		}
	}
}

// dashboard has the fields of Grafana's schema that our dashboard uses. Unknown fields are errors.
//
// Source: kinds/dashboard/dashboard_kind.cue in github.com/grafana/grafana.
type dashboard struct {
	Title, UID, Description, Timezone, Refresh string
	Tags                                       []string
	Editable                                   bool
	GraphTooltip, SchemaVersion, Version       int
	Time                                       struct{ From, To string }
	Templating                                 struct{ List []map[string]any }
	Annotations                                struct{ List []map[string]any }
	Links                                      []map[string]any
	Panels                                     []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Collapsed                bool
	GridPos                  struct{ X, Y, W, H int }
	Datasource               datasource
	FieldConfig              struct {
		Defaults struct {
			Unit       string
			Min, Max   *float64
			Thresholds map[string]any
			Mappings   []map[string]any
			Custom     map[string]any
		}
		Overrides []map[string]any
	}
	Options map[string]any
	Targets []struct {
		RefID              string `json:"refId"`
		Expr, LegendFormat string
		Instant            bool
		Datasource         datasource
	}
	Panels []panel
}

type datasource struct{ Type, UID string }

func TestDashboard_PanelsHaveDescriptions(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, dashboardFile))
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := yaml.UnmarshalStrict(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || d.SchemaVersion == 0 || len(d.Templating.List) != 1 ||
		d.Templating.List[0]["name"] != "datasource" {
		t.Errorf("the dashboard lacks something: %+v", d)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("%s: the id %d is not unique", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s: it overlaps %q or lies outside the grid", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" {
			checkPanel(t, p)
		}
	}
}

func checkPanel(t *testing.T, p panel) {
	t.Helper()
	if p.Title == "" || !strings.HasSuffix(p.Description, ".") || p.FieldConfig.Defaults.Unit == "" ||
		len(p.Targets) == 0 {
		t.Errorf("%s: it lacks a title, a description, a unit or a query: %+v", p.Title, p)
	}
	want := datasource{Type: "prometheus", UID: "${datasource}"}
	if p.Datasource != want {
		t.Errorf("%s: its data source is %v", p.Title, p.Datasource)
	}
	for _, target := range p.Targets {
		if len(MetricsIn(target.Expr)) == 0 || target.Datasource != want || target.RefID == "" {
			t.Errorf("%s: the query %q is wrong", p.Title, target.Expr)
		}
	}
}
