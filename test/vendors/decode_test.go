// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package vendors

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/pkg/payload"
)

func examples(t *testing.T) []Example {
	t.Helper()
	dir := os.Getenv("POSTERN_VENDORS")
	if dir == "" {
		t.Skip(`"make test-vendors" fetches the examples and runs it`)
	}
	all, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (e Example) input() payload.Input {
	in := payload.Input{Header: http.Header{"Content-Type": {"application/json"}}, Body: e.Body}
	for name, value := range e.Header {
		in.Header.Set(name, value)
	}
	return in
}

func requested(d payload.Decoded) (refs []string) {
	for _, e := range d.Events {
		if e.Image != nil {
			refs = append(refs, "Image "+e.Image.String())
			continue
		}
		refs = append(refs, fmt.Sprintf("%s %s", e.RefType, e.Ref))
	}
	return refs
}

// check reports a refusal, and refs other than the example's.
func (e Example) check(t *testing.T, got payload.Decoded, err error) {
	t.Helper()
	if err != nil {
		if !e.Handmade {
			t.Errorf("%s: %v", e.Name, err)
		}
		return
	}
	if diff := cmp.Diff(e.Want, requested(got), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s: refs (-want +got):\n%s", e.Name, diff)
	}
	if len(got.Events)+len(got.Ignored) == 0 {
		t.Errorf("%s: neither a ref nor a reason to request none", e.Name)
	}
}

func TestExamples_RequestWhatTheySay(t *testing.T) {
	requesting := map[string]int{}
	for _, e := range examples(t) {
		if e.Source == "" {
			continue
		}
		requesting[e.Source] += len(e.Want)
		for _, source := range []string{"", e.Source} {
			in := e.input()
			in.Source = source
			got, err := payload.Decode(in)
			e.check(t, got, err)
			if err == nil && got.Source != e.Source {
				t.Errorf("%s: the sender is %s, want %s", e.Name, got.Source, e.Source)
			}
		}
	}
	t.Logf("refs by sender: %v", requesting)
}

// GitHub, Gitea and Gogs can send a form.
func TestExamples_AsForms(t *testing.T) {
	for _, e := range examples(t) {
		if e.Source != "github" && e.Source != "ghcr.io" && e.Source != "gitea" {
			continue
		}
		in := e.input()
		in.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		in.Body = []byte(url.Values{"payload": {string(e.Body)}}.Encode())
		got, err := payload.Decode(in)
		e.check(t, got, err)
	}
}

func TestExamples_Signed(t *testing.T) {
	for _, e := range examples(t) {
		if sender, _ := payload.Lookup(e.Source); len(sender.Signatures) == 0 {
			continue
		}
		got, err := payload.DecodeSigned(e.input())
		e.check(t, got, err)
	}
}

// A client that has seen a webhook can send it again without its headers, and as any other sender's. It may be refused,
// but never requests anything else.
func TestExamples_AsAnotherSenders(t *testing.T) {
	for _, e := range examples(t) {
		for _, source := range append(payload.Sources(), "") {
			for _, header := range []http.Header{nil, e.input().Header} {
				got, err := payload.Decode(payload.Input{Source: source, Header: header, Body: e.Body})
				if err != nil || len(got.Events) == 0 {
					continue
				}
				if diff := cmp.Diff(e.Want, requested(got), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s as %q, headers %v: refs (-want +got):\n%s", e.Name, source, header != nil, diff)
				}
			}
		}
	}
}
