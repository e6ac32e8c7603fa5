// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// page is the documentation, and decisions has more cases. The tables of both are test cases.
const (
	page      = "../../docs/image-updates.md"
	decisions = "testdata/decisions.md"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// row is a row of a table. Its name has the file and the line.
type row struct {
	name  string
	cells []string
}

// table returns the rows of the tables with the given first heading, of which each file has one.
func table(t *testing.T, heading string, paths ...string) []row {
	t.Helper()
	var rows []row
	for _, path := range paths {
		lines := strings.Split(readFile(t, path), "\n")
		start := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "| "+heading+" |") })
		if start < 0 || start+2 >= len(lines) || !strings.HasPrefix(lines[start+2], "|") {
			t.Fatalf("%s has no table with the heading %s, or one without rows", path, heading)
		}
		for i, l := range lines[start+2:] {
			if !strings.HasPrefix(l, "|") {
				break
			}
			cells := strings.Split(strings.Trim(l, "| "), " | ")
			rows = append(rows, row{fmt.Sprintf("%s:%d", filepath.Base(path), start+3+i), cells})
		}
	}
	return rows
}

// code returns the texts between backticks.
func code(cell string) []string {
	var all []string
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 1 {
			all = append(all, part)
		}
	}
	return all
}

func TestDocs_Annotations(t *testing.T) {
	for _, r := range table(t, "Annotations", page, decisions) {
		t.Run(r.name, func(t *testing.T) {
			app := documentedApplication(t, r.cells[1])
			app.Annotations = map[string]string{}
			for _, annotation := range code(r.cells[0]) {
				setAnnotation(t, app, annotation)
			}
			checkDocumented(t, app, nil, r.cells[2], r.cells[3])
		})
	}
}

func TestDocs_ImageUpdaters(t *testing.T) {
	updaters := documentedUpdaters(t)
	for _, r := range table(t, "ImageUpdater", page, decisions) {
		t.Run(r.name, func(t *testing.T) {
			app := documentedApplication(t, r.cells[2])
			app.Annotations, app.Labels = map[string]string{}, map[string]string{}
			parts := strings.Split(r.cells[1], "<br>")
			app.Name = code(parts[0])[0]
			for _, part := range parts[1:] {
				if said := code(part)[0]; strings.HasPrefix(part, "annotation") {
					setAnnotation(t, app, said)
				} else {
					key, value, _ := strings.Cut(said, ": ")
					app.Labels[key] = value
				}
			}
			var chosen []*iuv1alpha1.ImageUpdater
			for _, name := range code(r.cells[0]) {
				updater := updaters[name]
				if updater == nil {
					t.Fatalf("no file has an ImageUpdater %q", name)
				}
				chosen = append(chosen, updater)
			}
			checkDocumented(t, app, chosen, r.cells[3], r.cells[4])
		})
	}
}

// setAnnotation sets an annotation from "name: value". The value may be quoted as in YAML.
func setAnnotation(t *testing.T, app *argov1alpha1.Application, said string) {
	t.Helper()
	name, value, found := strings.Cut(said, ": ")
	if !found {
		t.Fatalf("%q is not an annotation", said)
	}
	if unquoted, err := strconv.Unquote(value); err == nil {
		value = unquoted
	}
	app.Annotations[iuv1alpha1.AnnotationPrefix+name] = value
}

// documentedApplication parses "Tool, runs `image` `image`, sets `entry`, `entry`".
func documentedApplication(t *testing.T, cell string) *argov1alpha1.Application {
	t.Helper()
	tool, rest, _ := strings.Cut(cell, ", runs ")
	runs, sets, _ := strings.Cut(rest, ", sets ")
	source := &argov1alpha1.ApplicationSource{RepoURL: "https://git.acme.io/shop"}
	for _, entry := range code(digests.Replace(sets)) {
		name, value, _ := strings.Cut(entry, "=")
		switch tool {
		case "Kustomize":
			source.Kustomize = &argov1alpha1.ApplicationSourceKustomize{Images: append(deref(source.Kustomize).Images,
				entry)}
		case "Helm":
			source.Helm = &argov1alpha1.ApplicationSourceHelm{Parameters: append(deref(source.Helm).Parameters,
				argov1alpha1.HelmParameter{Name: name, Value: &value})}
		case "Plugin":
			source.Plugin = &argov1alpha1.ApplicationSourcePlugin{Env: append(deref(source.Plugin).Env,
				argov1alpha1.EnvEntry{Name: name, Value: value})}
		}
	}
	return &argov1alpha1.Application{
		Spec: argov1alpha1.ApplicationSpec{Source: source},
		Status: argov1alpha1.ApplicationStatus{
			SourceType: tool,
			Summary:    argov1alpha1.ApplicationSummary{Images: code(digests.Replace(runs))},
		},
	}
}

