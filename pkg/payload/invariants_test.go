// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

// checkDecode decodes the input and checks the invariants of every sender.
func checkDecode(t *testing.T, in Input) {
	t.Helper()
	body := bytes.Clone(in.Body)
	got, err := Decode(in)
	if !bytes.Equal(in.Body, body) {
		t.Fatal("Decode changed the body")
	}
	again, errAgain := Decode(in)
	if diff := cmp.Diff(got, again); diff != "" || (err == nil) != (errAgain == nil) {
		t.Fatalf("Decode is not a pure function: %v, %v\n%s", err, errAgain, diff)
	}
	checkSource(t, in, got, err)
	if err != nil {
		checkError(t, err)
		if len(got.Events)+len(got.Ignored) > 0 {
			t.Fatalf("got both an error and a result: %v, %+v", err, got)
		}
		return
	}
	checkDecoded(t, got)
	if len(got.Events) > 0 && reportsDeletion(in.Body, got) {
		t.Fatalf("deploys a deleted ref: %+v", got.Events)
	}
}

func checkSource(t *testing.T, in Input, got Decoded, err error) {
	t.Helper()
	named := SourceFromHeader(in.Header)
	claimed := sameFamily(named, got.Source) && got.Source == in.Source
	if named != "" && got.Source != named && !claimed {
		t.Fatalf("source = %q, the header names %q", got.Source, named)
	}
	if got.Source != "" && !slices.Contains(Sources(), got.Source) {
		t.Fatalf("unknown source %q", got.Source)
	}
	if err == nil && in.Source != "" && got.Source != in.Source {
		t.Fatalf("source = %q, claimed was %q", got.Source, in.Source)
	}
}

func requestsOf(source string) string {
	s, _ := Lookup(source)
	return s.Requests
}

func checkDecoded(t *testing.T, d Decoded) {
	t.Helper()
	if len(d.Events) > postern.MaxEvents || len(d.Ignored) > maxIgnored {
		t.Fatalf("%d events and %d reasons", len(d.Events), len(d.Ignored))
	}
	if len(d.Events)+len(d.Ignored) == 0 {
		t.Fatal("neither an event nor an ignored item")
	}
	for _, i := range d.Ignored {
		if i.Reason == "" || i.Message == "" || len(i.Message) > 1000 {
			t.Fatalf("ignored without a valid reason: %+v", i)
		}
	}
	for _, e := range d.Events {
		checkEvent(t, d, e)
	}
}

func checkError(t *testing.T, err error) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) || refused.Reason == "" || refused.Message == "" {
		t.Fatalf("error is %#v, want an *Error with a reason and a message", err)
	}
	if len(refused.Message) > 1000 || !utf8.ValidString(refused.Message) ||
		strings.ContainsAny(refused.Message, "\n\r\x1b") {
		t.Fatalf("the message is not safe to display: %q", refused.Message)
	}
}

func checkChangedFiles(t *testing.T, e postern.DeliveryEvent) {
	t.Helper()
	if e.ChangedFiles == nil {
		return
	}
	isDirty := func(file string) bool { return !naming.IsCleanPath(file) }
	if e.RefType != postern.RefTypeBranch || e.ChangedFilesTruncated || len(e.ChangedFiles) == 0 ||
		len(e.ChangedFiles) > postern.MaxChangedFiles ||
		len(strings.Join(e.ChangedFiles, "")) > postern.MaxChangedFilesBytes ||
		!slices.IsSorted(e.ChangedFiles) || slices.ContainsFunc(e.ChangedFiles, isDirty) {
		t.Fatalf("changed files of %+v", e)
	}
}

func checkEvent(t *testing.T, d Decoded, e postern.DeliveryEvent) {
	t.Helper()
	if e.Source != d.Source || e.Event == "" || strings.ContainsAny(e.Event, "\x00\n\r\t\x1b\x7f") ||
		(d.DeliveryID != "" && e.DeliveryID != d.DeliveryID) {
		t.Fatalf("incomplete event %+v of %+v", e, d)
	}
	if e.Time != nil && (e.Time.Location() != time.UTC || e.Time.Year() > 9999 || e.Time.Year() < 0) {
		t.Fatalf("time %v does not fit RFC 3339 in UTC", e.Time)
	}
	isChart := strings.HasPrefix(e.Repository, naming.OCIScheme)
	if (e.Image != nil || isChart) != (requestsOf(e.Source) == RequestsImages) ||
		isChart && e.RefType != postern.RefTypeTag {
		t.Fatalf("%s asks for %s, but got %+v", e.Source, requestsOf(e.Source), e)
	}
	checkChangedFiles(t, e)
	if e.Image != nil {
		checkImage(t, e)
		return
	}
	if err := naming.ValidateRef(e.Ref, e.RefType); err != nil {
		t.Fatal(err)
	}
	if short, _ := naming.ShortRef(e.Ref); short != e.Ref && e.RefType == "" {
		t.Fatalf("ref %q is not short", e.Ref)
	}
	types := []postern.RefType{
		"", postern.RefTypeBranch, postern.RefTypeTag, postern.RefTypeCommit, postern.RefTypePullRequest,
	}
	if !slices.Contains(types, e.RefType) {
		t.Fatalf("unknown type of ref %q", e.RefType)
	}
	if e.Revision != "" && !isCommitID(e.Revision) {
		t.Fatalf("revision %q is not a commit", e.Revision)
	}
	if clean, err := naming.CleanRepository(e.Repository); err != nil || clean != e.Repository {
		t.Fatalf("repository %q is not clean: %q, %v", e.Repository, clean, err)
	}
}

func checkImage(t *testing.T, e postern.DeliveryEvent) {
	t.Helper()
	if again, err := naming.NormalizeImage(*e.Image); err != nil || again != *e.Image {
		t.Fatalf("image %+v is not normal: %+v, %v", *e.Image, again, err)
	}
	if e.Ref == "" || e.Ref != e.Image.Tag || e.RefType != postern.RefTypeImage || e.Repository != "" ||
		e.Revision != "" {
		t.Fatalf("event %+v does not ask for the tag of the image %s", e, e.Image)
	}
}

// reportsDeletion reports whether the top level of a JSON body reports a deleted ref of a push or of a handmade body:
// "deleted": true, or an "after" of zeros.
func reportsDeletion(body []byte, d Decoded) bool {
	var v map[string]any
	if json.Unmarshal(body, &v) != nil {
		return false
	}
	after, _ := v["after"].(string)
	switch eventType := d.Events[0].Event; {
	case d.Source == postern.SourceGeneric, d.Source == "github" && eventType == "push":
		return v["deleted"] == true || isZeroID(after)
	case eventType == "push" || eventType == "tag_push":
		return d.Events[0].Image == nil && isZeroID(after)
	}
	return false
}
