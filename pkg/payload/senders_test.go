// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSourcesAreSortedAndUnique(t *testing.T) {
	want := []string{
		"acr", "aliyun-acr", "argocd", "azure-devops", "bitbucket", "bitbucket-server", "cloudevents", "distribution", "docker.io",
		"ecr", "gar", "generic", "ghcr.io", "gitea", "github", "gitlab", "harbor", "jfrog", "kargo", "nexus", "quay.io", "zot",
	}
	if diff := cmp.Diff(want, Sources()); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if unique := slices.Compact(Sources()); len(unique) != len(Sources()) {
		t.Errorf("a source is in the table twice: %v", Sources())
	}
}

func TestSourceFromHeaderIsTheSourceOfDecode(t *testing.T) {
	tests := []struct {
		name   string
		header http.Header
		want   string
	}{
		{"nil", nil, ""},
		{"none", http.Header{"Content-Type": {"application/json"}, "User-Agent": {"GitHub-Hookshot/1"}}, ""},
		{"github", gitHubHeader("push"), "github"},
		{"github, unknown event", gitHubHeader("issues"), "github"},
		{"github, empty event", gitHubHeader(""), ""},
		{"only a delivery id", http.Header{"X-Github-Delivery": {"1"}}, ""},
		{"package", gitHubHeader("package"), "ghcr.io"},
		{"registry package", gitHubHeader("registry_package"), "ghcr.io"},
		{"nexus", http.Header{"X-Nexus-Webhook-Id": {"rm:repository:asset"}}, "nexus"},
		{"distribution", http.Header{"Content-Type": {"application/vnd.docker.distribution.events.v2+json; charset=utf-8"}}, "distribution"},
		{"CloudEvent of zot", http.Header{"Ce-Type": {"zotregistry.image.updated"}}, "zot"},
		{"CloudEvent of Harbor", http.Header{"Ce-Type": {"harbor.artifact.pushed"}}, "harbor"},
		{"CloudEvent of anyone", http.Header{"Ce-Type": {"com.example.image.pushed"}}, "cloudevents"},
		{"CloudEvent in structured mode, whose type is in the body", http.Header{"Content-Type": {"application/cloudevents+json"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := SourceFromHeader(tt.header); got != tt.want {
				t.Errorf("SourceFromHeader = %q, want %q", got, tt.want)
			}
			decoded, _ := Decode(Input{Header: tt.header, Body: []byte(`{"freight":{"commits":[{"tag":"v1"}]}}`)})
			want := tt.want
			if want == "" {
				want = "kargo"
			}
			if decoded.Source != want {
				t.Errorf("Decode took it for %q, want %q", decoded.Source, want)
			}
		})
	}
}
