// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// foreignMessages are parts of documented messages that come from the kube-apiserver, kubectl or libraries.
var foreignMessages = []string{
	"Unauthorized",
	"User \"", "\" cannot create resource \"gatewaysyncs/webhookdeliveries\"",
	"the server could not find the requested resource",
	"Too many requests, please try again later.",
	"the server is currently unable to handle the request",
	"service unavailable", "error trying to reach service:",
	"curl: (18) Transferred a partial file",
	"x509: certificate signed by unknown authority",
	"error: the server doesn't have a resource type \"whd\"",
	"couldn't get resource list for postern.dev/v1alpha1: the server is currently unable to handle the request",
	"]: Forbidden: it holds a token,", "spec.headers[",
	"Terminating", "kubectl api-resources --api-group=postern.dev",
	"listen tcp", "bind: address already in use",
}

// concatenation matches where Go code breaks a message over lines.
var concatenation = regexp.MustCompile(`" ?\+\n?\s*"`)

func TestMessages_OfTroubleshootingExist(t *testing.T) {
	root := repository(t)
	p, err := readPage(root, "docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	source := sourceText(t, root)
	explained := 0
	for i, row := range section(p.prose, "### Answers to senders", "### Reasons of deliveries") {
		cells := strings.Split(row, " | ")
		if !strings.HasPrefix(row, "| ") || len(cells) < 2 {
			continue
		}
		message := cells[0]
		if regexp.MustCompile(`^\| (\d{3}|TLS)`).MatchString(message) {
			message = cells[1]
		}
		for _, code := range inlineCode.FindAllString(message, -1) {
			explained++
			for part := range strings.SplitSeq(strings.Trim(code, "`"), anything) {
				part = strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(part), ":"))
				if part != "" && !strings.Contains(source, part) && !slices.Contains(foreignMessages, part) {
					t.Errorf("row %d of troubleshooting explains %q, which is not in the source", i, part)
				}
			}
		}
	}
	if explained < 30 {
		t.Errorf("found only %d messages: has the page changed its form?", explained)
	}
}

// section returns the lines from one heading to another.
func section(lines []string, from, to string) []string {
	start, end := slices.Index(lines, from), slices.Index(lines, to)
	if start < 0 || end < start {
		return nil
	}
	return lines[start:end]
}

// sourceText returns all source of the program, with concatenated strings joined.
func sourceText(t *testing.T, root string) string {
	t.Helper()
	var text strings.Builder
	for _, dir := range []string{"cmd", "pkg", "apis"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			content, err := os.ReadFile(path)
			text.Write(content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return concatenation.ReplaceAllString(text.String(), "")
}
