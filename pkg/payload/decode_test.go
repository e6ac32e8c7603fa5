// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	commitA = "3f1c9a2b7d5e4f60819a2b3c4d5e6f708192a3b4"
	zeros   = "0000000000000000000000000000000000000000"
)

func gitHubHeader(event string) http.Header {
	h := http.Header{}
	h.Set("X-GitHub-Event", event)
	return h
}

// errorReason returns the reason of an *Error, or "" for nil.
func errorReason(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var refused *Error
	if !errors.As(err, &refused) {
		t.Fatalf("error is a %T, want *Error: %v", err, err)
	}
	return refused.Reason
}

func refs(d Decoded) []string {
	var refs []string
	for _, e := range d.Events {
		refs = append(refs, e.Ref)
	}
	return refs
}

func TestDecode_ClaimNeverWidens(t *testing.T) {
	const (
		generic     = `{"ref": "main"}`
		push        = `{"ref": "refs/heads/main", "after": "` + commitA + `"}`
		deletedPush = `{"ref": "refs/heads/old", "deleted": true, "after": "` + zeros + `"}`
		deleteEvent = `{"ref": "old", "ref_type": "branch", "pusher_type": "user"}`
		release     = `{"action": "deleted", "release": {"tag_name": "v1"}}`
		freight     = `{"freight": {"commits": [{"tag": "v1"}]}}`
		app         = `{"app": {"metadata": {"annotations": {"git.ref": "v1"}}}}`
		both        = `{"app": {"metadata": {"annotations": {"git.ref": "a"}}}, "freight": {"commits": [{"tag": ` +
			`"k"}]}, "ref": "g"}`
	)
	tests := []struct {
		name    string
		source  string
		header  http.Header
		body    string
		want    []string // refs
		source2 string
		reason  string
	}{
		{name: "a claim that fits", source: "generic", body: generic, want: []string{"main"}, source2: "generic"},
		{name: "a claim that the header confirms", source: "github", header: gitHubHeader("push"), body: push,
			want: []string{"main"}, source2: "github"},
		{name: "a claim that the shape confirms", source: "github", body: push, want: []string{"main"},
			source2: "github"},
		{name: "argocd among several shapes", source: "argocd", body: both, want: []string{"a"}, source2: "argocd"},
		{name: "kargo among several shapes", source: "kargo", body: both, want: []string{"k"}, source2: "kargo"},
		{name: "generic among several shapes", source: "generic", body: both, want: []string{"g"}, source2: "generic"},
		{name: "no claim among several shapes", body: both, want: []string{"a"}, source2: "argocd"},

		{name: "generic with GitHub's header", source: "generic", header: gitHubHeader("push"), body: deletedPush,
			source2: "github", reason: ErrorSourceConflict},
		{name: "generic with GitHub's header and a harmless body", source: "generic", header: gitHubHeader("push"),
			body: generic, source2: "github", reason: ErrorSourceConflict},
		{name: "kargo with GitHub's header", source: "kargo", header: gitHubHeader("release"), body: freight,
			source2: "github", reason: ErrorSourceConflict},
		{name: "generic with a deletion", source: "generic", body: deletedPush, source2: "generic",
			reason: ErrorSourceConflict},
		{name: "generic with a delete event", source: "generic", body: deleteEvent, source2: "generic",
			reason: ErrorSourceConflict},
		{name: "generic with a release", source: "generic", body: release, source2: "generic",
			reason: ErrorSourceConflict},
		{name: "github with a generic body", source: "github", body: generic, source2: "github",
			reason: ErrorSourceConflict},
		{name: "argocd with a generic body", source: "argocd", body: generic, source2: "argocd",
			reason: ErrorSourceConflict},
		{name: "kargo with an app", source: "kargo", body: app, source2: "kargo", reason: ErrorSourceConflict},
		{name: "GitHub's header with freight", header: gitHubHeader("release"), body: freight, source2: "github",
			reason: ErrorInvalidField},
		{name: "GitHub's header with a generic body", header: gitHubHeader("push"), body: generic, source2: "github",
			reason: ErrorInvalidField},

		{name: "unknown", source: "jenkins", body: generic, reason: ErrorUnknownSource},
		{name: "unknown by case", source: "GitHub", body: push, reason: ErrorUnknownSource},
		{name: "unknown with GitHub's header", source: "jenkins", header: gitHubHeader("push"), body: push,
			source2: "github", reason: ErrorUnknownSource},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode(Input{Source: tt.source, Header: tt.header, Body: []byte(tt.body)})
			if reason := errorReason(t, err); reason != tt.reason {
				t.Errorf("reason = %q, want %q (%v)", reason, tt.reason, err)
			}
			if diff := cmp.Diff(tt.want, refs(got)); diff != "" {
				t.Errorf("refs (-want +got):\n%s", diff)
			}
			if got.Source != tt.source2 {
				t.Errorf("source = %q, want %q", got.Source, tt.source2)
			}
		})
	}
}

