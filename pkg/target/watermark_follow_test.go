// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/apis/postern"
)

// followers are targets that follow a branch and tags.
var followers = map[postern.TargetKind]string{
	postern.TargetGatewaySync: `{"metadata": {"name": "x", "annotations": {"postern.dev/follow-tags": "*"}},
		"spec": {"git": {"repo": "https://git.acme.io/shop", "ref": "main"}}}`,
	postern.TargetApplication: `{"metadata": {"name": "x", "annotations": {"postern.dev/follow-tags": "*"}},
		"spec": {"source": {"repoURL": "https://git.acme.io/shop", "targetRevision": "main"}}}`,
}

// atCommit returns a request that names a commit.
func atCommit(r Request) Request {
	return withEvent(r, func(e *postern.DeliveryEvent) { e.Revision = commit1 })
}

func TestWatermark_FollowedTagsByVersion(t *testing.T) {
	for _, test := range []struct {
		name     string
		requests []Request
		want     []string
		holds    string
	}{
		{"the higher one is older", []Request{pushed(tag("v1"), 10, 11), pushed(tag("v2"), 9, 12)},
			[]string{ReasonRequested, ReasonRequested}, "v2"},
		{"the lower one is newer", []Request{pushed(tag("v2"), 10, 11), pushed(tag("v1"), 12, 13)},
			[]string{ReasonRequested, ReasonNotFollowed}, "v2"},
		{"the higher one is retried", []Request{pushed(tag("v1"), 10, 11), again(pushed(tag("v2"), 9, 8))},
			[]string{ReasonRequested, ReasonRequested}, "v2"},
		{"the same one", []Request{pushed(atCommit(tag("v1")), 10, 11), pushed(atCommit(tag("v1")), 9, 8)},
			[]string{ReasonRequested, ReasonAlreadyRequested}, "v1"},
		{"a tag that was requested by name is", []Request{pushed(tag("v1"), 10, 11), event("v2", "github", 9, 12)},
			[]string{ReasonRequested, ReasonSuperseded}, "v1"},
	} {
		for kind, document := range followers {
			requests := test.requests
			if test.requests[1].Repository == "" { // in the slot of the first
				requests = []Request{
					test.requests[0], withRepository(test.requests[0].Repository, test.requests[1]),
				}
			}
			after, reasons := oneByOne(t, kind, document, requests...)
			if diff := cmp.Diff(test.want, reasons); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", kind, test.name, diff)
			}
			if got := requestedIn(parse(t, kind, after)); got != test.holds {
				t.Errorf("%s, %s: holds %q, want %q", kind, test.name, got, test.holds)
			}
		}
	}
}

func TestWatermark_FollowedBranchByTime(t *testing.T) {
	at := func(commit string, happened, received int) Request {
		return withEvent(pushed(branch("main"), happened, received),
			func(e *postern.DeliveryEvent) { e.Revision = commit })
	}
	after, reasons := oneByOne(t, postern.TargetApplication, followers[postern.TargetApplication], at("2222", 20, 21),
		at("1111", 10, 22),
		at("3333", 30, 31))
	if diff := cmp.Diff([]string{ReasonRequested, ReasonSuperseded, ReasonRequested}, reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := appOf(t, after).Annotations[AnnotationRequestedRevision]; got != "3333" {
		t.Errorf("holds commit %s", got)
	}
}

func TestWatermark_RepositoriesAreIndependent(t *testing.T) {
	const document = `{"metadata": {"annotations": {"postern.dev/update-target-revision": "true"}},
		"spec": {"sources": [{"repoURL": "https://git.acme.io/shop.git", "targetRevision": "v0"},
			{"repoURL": "https://git.acme.io/values.git", "targetRevision": "v0"}]}}`
	of := withRepository
	after, reasons := oneByOne(t, postern.TargetApplication, document,
		of(shop, event("v3", "github", 30, 31)), of(values, event("v2", "github", 20, 32)),
		of(shop, event("v1", "github", 10, 33)), of(values, event("v1", "github", 10, 34)))
	if diff := cmp.Diff([]string{ReasonRequested, ReasonRequested, ReasonSuperseded, ReasonSuperseded},
		reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var revisions []string
	app := appOf(t, after)
	for _, source := range app.Spec.Sources {
		revisions = append(revisions, *source.TargetRevision)
	}
	if diff := cmp.Diff([]string{"v3", "v2"}, revisions); diff != "" {
		t.Errorf("revisions (-want +got):\n%s", diff)
	}
	want := watermarkSet{
		"git/git.acme.io/shop":   event("", "github", 30, 31).watermark(),
		"git/git.acme.io/values": event("", "github", 20, 32).watermark(),
	}
	ignored := cmpopts.IgnoreFields(watermark{}, "Wrote")
	if diff := cmp.Diff(want, parseWatermarks(app.Annotations), ignored); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// Requests without a repository, such as from CI jobs, and requests with one compete if there is only one source.
func TestWatermark_RefYieldsToLaterReceipt(t *testing.T) {
	ofShop := func(r Request) Request { return withRepository("https://git.acme.io/shop", r) }
	const (
		one  = `{"metadata": {"name": "x"}, "spec": {"source": {"repoURL": "https://git.acme.io/shop"}}}`
		many = `{"metadata": {"name": "x"}, "spec": {"sources": [{"repoURL": "https://git.acme.io/shop"}, ` +
			`{"repoURL": "https://git.acme.io/web"}]}}`
	)
	for _, test := range []struct {
		name, document string
		written, r     Request
		want           string
	}{
		{"without, after one with", one, ofShop(event("v2", "github", 0, 20)), event("v1", "generic", 0, 10),
			ReasonSuperseded},
		{"with, after one without", one, event("v2", "generic", 0, 20), ofShop(event("v1", "github", 0, 10)),
			ReasonSuperseded},
		{"received later", one, event("v1", "generic", 0, 10), ofShop(event("v2", "github", 0, 20)), ReasonRequested},
		{"happened later", one, event("v1", "github", 5, 20), ofShop(event("v2", "github", 6, 10)), ReasonRequested},
		{"happened before, received later", one, event("v1", "github", 6, 10), ofShop(event("v2", "github", 5, 20)),
			ReasonRequested},
		{"several sources", many, event("v2", "generic", 0, 20), ofShop(event("v1", "github", 0, 10)), ReasonRequested},
	} {
		_, reasons := oneByOne(t, postern.TargetApplication, test.document, test.written, again(test.r))
		if reasons[1] != test.want {
			t.Errorf("%s: got reason %q, want %q", test.name, reasons[1], test.want)
		}
		if _, reasons = oneByOne(t, postern.TargetApplication, test.document, test.written,
			test.r); reasons[1] != test.want {
			t.Errorf("%s, for the first time: got reason %q", test.name, reasons[1])
		}
	}
}
