// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package terraform checks artifacts/ecr-eventbridge as far as that is possible without Terraform and AWS: syntax, format,
// and that what is referred to is there.
package terraform

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

const moduleDir = "../../artifacts/ecr-eventbridge"

// module is what the files of a module declare, and what they refer to, by names such as "var.token".
type module struct {
	declared, referred map[string]bool
	variables          map[string]*hclsyntax.Body
}

func TestFilesAreFormattedAsTerraformFormatsThem(t *testing.T) {
	for _, file := range moduleFiles(t) {
		source := read(t, file)
		if diff := cmp.Diff(string(hclwrite.Format(source)), string(source)); diff != "" {
			t.Errorf("%s (-formatted +is):\n%s", file, diff)
		}
	}
}

func TestWhatIsReferredToIsDeclared(t *testing.T) {
	m := readModule(t)
	for name := range m.referred {
		if !m.declared[name] {
			t.Errorf("%s is referred to, but not declared", name)
		}
	}
}

func TestEveryVariableIsUsedAndDescribed(t *testing.T) {
	m := readModule(t)
	for name, body := range m.variables {
		if !m.referred["var."+name] {
			t.Errorf("variable %s is not used", name)
		}
		for _, attribute := range []string{"description", "type"} {
			if body.Attributes[attribute] == nil {
				t.Errorf("variable %s has no %s", name, attribute)
			}
		}
	}
}

func TestReadmeListsTheVariables(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(read(t, moduleDir+"/README.md")), -1)
	var listed []string
	for _, row := range rows {
		listed = append(listed, row[1])
	}
	slices.Sort(listed)
	want := slices.Sorted(maps.Keys(readModule(t).variables))
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("variables (-declared +listed):\n%s", diff)
	}
}

func readModule(t *testing.T) module {
	t.Helper()
	m := module{declared: map[string]bool{}, referred: map[string]bool{}, variables: map[string]*hclsyntax.Body{}}
	for _, path := range moduleFiles(t) {
		file, diagnostics := hclsyntax.ParseConfig(read(t, path), path, hcl.InitialPos)
		if diagnostics.HasErrors() {
			t.Fatalf("could not parse: %v", diagnostics)
		}
		body, ok := file.Body.(*hclsyntax.Body)
		if !ok {
			t.Fatalf("%s: the body is a %T", path, file.Body)
		}
		m.addDeclared(body)
		if diagnostics := hclsyntax.VisitAll(body, m.addReferred); diagnostics.HasErrors() {
			t.Fatalf("could not walk: %v", diagnostics)
		}
	}
	return m
}

func (m module) addDeclared(body *hclsyntax.Body) {
	for _, block := range body.Blocks {
		switch block.Type {
		case "variable":
			m.declared["var."+block.Labels[0]] = true
			m.variables[block.Labels[0]] = block.Body
		case "resource":
			m.declared[block.Labels[0]+"."+block.Labels[1]] = true
		case "data":
			m.declared["data."+block.Labels[0]+"."+block.Labels[1]] = true
		case "locals":
			for name := range block.Body.Attributes {
				m.declared["local."+name] = true
			}
		}
	}
}

// addReferred leaves out what has a scope of its own (each, path, iterators), and types, which are bare names.
func (m module) addReferred(node hclsyntax.Node) hcl.Diagnostics {
	expression, ok := node.(*hclsyntax.ScopeTraversalExpr)
	if !ok {
		return nil
	}
	var names []string
	for _, step := range expression.Traversal {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			names = append(names, step.Name)
		case hcl.TraverseAttr:
			names = append(names, step.Name)
		}
	}
	switch {
	case len(names) >= 3 && names[0] == "data":
		m.referred["data."+names[1]+"."+names[2]] = true
	case len(names) >= 2 && (names[0] == "var" || names[0] == "local" || len(names[0]) > 4 && names[0][:4] == "aws_"):
		m.referred[names[0]+"."+names[1]] = true
	}
	return nil
}

func moduleFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(moduleDir + "/*.tf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", moduleDir, err)
	}
	return files
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