func TestDecode_RefusesRepeatedHeader(t *testing.T) {
	const push = `{"ref": "refs/heads/main", "after": "` + commitA + `"}`
	for _, header := range []http.Header{
		{"X-Github-Event": {"push", "ping"}},
		{"X-Github-Event": {"", "push"}},
		{"X-Github-Event": {"push"}, "X-Github-Delivery": {"1", "1"}},
	} {
		got, err := Decode(Input{Header: header, Body: []byte(push)})
		if reason := errorReason(t, err); reason != ErrorInvalidField || len(got.Events) > 0 {
			t.Errorf("%v: got %v and reason %q, want %q", header, got.Events, reason, ErrorInvalidField)
		}
	}
}

func TestDecode_UnknownSourceListsKnown(t *testing.T) {
	_, err := Decode(Input{Source: "jenkins\n", Body: []byte(`{"ref": "main"}`)})
	want := `unknown source "jenkins\n": use one of ` + strings.Join(Sources(), ", ") +
		`, or omit it to detect the sender`
	if err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

func TestDecode_SameRefAsStokerReceiver(t *testing.T) {
	tests := []struct{ body, source, ref string }{
		{`{"action":"published","release":{"tag_name":"v3.0.0"}}`, "github", "v3.0.0"},
		{`{"release":{"tag_name":"v3.0.0"}}`, "github", "v3.0.0"},
		{`{"release":{"tag_name":"v3.0.0"},"ref":"main"}`, "github", "v3.0.0"},
		{`{"release":"2026.1","ref":"main"}`, "generic", "main"},
		{`{"release":{"name":"spring"},"ref":"main"}`, "generic", "main"},
		{`{"app":{"metadata":{"annotations":{"git.ref":"v4.0.0"}}}}`, "argocd", "v4.0.0"},
		{`{"app":{"metadata":{"annotations":{"git.ref":""}}},"ref":"main"}`, "argocd", "main"},
		{`{"app":{"metadata":{"annotations":{}}},"ref":"main"}`, "argocd", "main"},
		{`{"app":{"status":{"sync":{"revision":"` + commitA + `"}}},"ref":"main"}`, "argocd", "main"},
		{`{"app":"shop","ref":"main"}`, "generic", "main"},
		{`{"freight":{"commits":[{"tag":"v5.0.0"}]}}`, "kargo", "v5.0.0"},
		{`{"freight":{"commits":[{"tag":"v5.0.0"}]},"ref":"main"}`, "kargo", "v5.0.0"},
		{`{"freight":{"commits":[{"branch":"main"},{"tag":"v6"}]},"ref":"v7"}`, "kargo", "v7"},
		{`{"freight":{"commits":[]},"ref":"main"}`, "kargo", "main"},
		{`{"freight":{},"ref":"main"}`, "kargo", "main"},
		{`{"ref":"v2.0.0"}`, "generic", "v2.0.0"},
		{`{"ref":"v2.0.0","ref_type":"tag","repository":"group/project","sha":"` + commitA + `"}`, "generic", "v2.0.0"},
		{`{"ref":"main","repository":{"name":"project"}}`, "generic", "main"},
	}
	for _, tt := range tests {
		got, err := Decode(Input{Body: []byte(tt.body)})
		if err != nil {
			t.Errorf("%s: %v", tt.body, err)
			continue
		}
		if diff := cmp.Diff([]string{tt.ref}, refs(got)); diff != "" || got.Source != tt.source {
			t.Errorf("%s: source %s, want %s; refs (-want +got):\n%s", tt.body, got.Source, tt.source, diff)
		}
	}
}

// Signatures cover only the body: a valid body may have the header of another event, or none.
func TestDecode_DeletionIsIgnoredUnderAnyHeader(t *testing.T) {
	bodies := map[string]string{
		"deleted branch": `{"ref":"refs/heads/old","before":"` + commitA + `","after":"` + zeros +
			`","deleted":true,"repository":{}}`,
		"delete event": `{"ref":"old","ref_type":"branch","pusher_type":"user","repository":{},"sender":{}}`,
		"create event": `{"ref":"new","ref_type":"branch","master_branch":"main","pusher_type":"user",` +
			`"repository":{}}`,
		"deleted release": `{"action":"deleted","release":{"tag_name":"v1",` +
			`"published_at":"2026-03-04T09:30:00Z"},"repository":{}}`,
		"unpublished release": `{"action":"unpublished","release":{"tag_name":"v1"},"repository":{}}`,
		"draft release":       `{"action":"published","release":{"tag_name":"v1","draft":true},"repository":{}}`,
		"ping":                `{"zen":"calm","hook_id":1,"hook":{"events":["push"]},"repository":{}}`,
		"closed issue":        `{"action":"closed","issue":{"number":1},"repository":{}}`,
	}
	events := []string{"", "push", "release", "create", "delete", "ping", "issues", "package"}
	for name, body := range bodies {
		for _, event := range events {
			for _, source := range append(Sources(), "") {
				in := Input{Source: source, Body: []byte(body)}
				if event != "" {
					in.Header = gitHubHeader(event)
				}
				if got, err := Decode(in); len(got.Events) > 0 {
					t.Errorf("%s with event %q, claimed %q, deploys %v (error %v)", name, event, source, refs(got), err)
				}
			}
		}
	}
}

func TestDecode_CurlAndKubectl(t *testing.T) {
	const body = `{"action":"published","release":{"tag_name":"v1"}}`
	const form = `payload=%7B%22ref%22%3A%22v1%22%7D`
	tests := []struct {
		name, contentType, body string
		reason                  string
	}{
		{"no content type", "", body, ""},
		{"curl -d", "application/x-www-form-urlencoded", body, ""},
		{"text", "text/plain", body, ""},
		{"space around", "", "\r\n\t " + body + " \n", ""},
		{"form", "application/x-www-form-urlencoded", form, ""},
		{"form with charset", "Application/X-WWW-Form-URLencoded; charset=utf-8", form, ""},
		{"form without content type", "", form, ""},
		{"form called JSON", "application/json", form, ErrorMalformedBody},
		{"form of an array", "application/x-www-form-urlencoded", "payload=[]", ErrorMalformedBody},
		{"empty", "application/json", "", ErrorMalformedBody},
		{"empty form", "application/x-www-form-urlencoded", "", ErrorMalformedBody},
		{"space only", "", " \n", ErrorMalformedBody},
		{"compressed", "application/json", "\x1f\x8b\x08\x00\x00\x00", ErrorMalformedBody},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := Input{Header: http.Header{}, Body: []byte(tt.body)}
			if tt.contentType != "" {
				in.Header.Set("Content-Type", tt.contentType)
			}
			got, err := Decode(in)
			if reason := errorReason(t, err); reason != tt.reason {
				t.Errorf("reason = %q, want %q (%v)", reason, tt.reason, err)
			}
			if err == nil && !cmp.Equal(refs(got), []string{"v1"}) {
				t.Errorf("refs = %v, want v1", refs(got))
			}
		})
	}
}

