// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"slices"
	"testing"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

func TestApplicationSource_Repository(t *testing.T) {
	for _, tc := range []struct{ repoURL, chart, want string }{
		{"https://git.example.com/acme/shop.git", "", "https://git.example.com/acme/shop.git"},
		{"https://charts.example.com", "shop", "https://charts.example.com"},
		{"ghcr.io/acme/charts", "shop", "oci://ghcr.io/acme/charts/shop"},
		{"ghcr.io/acme/charts/", "team/shop", "oci://ghcr.io/acme/charts/team/shop"},
		{"oci://ghcr.io/acme/charts", "shop", "oci://ghcr.io/acme/charts/shop"},
		{"oci://ghcr.io/acme/charts/shop", "", "oci://ghcr.io/acme/charts/shop"},
	} {
		source := appSource{ApplicationSource: argov1alpha1.ApplicationSource{RepoURL: tc.repoURL, Chart: tc.chart}}
		if got := source.repository(); got != tc.want {
			t.Errorf("repository() of %q and %q is %q, want %q", tc.repoURL, tc.chart, got, tc.want)
		}
	}
}

func chart(repoURL, name, revision string) argov1alpha1.ApplicationSource {
	s := argov1alpha1.ApplicationSource{RepoURL: repoURL, Chart: name}
	if revision != "" {
		s.TargetRevision = &revision
	}
	return s
}

// chartVersion returns a request for a version of the chart "shop" in ghcr.io/acme/charts.
func chartVersion(version string) Request {
	return Request{DeliveryEvent: &postern.DeliveryEvent{Ref: version, RefType: postern.RefTypeTag,
		Repository: "oci://ghcr.io/acme/charts/shop", Source: "harbor"}}
}

// The owner's constraint is for the tags of the git repository next to the chart.
func TestDecide_ChartIgnoresFollowTags(t *testing.T) {
	for _, chart := range []argov1alpha1.ApplicationSource{
		chart("ghcr.io/acme/charts", "shop", "1.2.3"), chart("oci://ghcr.io/acme/charts/shop", "", "1.2.3"),
	} {
		app := applicationOf(map[string]string{AnnotationFollowTags: ">=1", AnnotationUpdateTargetRevision: "true"},
			source(shop, "v1.0.0"), chart)
		if d := decide(t, app, chartVersion("5.0.0")); d.Reason != ReasonNotFollowed {
			t.Errorf("%s %s: a pinned chart got %s: %s", chart.RepoURL, chart.Chart, d.Reason, d.Message)
		}
		d := decide(t, app, ifFollowed(withRepository(shop, tag("v5.0.0"))))
		want := Change{Field: "spec.sources[0].targetRevision", Old: "v1.0.0", New: "v5.0.0"}
		if !slices.Contains(d.Changes, want) {
			t.Errorf("a tag of git got %s: %v", d.Reason, d.Changes)
		}
	}
}

// The highest version of a range is the one in effect, no matter which arrives last.
func TestWriter_ChartsAtOnce(t *testing.T) {
	app := applicationOf(nil, chart("ghcr.io/acme/charts", "shop", "1.x"))
	app.Namespace, app.Name, app.ResourceVersion = shopKey.Namespace, shopKey.Name, "1"
	api := newFakeAPIServer(t, encode(t, app))
	api.path = "/apis/argoproj.io/v1alpha1/namespaces/demo/applications/shop"
	w, _ := newTestWriter(t, api, nil)
	requests := []Request{chartVersion("1.3.0"), chartVersion("1.2.0")}
	for i := range requests {
		requests[i].At, requests[i].Received = noon, minute(i+1)
	}
	results := w.writeBatch(t.Context(), shopKey, requests)
	if results[0].Reason != ReasonRequested || results[1].Reason != ReasonNotFollowed {
		t.Errorf("got %+v", results)
	}
}

func TestDecide_Chart(t *testing.T) {
	for _, tc := range []struct {
		name   string
		source argov1alpha1.ApplicationSource
		reason string
	}{
		{"a range", chart("ghcr.io/acme/charts", "shop", "1.x"), ReasonRequested},
		{"the version", chart("ghcr.io/acme/charts", "shop", "1.2.0"), ReasonRequested},
		{"any version", chart("ghcr.io/acme/charts", "shop", ""), ReasonRequested},
		{"a URL of OCI", chart("oci://ghcr.io/acme/charts/shop", "", "~1.2"), ReasonRequested},
		{"another version", chart("ghcr.io/acme/charts", "shop", "1.1.0"), ReasonNotFollowed},
		{"another range", chart("ghcr.io/acme/charts", "shop", "2.x"), ReasonNotFollowed},
		{"another chart", chart("ghcr.io/acme/charts", "web", "1.x"), ReasonNotFollowed},
		{"another registry", chart("quay.io/acme/charts", "shop", "1.x"), ReasonNotFollowed},
		{"a git repository of that name", chart("https://ghcr.io/acme/charts/shop", "", "1.x"), ReasonNotFollowed},
		{"a chart repository without OCI", chart("https://ghcr.io/acme/charts", "shop", "1.x"), ReasonNotFollowed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			app := &argov1alpha1.Application{Spec: argov1alpha1.ApplicationSpec{Source: &tc.source}}
			r := chartVersion("1.2.0")
			follows, err := applicationKind{}.follows(app, r)
			if err != nil || follows != (tc.reason == ReasonRequested) {
				t.Errorf("follows() = %v, %v", follows, err)
			}
			d := applicationKind{}.decide(app, r, &planState{})
			if d.Reason != tc.reason {
				t.Errorf("the reason is %s, want %s: %s", d.Reason, tc.reason, d.Message)
			}
			for _, o := range d.Patch {
				if o.Path == "/spec/source/targetRevision" && !o.isTest() {
					t.Errorf("targetRevision is written: %+v", o)
				}
			}
		})
	}
}
