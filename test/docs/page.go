// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// block is a fenced block of code in a page.
type block struct {
	language string
	text     string
	// line is the number of its first line of code, counted from 1.
	line int
	// notRun is the reason in the preceding comment why it can't be run or applied; empty if it can.
	notRun string
	// follows is true if only blank lines separate this block from the previous one.
	follows bool
}

// page is a Markdown file, or a section of one.
type page struct {
	// path is relative to the root of the repository.
	path   string
	blocks []block
	// kind is the control plane that the page needs.
	kind clusterKind
	// prose is the text without its blocks of code; their lines are empty.
	prose []string
}

// clusterKind is a kind of control plane to run pages in.
type clusterKind string

const (
	// shared has Postern and the samples. After each page everything that it created outside of postern-system is
	// removed. A page with "own" gets a control plane like it to itself.
	shared clusterKind = ""
	// empty has neither Postern nor samples, for pages that install Postern.
	empty clusterKind = "empty"
)

const fence = "```"

var (
	notRunComment       = regexp.MustCompile(`^<!-- not run: (.+) -->$`)
	controlPlaneComment = regexp.MustCompile(`^<!-- (own|empty) control plane -->$`)
	// runLink matches a link to a section whose blocks run in place of the link.
	runLink = regexp.MustCompile(`\]\(([^)\s]*#[^)\s]+)\)<!-- run -->`)
)

// readPage parses root/path.
func readPage(root, path string) (*page, error) {
	text, err := os.ReadFile(root + "/" + path)
	if err != nil {
		return nil, err
	}
	p, err := parsePage(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p.path = path
	return p, nil
}

// parsePage separates fenced code blocks from the prose. A block within a list may be indented.
func parsePage(text string) (*page, error) {
	p := &page{}
	var open *block
	var indent string
	notRun, follows := "", false
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if open != nil {
			p.prose = append(p.prose, "")
			if trimmed == fence {
				p.blocks = append(p.blocks, *open)
				open, follows = nil, true
				continue
			}
			open.text += strings.TrimPrefix(line, indent) + "\n"
			continue
		}
		if language, ok := strings.CutPrefix(trimmed, fence); ok {
			indent, _, _ = strings.Cut(line, fence)
			open = &block{language: language, line: i + 2, notRun: notRun, follows: follows}
			notRun = ""
			p.prose = append(p.prose, "")
			continue
		}
		p.prose = append(p.prose, line)
		for _, match := range runLink.FindAllStringSubmatch(line, -1) {
			p.blocks = append(p.blocks, block{language: languageLink, text: match[1], line: i + 1})
		}
		if trimmed == "" {
			continue
		}
		notRun, follows = "", false
		if match := notRunComment.FindStringSubmatch(trimmed); match != nil {
			notRun = match[1]
		}
		if match := controlPlaneComment.FindStringSubmatch(trimmed); match != nil {
			p.kind = clusterKind(match[1])
		}
	}
	if open != nil {
		return nil, fmt.Errorf("the block of code in line %d has no end", open.line)
	}
	return p, nil
}

// section returns the blocks and the prose below the heading with an anchor, up to the next heading.
func (p *page) section(anchor string) (*page, error) {
	start := slices.IndexFunc(p.prose, func(line string) bool {
		match := heading.FindStringSubmatch(line)
		return match != nil && slug(match[1]) == anchor
	})
	if start < 0 {
		return nil, fmt.Errorf("%s has no heading with the anchor %s", p.path, anchor)
	}
	end := start + 1
	for end < len(p.prose) && !heading.MatchString(p.prose[end]) {
		end++
	}
	s := &page{path: p.path, kind: p.kind, prose: p.prose[start:end]}
	for _, b := range p.blocks {
		if start < b.line && b.line <= end {
			s.blocks = append(s.blocks, b)
		}
	}
	return s, nil
}
