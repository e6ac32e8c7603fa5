// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	languageShell  = "sh"
	languageYAML   = "yaml"
	languageOutput = "text"
	// languageLink marks a link whose section runs in its place; the text is where it leads.
	languageLink = "link"
)

// step is a part of a page that bash runs.
type step struct {
	line   int
	script string
	// shows is the output block after it, if there is one.
	shows *block
}

// steps returns the steps of a page in order: its blocks of shell, its manifests, which are validated, and the steps of
// the sections that it links to be run.
func (p *page) steps(root string) ([]step, error) {
	var steps []step
	for i := range p.blocks {
		b := &p.blocks[i]
		if b.notRun != "" {
			continue
		}
		switch b.language {
		case languageShell:
			s := step{line: b.line, script: b.text}
			if i+1 < len(p.blocks) {
				if next := &p.blocks[i+1]; next.language == languageOutput && next.follows {
					s.shows = next
				}
			}
			steps = append(steps, s)
		case languageYAML:
			script, err := tryManifest(b.text)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", p.path, b.line, err)
			}
			if script != "" {
				steps = append(steps, step{line: b.line, script: script})
			}
		case languageLink:
			linked, err := p.linkedSteps(root, b)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", p.path, b.line, err)
			}
			steps = append(steps, linked...)
		}
	}
	return steps, nil
}

// linkedSteps returns the steps of the section that a link leads to, with the line of the link.
func (p *page) linkedSteps(root string, b *block) ([]step, error) {
	file, anchor, _ := strings.Cut(b.text, "#")
	if file == "" {
		file = path.Base(p.path)
	}
	linked, err := readPage(root, path.Join(path.Dir(p.path), file))
	if err != nil {
		return nil, err
	}
	section, err := linked.section(anchor)
	if err != nil {
		return nil, err
	}
	steps, err := section.steps(root)
	if err == nil && len(steps) == 0 {
		err = fmt.Errorf("%s has nothing to run", b.text)
	}
	for i := range steps {
		steps[i].line = b.line
		if shown := steps[i].shows; shown != nil {
			steps[i].shows = &block{language: shown.language, text: shown.text, line: b.line, follows: true}
		}
	}
	return steps, err
}

// tryManifest returns a script that makes the kube-apiserver validate objects without creating them. It is empty for
// other YAML, such as the values of a chart.
func tryManifest(text string) (string, error) {
	var script strings.Builder
	for document := range strings.SplitSeq(text, "\n---\n") {
		var object struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Metadata   struct {
				GenerateName string `json:"generateName"`
			} `json:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			return "", fmt.Errorf("could not parse the YAML: %w", err)
		}
		if object.APIVersion == "" || object.Kind == "" {
			continue
		}
		verb := "apply --server-side --force-conflicts"
		if object.Metadata.GenerateName != "" {
			verb = "create"
		}
		fmt.Fprintf(&script, "kubectl %s --dry-run=server --validate=strict -f - "+
			"<<'END-OF-MANIFEST'\n%s\nEND-OF-MANIFEST\n", verb, document)
	}
	return script.String(), nil
}

// bash returns a program that runs the steps in one shell. Before each step it writes the step's number to descriptor 3
// and waits for a line on descriptor 4.
func bash(steps []step) string {
	var program strings.Builder
	for i, s := range steps {
		fmt.Fprintf(&program, "echo %d >&3; read -r -u 4\n%s\n", i, s.script)
	}
	return program.String()
}
