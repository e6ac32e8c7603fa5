// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// A golden case is testdata/<sender>/<case>.json or .form, with optional headers in <case>.headers and an optional URL
// query in <case>.query. The expected outcome is in <case>.golden.json.
type goldenCase struct {
	name string // <sender>/<case>
	in   Input
}

func (c goldenCase) file() string { return filepath.Join("testdata", c.name+".golden.json") }

// golden has all cases once a test has read them: there are more than a thousand files.
var golden struct {
	sync.Mutex
	cases []goldenCase
}

func goldenCases(tb testing.TB) []goldenCase {
	tb.Helper()
	golden.Lock()
	defer golden.Unlock()
	if golden.cases == nil {
		golden.cases = readGoldenCases(tb)
	}
	cases := slices.Clone(golden.cases)
	for i := range cases { // tests change their inputs
		cases[i].in.Header, cases[i].in.Body = cases[i].in.Header.Clone(), slices.Clone(cases[i].in.Body)
	}
	return cases
}

func readGoldenCases(tb testing.TB) []goldenCase {
	tb.Helper()
	var cases []goldenCase
	for _, ext := range []string{".json", ".form"} {
		files, err := filepath.Glob("testdata/*/*" + ext)
		if err != nil {
			tb.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, ".golden.json") {
				continue
			}
			base := strings.TrimSuffix(file, ext)
			name, err := filepath.Rel("testdata", base)
			if err != nil {
				tb.Fatal(err)
			}
			cases = append(cases, goldenCase{name, Input{
				Header:      readHeaders(tb, base+".headers"),
				Body:        readFile(tb, file),
				RegistryURL: readQuery(tb, base+".query").Get("registry_url"),
			}})
		}
	}
	if len(cases) == 0 {
		tb.Fatal("no golden cases below testdata")
	}
	return cases
}

func goldenInput(tb testing.TB, name string) Input {
	tb.Helper()
	for _, c := range goldenCases(tb) {
		if c.name == name {
			return c.in
		}
	}
	tb.Fatalf("no golden case %s", name)
	return Input{}
}

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

// readHeaders returns nil if the file does not exist.
func readHeaders(tb testing.TB, name string) http.Header {
	tb.Helper()
	content, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		tb.Fatal(err)
	}
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(content, '\n')))).ReadMIMEHeader()
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return http.Header(header)
}

// readQuery returns nil if the file does not exist.
func readQuery(tb testing.TB, name string) url.Values {
	tb.Helper()
	content, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		tb.Fatal(err)
	}
	query, err := url.ParseQuery(strings.TrimSpace(string(content)))
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return query
}

// outcome is the content of a golden file. Zero values are omitted to keep it reviewable.
type outcome struct {
	Source     string           `json:",omitzero"`
	DeliveryID string           `json:",omitzero"`
	Events     []map[string]any `json:",omitempty"`
	Ignored    []Ignored        `json:",omitempty"`
	Error      *Error           `json:",omitempty"`
}

func outcomeOf(t *testing.T, d Decoded, err error) []byte {
	t.Helper()
	o := outcome{Source: d.Source, DeliveryID: d.DeliveryID, Ignored: d.Ignored}
	if err != nil && !errors.As(err, &o.Error) {
		t.Fatalf("error is a %T, want *Error: %v", err, err)
	}
	for _, e := range d.Events {
		fields := map[string]any{
			"Source": e.Source, "Type": e.Event, "Ref": e.Ref, "RefType": string(e.RefType),
			"Repository": e.Repository, "SSHURL": e.SSHURL, "RepositoryID": e.RepositoryID, "Revision": e.Revision,
			"DeliveryID": e.DeliveryID,
			"Passed":     e.Passed,
		}
		for name, value := range fields {
			if value == "" {
				delete(fields, name)
			}
		}
		if e.ChangedFiles != nil {
			fields["ChangedFiles"] = e.ChangedFiles
		}
		if e.ChangedFilesTruncated {
			fields["ChangedFilesTruncated"] = true
		}
		if e.Time != nil {
			fields["Time"] = e.Time.Time
		}
		if e.Image != nil {
			fields["Image"] = e.Image.String()
		}
		o.Events = append(o.Events, fields)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(o); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestDecode_Golden(t *testing.T) {
	for _, c := range goldenCases(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // the race detector checks that Decode is safe for concurrent use
			decoded, err := Decode(c.in)
			got := outcomeOf(t, decoded, err)
			if *update {
				if err := os.WriteFile(c.file(), got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(readFile(t, c.file())), string(got)); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecode_EverySenderHasGoldenCases(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range goldenCases(t) {
		if decoded, err := Decode(c.in); err == nil && len(decoded.Events) > 0 {
			covered[decoded.Source] = true
			if dir := filepath.Dir(c.name); dir != decoded.Source {
				t.Errorf("%s was decoded as %s", c.name, decoded.Source)
			}
		}
	}
	for _, source := range Sources() {
		if !covered[source] {
			t.Errorf("no golden case of %s has an event", source)
		}
	}
}
