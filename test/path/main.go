// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command path measures how much code one delivery passes, from the handler of the endpoint to the patch of its target
// and back: functions and files that are entered, and frames on the stacks at the patch. Run it with "go run
// ./test/path"; -v lists them.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const module = "postern.dev/postern/"

func main() {
	verbose := flag.Bool("v", false, "list the functions and frames")
	flag.Parse()
	if err := run(*verbose); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(verbose bool) error {
	dir, err := os.MkdirTemp("", "postern-path-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	before, _, err := measure(filepath.Join(dir, "before"), "PATH_BASELINE=1")
	if err != nil {
		return err
	}
	after, output, err := measure(filepath.Join(dir, "after"))
	if err != nil {
		return err
	}
	functions, err := entered(before, after)
	if err != nil {
		return err
	}
	files := map[string]bool{}
	for _, function := range functions {
		file, _, _ := strings.Cut(function, ":")
		files[file] = true
	}
	frames := linesWith(output, "frame: ")
	fmt.Printf("functions entered: %d\nfiles entered: %d\nframes to the patch: %d\n",
		len(functions), len(files), len(frames))
	for _, request := range linesWith(output, "request: ") {
		fmt.Println("request of the kube-apiserver:", request)
	}
	if verbose {
		fmt.Println(strings.Join(frames, "\n"))
		fmt.Println(strings.Join(functions, "\n"))
	}
	return nil
}

// measure runs the test and returns how often each block of code was entered, and the output.
func measure(profile string, env ...string) (counts map[string]string, output string, err error) {
	command := exec.Command("go", "test", "-count=1", "-covermode=count", "-coverpkg=./pkg/...,./apis/...",
		"-coverprofile="+profile,
		"-v", "-run=TestPath", "./test/path")
	command.Env = append(os.Environ(), env...)
	printed, err := command.CombinedOutput()
	if err != nil {
		return nil, "", fmt.Errorf("could not run the test: %w\n%s", err, printed)
	}
	content, err := os.ReadFile(profile)
	if err != nil {
		return nil, "", err
	}
	counts = map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 {
			counts[fields[0]] = fields[2]
		}
	}
	return counts, string(printed), lines.Err()
}

// entered returns the functions, as file:name, with a block that was entered more often after than before.
func entered(before, after map[string]string) ([]string, error) {
	ends := map[string][]function{}
	found := map[string]bool{}
	for block, count := range after {
		if before[block] == count || strings.Contains(block, "zz_generated") {
			continue
		}
		file, place, _ := strings.Cut(strings.TrimPrefix(block, module), ":")
		var line int
		if _, err := fmt.Sscanf(place, "%d.", &line); err != nil {
			return nil, fmt.Errorf("could not read the coverage of %s: %w", block, err)
		}
		if ends[file] == nil {
			var err error
			if ends[file], err = functionsOf(file); err != nil {
				return nil, err
			}
		}
		for _, f := range ends[file] {
			if f.first <= line && line <= f.last {
				found[file+":"+f.name] = true
			}
		}
	}
	var names []string
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

type function struct {
	name        string
	first, last int // lines
}

func functionsOf(file string) ([]function, error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var functions []function
	for _, declaration := range parsed.Decls {
		if f, ok := declaration.(*ast.FuncDecl); ok {
			functions = append(functions,
				function{f.Name.Name, files.Position(f.Pos()).Line, files.Position(f.End()).Line})
		}
	}
	return functions, nil
}

func linesWith(text, prefix string) []string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			lines = append(lines, rest)
		}
	}
	return lines
}
