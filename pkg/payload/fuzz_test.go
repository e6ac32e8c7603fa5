// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"path/filepath"
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
	{Header: http.Header{"X-Github-Event": {"package"}, "X-Github-Delivery": {"7f0e5c1a"}}},
	{Header: http.Header{"X-Github-Event": {"registry_package"}}},
	{Source: "ghcr.io", Header: http.Header{"X-Github-Event": {"push"}}},
	{Source: "github", Header: http.Header{"X-Github-Event": {"package"}}},
	{Source: "ghcr.io"},
	{Source: "docker.io"},
	{Source: "harbor"},
	{Source: "quay.io"},
	{Source: "aliyun-acr", RegistryURL: "registry.example.com/a"},
	{Source: "acr"},
	{Source: "ecr"},
	{Source: "gar"},
	{Source: "jfrog"},
	{Source: "jfrog", RegistryURL: "https://jane:secret@registry.example.com"},
	{Source: "nexus", RegistryURL: "registry.example.com:8082"},
	{Header: http.Header{"X-Nexus-Webhook-Id": {"rm:repository:component"}, "X-Nexus-Webhook-Delivery": {"1"}}, RegistryURL: "r.example.com"},
	{Source: "distribution", RegistryURL: "x/y@z:1"},
	{Header: http.Header{"Content-Type": {"application/vnd.docker.distribution.events.v2+json"}}},
	{Source: "cloudevents"},
	{Header: http.Header{"Content-Type": {"application/cloudevents+json"}, "Ce-Type": {"a.image.push"}}},
	{Header: http.Header{"Content-Type": {"application/cloudevents-batch+json; charset=utf-8"}}},
	{Header: http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {"a.image.push"}, "Ce-Source": {"registry.example.com"}, "Ce-Subject": {"a:1"}}},
	{Header: http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {"harbor.artifact.pushed"}}},
	{Header: http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {"zotregistry.image.updated"}}, RegistryURL: "zot.example.com"},
	{Source: "zot", RegistryURL: "zot.example.com"},
	{Header: http.Header{"X-Gitea-Event": {"push"}, "X-Github-Event": {"push"}, "X-Gitea-Delivery": {"1"}}},
	{Header: http.Header{"X-Forgejo-Event": {"release"}}},
	{Header: http.Header{"X-Gogs-Event": {"create"}, "X-Github-Event": {"create"}}},
	{Header: http.Header{"X-Gitea-Event-Type": {"package"}, "Content-Type": {"application/x-www-form-urlencoded"}}},
	{Header: http.Header{"X-Gitlab-Event": {"Push Hook"}, "Idempotency-Key": {"1"}}},
	{Header: http.Header{"X-Gitlab-Event": {"System Hook"}}},
	{Header: http.Header{"X-Gitlab-Event": {"Release Hook"}}},
	{Header: http.Header{"X-Event-Key": {"repo:push"}, "X-Request-Uuid": {"1"}}},
	{Header: http.Header{"X-Event-Key": {"repo:refs_changed"}, "X-Request-Id": {"1"}}},
	{Header: http.Header{"X-Event-Key": {"diagnostics:ping"}}},
	{Source: "gitea"},
	{Source: "gitlab"},
	{Source: "bitbucket"},
	{Source: "bitbucket-server"},
	{Source: "azure-devops"},
}

func FuzzDecode(f *testing.F) {
	for _, c := range goldenCases(f) {
		for choice, in := range fuzzInputs {
			named := in.Source + SourceFromHeader(in.Header) // both, where they differ, with any body would be too many seeds
			if named == "" || named == SourceGeneric || strings.Contains(named, filepath.Dir(c.name)) {
				f.Add(uint8(choice), c.in.Body)
			}
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
		named := SourceFromHeader(in.Header)
		claimed := isGitHubs(named) && got.Source == in.Source
		if named != "" && got.Source != named && !claimed {
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
		if len(got.Events) > MaxEvents || len(got.Ignored) > maxIgnored {
			t.Fatalf("%d events and %d reasons", len(got.Events), len(got.Ignored))
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
		if len(got.Events) > 0 && (got.Source == "generic" || got.Source == "github" && got.Events[0].Type == "push") && saysDeleted(body) {
			t.Fatalf("deploys what is deleted: %+v", got.Events)
		}
		if len(got.Events) > 0 && (got.Events[0].Type == "push" || got.Events[0].Type == "tag_push") && saysGone(body) {
			t.Fatalf("deploys what is gone: %+v", got.Events)
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
	if e.Source != d.Source || e.Type == "" || strings.ContainsAny(e.Type, "\x00\n\r\t\x1b\x7f") || (d.DeliveryID != "" && e.DeliveryID != d.DeliveryID) {
		t.Fatalf("incomplete event %+v of %+v", e, d)
	}
	if e.Time.Location() != time.UTC || e.Time.Year() > 9999 || e.Time.Year() < 0 {
		t.Fatalf("time %v does not fit RFC 3339 in UTC", e.Time)
	}
	if e.Image != nil {
		checkImage(t, e)
		return
	}
	if err := ValidateRef(e.Ref); err != nil {
		t.Fatal(err)
	}
	if short, _ := ShortRef(e.Ref); short != e.Ref {
		t.Fatalf("ref %q is not short", e.Ref)
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
}

func checkImage(t *testing.T, e Event) {
	t.Helper()
	if again, err := NormalizeImage(*e.Image); err != nil || again != *e.Image {
		t.Fatalf("image %+v is not normal: %+v, %v", *e.Image, again, err)
	}
	if e.Ref == "" || e.Ref != e.Image.Tag || e.RefType != RefTypeImage || e.Repository != "" || e.Revision != "" {
		t.Fatalf("event %+v does not ask for the tag of the image %s", e, e.Image)
	}
}

// saysDeleted reports whether a JSON body has "deleted": true at its top level.
func saysDeleted(body []byte) bool {
	var v map[string]any
	return json.Unmarshal(body, &v) == nil && v["deleted"] == true
}

// saysGone reports whether a JSON body has an "after" of zeros at its top level.
func saysGone(body []byte) bool {
	var v struct{ After string }
	return json.Unmarshal(body, &v) == nil && isZeroID(v.After)
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
