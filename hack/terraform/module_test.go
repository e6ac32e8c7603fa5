// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package terraform checks artifacts/ecr-eventbridge without Terraform and AWS: its syntax, its format, and that all
// referenced names are declared.
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

// module has the names that the files of a module declare and reference, such as "var.token".
type module struct {
	declared, referenced map[string]bool
	variables            map[string]*hclsyntax.Body
}

func TestModule_IsFormatted(t *testing.T) {
	for _, file := range moduleFiles(t) {
		source := read(t, file)
		if diff := cmp.Diff(string(hclwrite.Format(source)), string(source)); diff != "" {
			t.Errorf("%s (-formatted +file):\n%s", file, diff)
		}
	}
}

func TestModule_ReferencesAreDeclared(t *testing.T) {
	m := readModule(t)
	for name := range m.referenced {
		if !m.declared[name] {
			t.Errorf("%s is referenced, but not declared", name)
		}
	}
}

func TestModule_VariablesAreUsedAndDescribed(t *testing.T) {
	m := readModule(t)
	for name, body := range m.variables {
		if !m.referenced["var."+name] {
			t.Errorf("variable %s is not used", name)
		}
		for _, attribute := range []string{"description", "type"} {
			if body.Attributes[attribute] == nil {
				t.Errorf("variable %s has no %s", name, attribute)
			}
		}
	}
}

func TestModule_ReadmeListsVariables(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(read(t,
		moduleDir+"/README.md")), -1)
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
	m := module{declared: map[string]bool{}, referenced: map[string]bool{}, variables: map[string]*hclsyntax.Body{}}
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
		if diagnostics := hclsyntax.VisitAll(body, m.addReferenced); diagnostics.HasErrors() {
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

// addReferenced adds the names that node references, without types and locally scoped names (each, path, iterators).
func (m module) addReferenced(node hclsyntax.Node) hcl.Diagnostics {
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
		m.referenced["data."+names[1]+"."+names[2]] = true
	case len(names) >= 2 && (names[0] == "var" || names[0] == "local" || len(names[0]) > 4 && names[0][:4] == "aws_"):
		m.referenced[names[0]+"."+names[1]] = true
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
