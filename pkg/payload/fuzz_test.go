// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// fuzzInputs are the claims and headers that FuzzDecode combines with any body.
var fuzzInputs = []Input{
	{},
	{Header: http.Header{"X-Github-Event": {"push"}, "X-Github-Delivery": {"7f0e5c1a"}}},
	{Header: http.Header{"X-Github-Event": {"release"}}},
	{Header: http.Header{"X-Github-Event": {"delete"}}},
	{Header: http.Header{"X-Github-Event": {"star"}}},
	{Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}},
	{Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "X-Github-Event": {"push"}}},
	{Source: "github"},
	{Source: "argocd"},
	{Source: "kargo"},
	{Source: "generic"},
	{Source: "generic", Header: http.Header{"X-Github-Event": {"push"}}},
	{Source: "github", Header: http.Header{"X-Github-Event": {"push"}}},
	{Source: "nobody"},
}

func FuzzDecode(f *testing.F) {
	for _, c := range goldenCases(f) {
		for choice := range fuzzInputs {
			f.Add(uint8(choice), c.in.Body)
		}
	}
	f.Fuzz(func(t *testing.T, choice uint8, body []byte) {
		in := fuzzInputs[int(choice)%len(fuzzInputs)]
		in.Body = bytes.Clone(body)
		got, err := Decode(in)
		if !bytes.Equal(in.Body, body) {
			t.Fatal("Decode changed the body")
		}
		again, errAgain := Decode(in)
		if diff := cmp.Diff(got, again); diff != "" || (err == nil) != (errAgain == nil) {
			t.Fatalf("Decode is not a pure function: %v, %v\n%s", err, errAgain, diff)
		}
		if named := SourceFromHeader(in.Header); named != "" && got.Source != named {
			t.Fatalf("source = %q, the header names %q", got.Source, named)
		}
		if got.Source != "" && !slices.Contains(Sources(), got.Source) {
			t.Fatalf("unknown source %q", got.Source)
		}
		if err != nil {
			checkError(t, err)
			if len(got.Events)+len(got.Ignored) > 0 {
				t.Fatalf("an error and a result: %v, %+v", err, got)
			}
			return
		}
		if in.Source != "" && got.Source != in.Source {
			t.Fatalf("source = %q, claimed was %q", got.Source, in.Source)
		}
		if len(got.Events)+len(got.Ignored) == 0 {
			t.Fatal("neither an event nor a reason why not")
		}
		for _, i := range got.Ignored {
			if i.Reason == "" || i.Message == "" || len(i.Message) > 1000 {
				t.Fatalf("ignored without a fit reason: %+v", i)
			}
		}
		for _, e := range got.Events {
			checkEvent(t, got, e)
		}
		if len(got.Events) > 0 && (got.Source == "generic" || got.Events[0].Type == "push") && saysDeleted(body) {
			t.Fatalf("deploys what is deleted: %+v", got.Events)
		}
	})
}

func checkError(t *testing.T, err error) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) || refused.Reason == "" || refused.Message == "" {
		t.Fatalf("error is %#v, want a filled *Error", err)
	}
	if len(refused.Message) > 1000 || !utf8.ValidString(refused.Message) || strings.ContainsAny(refused.Message, "\n\r\x1b") {
		t.Fatalf("the message is not fit to show: %q", refused.Message)
	}
}

func checkEvent(t *testing.T, d Decoded, e Event) {
	t.Helper()
	if err := ValidateRef(e.Ref); err != nil {
		t.Fatal(err)
	}
	if short, _ := ShortRef(e.Ref); short != e.Ref {
		t.Fatalf("ref %q is not short", e.Ref)
	}
	if e.Source != d.Source || e.Type == "" || e.DeliveryID != d.DeliveryID {
		t.Fatalf("incomplete event %+v of %+v", e, d)
	}
	if !slices.Contains([]RefType{"", RefTypeBranch, RefTypeTag, RefTypeCommit}, e.RefType) {
		t.Fatalf("unknown type of ref %q", e.RefType)
	}
	if e.Revision != "" && !isCommitID(e.Revision) {
		t.Fatalf("revision %q is not a commit", e.Revision)
	}
	if clean, err := cleanRepository(e.Repository); err != nil || clean != e.Repository {
		t.Fatalf("repository %q is not clean: %q, %v", e.Repository, clean, err)
	}
	if e.Time.Location() != time.UTC || e.Time.Year() > 9999 || e.Time.Year() < 0 {
		t.Fatalf("time %v does not fit RFC 3339 in UTC", e.Time)
	}
}

// saysDeleted reports whether a JSON body has "deleted": true at its top level.
func saysDeleted(body []byte) bool {
	var v map[string]any
	return json.Unmarshal(body, &v) == nil && v["deleted"] == true
}

func FuzzValidateRef(f *testing.F) {
	for _, tt := range refTests {
		f.Add(tt.ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		err := ValidateRef(ref)
		if err != nil {
			checkError(t, err)
			return
		}
		if len(ref) > maxRefBytes || !utf8.ValidString(ref) || strings.ContainsAny(ref, " ~^:?*[\\\x00\n\r\t\x7f") {
			t.Fatalf("accepted %q", ref)
		}
		if short, refType := ShortRef(headsPrefix + ref); short != ref || refType != RefTypeBranch {
			t.Fatalf("ShortRef(refs/heads/%q) = %q, %q", ref, short, refType)
		}
		if ValidateRef(headsPrefix+ref) == nil {
			t.Fatalf("accepted two spellings of %q", ref)
		}
		// Whatever is valid stays so below a directory, as in a remote-tracking ref.
		if len(ref) < maxRefBytes-2 && ValidateRef("o/"+ref) != nil {
			t.Fatalf("o/%q is not valid", ref)
		}
		for component := range strings.SplitSeq(ref, "/") {
			if component == "" || component[0] == '.' || strings.HasSuffix(component, ".lock") {
				t.Fatalf("accepted the component %q of %q", component, ref)
			}
		}
	})
}

// FuzzValidateRefAgainstGit asks git itself, so it is slow.
func FuzzValidateRefAgainstGit(f *testing.F) {
	for _, tt := range refTests {
		f.Add(tt.ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		if ValidateRef(ref) != nil {
			return
		}
		if err := exec.CommandContext(t.Context(), "git", "check-ref-format", "--allow-onelevel", ref).Run(); err != nil {
			t.Fatalf("accepted %q, which git refuses", ref)
		}
	})
}