func TestDecode_ErrorsQuoteShortFragments(t *testing.T) {
	long := strings.Repeat("s", 5000)
	tests := []Input{
		{Source: long, Body: []byte(`{}`)},
		{Body: []byte(`{"ref":"` + long + `"}`)},
		{Body: []byte(`{"ref":"a","` + long + `":1,"` + long + `":2}`)},
		{Body: []byte(long)},
		{Body: []byte(`{"ref":"main","repository":"https://` + long + `"}`)},
		{Body: []byte(`{"ref":"refs/heads/main","after":"` + long + `"}`)},
		{Body: []byte(`{"app":{"status":{"sync":{"revision":"` + long + `"}}}}`)},
		{Body: []byte(`{"release":{"tag_name":"v1","published_at":"` + long + `"}}`)},
		{Body: []byte(`{"release":{"tag_name":"v1","published_at":[` + strings.Repeat("9,", 5000) + `9]}}`)},
		{Header: http.Header{"X-Github-Event": {"push"}, "X-Github-Delivery": {long}}, Body: []byte(`{}`)},
	}
	for _, in := range tests {
		_, err := Decode(in)
		if err == nil {
			t.Errorf("%.60s: no error", in.Body)
		} else if len(err.Error()) > 400 {
			t.Errorf("%.60s: the error has %d bytes: %.300s…", in.Body, len(err.Error()), err)
		}
	}
}
