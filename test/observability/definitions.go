// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package observability finds the metrics that the source defines, and the metrics that a PromQL expression reads. Its
// tests check the documentation, the alerts and the dashboard against them.
package observability

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Metric is a metric that the source defines.
type Metric struct {
	// Name is the full name. Type is "counter", "gauge" or "histogram".
	Name, Type string
	Labels     []string
	// Stability is a level of Kubernetes' metrics stability: ALPHA, BETA or STABLE.
	Stability string
	Help      string
}

// Definitions returns the metrics that Go files below dirs define, by name. It supports only the form used in this
// repository: calls of constructors of k8s.io/component-base/metrics with literals.
func Definitions(dirs ...string) ([]Metric, error) {
	var found []Metric
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			inFile, err := definitionsIn(path)
			found = append(found, inFile...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

func definitionsIn(path string) ([]Metric, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var found []Metric
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || err != nil {
			return err == nil
		}
		kind, isVec, ok := constructor(call)
		if !ok {
			return true
		}
		m, problem := definition(call, kind, isVec)
		if problem != nil {
			err = fmt.Errorf("%s: %w", path, problem)
		}
		found = append(found, m)
		return true
	})
	return found, err
}

// constructor returns the kind of metric that a call creates, if it creates one.
func constructor(call *ast.CallExpr) (kind string, isVec, ok bool) {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", false, false
	}
	if pkg, ok := selector.X.(*ast.Ident); !ok || pkg.Name != "metrics" {
		return "", false, false
	}
	name, isNew := strings.CutPrefix(selector.Sel.Name, "New")
	name, isVec = strings.CutSuffix(name, "Vec")
	name = strings.TrimSuffix(name, "Func")
	switch name {
	case "Counter", "Gauge", "Histogram":
		return strings.ToLower(name), isVec, isNew
	}
	return "", false, false
}

func definition(call *ast.CallExpr, kind string, isVec bool) (Metric, error) {
	m := Metric{Type: kind}
	options, err := literal(call.Args[0])
	if err != nil {
		return m, err
	}
	parts := map[string]string{}
	for _, element := range options.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			return m, fmt.Errorf("the options of a %s have no names", kind)
		}
		key := pair.Key.(*ast.Ident).Name
		switch value := pair.Value.(type) {
		case *ast.SelectorExpr: // metrics.ALPHA
			parts[key] = value.Sel.Name
		default:
			if key == "Buckets" {
				continue
			}
			if parts[key], err = text(value); err != nil {
				return m, fmt.Errorf("%s of a %s: %w", key, kind, err)
			}
		}
	}
	names := slices.DeleteFunc([]string{parts["Namespace"], parts["Subsystem"], parts["Name"]}, func(s string) bool {
		return s == ""
	})
	m.Name, m.Help, m.Stability = strings.Join(names, "_"), parts["Help"], parts["StabilityLevel"]
	if !isVec {
		return m, nil
	}
	labels, err := literal(call.Args[1])
	if err != nil {
		return m, err
	}
	for _, element := range labels.Elts {
		label, err := text(element)
		if err != nil {
			return m, fmt.Errorf("a label of %s: %w", m.Name, err)
		}
		m.Labels = append(m.Labels, label)
	}
	return m, nil
}

func literal(expr ast.Expr) (*ast.CompositeLit, error) {
	if pointer, ok := expr.(*ast.UnaryExpr); ok {
		expr = pointer.X
	}
	if lit, ok := expr.(*ast.CompositeLit); ok {
		return lit, nil
	}
	return nil, fmt.Errorf("a metric is defined with a %T where a literal was expected", expr)
}

// text returns the value of a string literal, or of a concatenation.
func text(expr ast.Expr) (string, error) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		return strconv.Unquote(e.Value)
	case *ast.BinaryExpr:
		left, err := text(e.X)
		if err != nil {
			return "", err
		}
		right, err := text(e.Y)
		return left + right, err
	}
	return "", fmt.Errorf("got a %T where a string was expected", expr)
}
