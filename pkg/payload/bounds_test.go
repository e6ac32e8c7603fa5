// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern"
)

func listOf(n int, item string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
}

func TestDecode_BoundsContents(t *testing.T) {
	const id = "1234567890123456789012345678901234567890"
	gone := `{"ref":{"id":"refs/heads/a"},"type":"DELETE","toHash":"` + strings.Repeat("0", 40) + `"}`
	pushed := `{"ref":{"id":"refs/heads/a"},"toHash":"` + id + `"}`
	bitbucket := func(changes string) string { return `{"eventKey":"repo:refs_changed","changes":` + changes + `}` }
	values := func(n int) string { return `{"ref":"main","x":` + listOf(n, "0") + `}` }
	tests := []struct{ name, body, reason, want string }{
		{"as many items as are read", bitbucket(listOf(maxListItems, gone)), "", ""},
		{"too many items", bitbucket(listOf(maxListItems+1, "{}")), ErrorTooComplex,
			"the body has a list of 1025 items, but at most 1024 are read: send fewer at once"},
		{"as many events as are allowed", bitbucket(listOf(postern.MaxEvents, pushed)), "", ""},
		{"too many events", bitbucket(listOf(postern.MaxEvents+1, pushed)), ErrorTooManyEvents,
			"the body asks for more than 256 refs or images; send fewer at once"},
		{"many unused values", values(baseTokens), "", ""},
		{"too many values", values(baseTokens * 3 / 2), ErrorTooComplex,
			"the body has more than 45058 names and values, the limit for 98324 bytes: send less in one body"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Decode(Input{Body: []byte(test.body)})
			if test.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if reason := errorReason(t, err); reason != test.reason || err.Error() != test.want {
				t.Errorf("%s: %v, want %s: %s", reason, err, test.reason, test.want)
			}
		})
	}
}

// A push of 2048 commits, GitHub's maximum, is decoded, with the changed files of each.
func TestDecode_LargestGitHubPush(t *testing.T) {
	commit := `{"id":"%040x","tree_id":"%040[1]x","distinct":true,"message":"fix","timestamp":"2026-01-02T03:04:05Z",` +
		`"url":"https://github.com/o/r/commit/%040[1]x","author":{"name":"a","email":"a@b.c","username":"a"},` +
		`"committer":{"name":"a","email":"a@b.c","username":"a"},"added":["a/b.go"],"removed":[],` +
		`"modified":["c.go","d.go"]}`
	var commits []string
	for i := range 2048 {
		commits = append(commits, fmt.Sprintf(commit, i+1))
	}
	body := `{"ref":"refs/heads/main","after":"` + strings.Repeat("a", 40) + `","commits":[` +
		strings.Join(commits, ",") + `]}`
	if decoded, err := Decode(Input{Body: []byte(body)}); err != nil || len(decoded.Events) != 1 {
		t.Errorf("got %+v, %v", decoded, err)
	}
}

// Slices, maps and interfaces in a payload type would be decoded without limits.
func TestDecode_PayloadTypesUseList(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	unbounded := regexp.MustCompile(`(?m)^.*(\[\]|map\[|\bany\b|interface|RawMessage).*json:".*$|decodeAs\[\[\].*$`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if line := unbounded.Find(source); line != nil {
			t.Errorf("%s: %s: use list, or rawValue", file, line)
		}
	}
}

func TestDecode_FormLikeStandardLibrary(t *testing.T) {
	for _, body := range []string{
		"payload=%7B%22a%22%3A1%7D", "a=1&payload=%7b%7D&b=2", "pay%6Coad={}", "payload=a+b%20c", "payload=", "payload",
		"payload=1&payload=2", "a=1", "", "payload=%", "payload=%4", "payload=%zz", "payload={}&a=%q", "%=1&payload={}",
		"payload={};a=1", "a;b&payload={}", "&&payload={}&", "payload=a=b", "+payload={}",
	} {
		want, wantErr := url.ParseQuery(body)
		got, err := formPayload([]byte(body))
		if (wantErr != nil || len(want["payload"]) != 1) != (err != nil) {
			t.Errorf("%q: error = %v, ParseQuery: %v, %v", body, err, want, wantErr)
		} else if err == nil && string(got) != want.Get("payload") {
			t.Errorf("%q: got %q, want %q", body, got, want.Get("payload"))
		}
	}
}

func TestDecode_LongContentType(t *testing.T) {
	h := http.Header{"Content-Type": {"application/json" + strings.Repeat(";a=b", maxContentTypeBytes)}}
	if got := mediaType(h); got != "" {
		t.Errorf("got %q", got)
	}
}