// documentedUpdaters parses the objects in both files.
func documentedUpdaters(t *testing.T) map[string]*iuv1alpha1.ImageUpdater {
	t.Helper()
	var objects []string
	for _, path := range []string{page, decisions} {
		_, rest, _ := strings.Cut(readFile(t, path), "```yaml\n")
		text, _, _ := strings.Cut(rest, "```")
		objects = append(objects, strings.Split(text, "---\n")...)
	}
	updaters := map[string]*iuv1alpha1.ImageUpdater{}
	for _, part := range objects {
		updater := &iuv1alpha1.ImageUpdater{}
		if err := yaml.Unmarshal([]byte(part), updater); err != nil {
			t.Fatal(err)
		}
		if want := iuv1alpha1.SchemeGroupVersion.WithKind("ImageUpdater"); updater.GroupVersionKind() != want {
			t.Fatalf("an object is %v, want %v", updater.GroupVersionKind(), want)
		}
		patterns := map[string]bool{} // the API server rejects duplicate patterns
		for _, ref := range updater.Spec.ApplicationRefs {
			if patterns[ref.NamePattern] {
				t.Fatalf("ImageUpdater %s has the pattern %q twice", updater.Name, ref.NamePattern)
			}
			patterns[ref.NamePattern] = true
		}
		updaters[updater.Name] = updater
	}
	return updaters
}

// checkDocumented checks that a push has the result in the last cell, and that planning again changes nothing.
func checkDocumented(t *testing.T, app *argov1alpha1.Application, updaters []*iuv1alpha1.ImageUpdater, pushed,
	want string) {
	t.Helper()
	push := image(t, code(pushed)[0])
	config, found := ConfigFor(app, parseUpdaters(updaters...))
	plan := PlanFor(app, config, push)
	if got := written(plan); got != digests.Replace(want) {
		t.Errorf("documented: %s\ngot:        %s\nfor %+v", want, got, plan.Decisions)
	}
	if (want == "nothing") == found {
		t.Errorf("ConfigFor(): found = %v", found)
	}
	if again := PlanFor(follow(app, plan), config, push); len(again.Overrides) > 0 {
		t.Errorf("the second plan writes %s", written(again))
	}
}

// written formats the overrides of a plan as in the document.
func written(plan Plan) string {
	if len(plan.Decisions) == 0 {
		return "nothing"
	}
	if len(plan.Overrides) == 0 {
		return "nothing: `" + plan.Decisions[0].Reason + "`"
	}
	o := plan.Overrides[0]
	var entries []string
	for _, entry := range o.Changes {
		switch e := entry.New.(type) {
		case string:
			entries = append(entries, "`"+e+"`")
		case argov1alpha1.HelmParameter:
			if !deref(e.ForceString) {
				entries = append(entries, "no string:")
			}
			entries = append(entries, "`"+e.Name+"="+*e.Value+"`")
		case argov1alpha1.EnvEntry:
			entries = append(entries, "`"+e.Name+"="+e.Value+"`")
		}
	}
	return "`" + string(o.List) + "`: " + strings.Join(entries, ", ")
}

// TestDocs_Reasons checks that the document lists all reasons in order, and whether they mean an update.
func TestDocs_Reasons(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok {
			value, _ := strconv.Unquote(literal.Value)
			declared = append(declared, value)
		}
		return true
	})
	camelCase := regexp.MustCompile(`^([A-Z][a-z]+)+$`)
	var documented []string
	updates := true
	for _, r := range table(t, "Reason", page) {
		reason := code(r.cells[0])[0]
		documented = append(documented, reason)
		if !camelCase.MatchString(reason) {
			t.Errorf("%q is not in camel case", reason)
		}
		if reason == ReasonUpToDate {
			updates = false
		}
		if want := map[bool]string{true: "yes", false: "no"}[updates]; r.cells[1] != want {
			t.Errorf("documented for %[2]s: %[1]q, want %[3]q", r.cells[1], reason, want)
		}
	}
	if diff := cmp.Diff(declared, documented); diff != "" {
		t.Errorf("the document differs from the code (-code +document):\n%s", diff)
	}
}
