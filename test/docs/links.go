// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

var (
	// inlineCode may contain text that looks like a link.
	inlineCode = regexp.MustCompile("`[^`]*`")
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading    = regexp.MustCompile(`^#{1,6} +(.*?) *#*$`)
	linkText   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	anchorTag  = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)
)

// brokenLinks returns an error for each broken link of a page to another file or to a heading.
func (p *page) brokenLinks(root string) []error {
	var errs []error
	for i, line := range p.prose {
		for _, match := range link.FindAllStringSubmatch(inlineCode.ReplaceAllString(line, ""), -1) {
			if err := checkLink(root, p.path, match[1]); err != nil {
				errs = append(errs, fmt.Errorf("%s:%d: %w", p.path, i+1, err))
			}
		}
	}
	return errs
}

func checkLink(root, from, to string) error {
	if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
		return nil
	}
	file, anchor, _ := strings.Cut(to, "#")
	if file == "" {
		file = from
	} else {
		file = path.Join(path.Dir(from), file)
	}
	if !fs.ValidPath(file) {
		return fmt.Errorf("%s leads out of the repository", to)
	}
	if _, err := os.Stat(filepath.Join(root, file)); err != nil {
		return fmt.Errorf("%s leads nowhere: %w", to, err)
	}
	if anchor == "" {
		return nil
	}
	target, err := readPage(root, file)
	if err != nil {
		return err
	}
	if !target.anchors()[anchor] {
		return fmt.Errorf("%s leads to no heading of %s", to, file)
	}
	return nil
}

// anchors returns the anchors that GitHub generates for the headings of a page, and the explicit ones.
func (p *page) anchors() map[string]bool {
	found := map[string]bool{}
	for _, line := range p.prose {
		for _, match := range anchorTag.FindAllStringSubmatch(line, -1) {
			found[match[1]] = true
		}
		if match := heading.FindStringSubmatch(line); match != nil {
			name := slug(match[1])
			for n := 1; found[name]; n++ {
				name = fmt.Sprintf("%s-%d", slug(match[1]), n)
			}
			found[name] = true
		}
	}
	return found
}

// slug returns GitHub's anchor of a heading: lower case, without punctuation, a hyphen for each space.
func slug(text string) string {
	text = linkText.ReplaceAllString(text, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}
