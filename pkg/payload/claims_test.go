// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// GitHub's webhooks can use both GitHub sources. Neither may deploy events for the other, and neither may fail on them.
func TestDecode_GitHubSourcesIgnoreEachOther(t *testing.T) {
	const (
		push  = `{"ref": "refs/heads/main", "after": "` + commitA + `"}`
		image = `{"action": "published", "package": {"package_type": "CONTAINER", "package_version": ` +
			`{"package_url": "ghcr.io/example/shop:v1", "container_metadata": {"tag": {"name": "v1"}}}}}`
		ping    = `{"zen": "calm", "hook_id": 1}`
		release = `{"action": "published", "release": {"tag_name": "v1"}}`
	)
	tests := []struct {
		claimed, event, body string
		source               string
		refs, ignored        []string
		refused              string
	}{
		{claimed: "", event: "package", body: image, source: "ghcr.io", refs: []string{"v1"}},
		{claimed: "ghcr.io", event: "package", body: image, source: "ghcr.io", refs: []string{"v1"}},
		{claimed: "ghcr.io", event: "registry_package", body: image, source: "ghcr.io", refs: []string{"v1"}},
		{claimed: "ghcr.io", event: "", body: image, source: "ghcr.io", refs: []string{"v1"}},
		{claimed: "ghcr.io", event: "ping", body: ping, source: "ghcr.io", ignored: []string{IgnoredPing}},
		{claimed: "ghcr.io", event: "push", body: push, source: "ghcr.io", ignored: []string{IgnoredEvent}},
		{claimed: "ghcr.io", event: "release", body: release, source: "ghcr.io", ignored: []string{IgnoredEvent}},
		{claimed: "ghcr.io", event: "push", body: image, source: "ghcr.io", ignored: []string{IgnoredEvent}},
		{claimed: "github", event: "package", body: image, source: "github", ignored: []string{IgnoredEvent}},
		{claimed: "github", event: "package", body: push, source: "github", ignored: []string{IgnoredEvent}},
		{claimed: "", event: "push", body: push, source: "github", refs: []string{"main"}},
		{claimed: "", event: "package", body: push, source: "ghcr.io", refused: ErrorInvalidField},
		{claimed: "ghcr.io", event: "", body: push, source: "ghcr.io", refused: ErrorSourceConflict},
		{claimed: "github", event: "", body: image, source: "github", refused: ErrorSourceConflict},
		{claimed: "docker.io", event: "package", body: image, source: "ghcr.io", refused: ErrorSourceConflict},
		{claimed: "generic", event: "package", body: image, source: "ghcr.io", refused: ErrorSourceConflict},
	}
	for _, tt := range tests {
		t.Run(tt.claimed+" "+tt.event, func(t *testing.T) {
			in := Input{Source: tt.claimed, Body: []byte(tt.body)}
			if tt.event != "" {
				in.Header = gitHubHeader(tt.event)
			}
			got, err := Decode(in)
			if reason := errorReason(t, err); reason != tt.refused {
				t.Errorf("refused for %q, want %q (%v)", reason, tt.refused, err)
			}
			if got.Source != tt.source {
				t.Errorf("source = %q, want %q", got.Source, tt.source)
			}
			if diff := cmp.Diff(tt.refs, refs(got)); diff != "" {
				t.Errorf("refs (-want +got):\n%s", diff)
			}
			var ignored []string
			for _, i := range got.Ignored {
				ignored = append(ignored, i.Reason)
			}
			if diff := cmp.Diff(tt.ignored, ignored); diff != "" {
				t.Errorf("ignored (-want +got):\n%s", diff)
			}
		})
	}
}

// An endpoint by source names the type. An image push for one sender deploys nothing when it is claimed for another.
func TestDecode_ImageOfOtherSourceIsRefused(t *testing.T) {
	for _, c := range goldenCases(t) {
		plain, err := Decode(c.in)
		if err != nil || len(plain.Events) == 0 {
			continue
		}
		for _, source := range Sources() {
			if source == plain.Source {
				continue
			}
			in := c.in
			in.Source = source
			got, _ := Decode(in)
			if len(got.Events) > 0 && (plain.Events[0].Image != nil || got.Events[0].Image != nil) {
				t.Errorf("%s sent as %s deploys %v", c.name, source, refs(got))
			}
		}
	}
}

// Only the decoder of cloudevents can read an array.
func TestDecode_BatchIsCloudEventOnly(t *testing.T) {
	for _, source := range append(Sources(), "") {
		for _, event := range []string{"", "push"} {
			in := Input{Source: source, Header: http.Header{"Content-Type": {"application/cloudevents-batch+json"}},
				Body: []byte(`[]`)}
			if event != "" {
				in.Header.Set("X-GitHub-Event", event)
			}
			got, err := Decode(in)
			isBatch := event == "" && (source == "" || source == "cloudevents")
			if (err == nil) != isBatch || len(got.Events) > 0 {
				t.Errorf("claimed %q, event %q: %+v, %v", source, event, got, err)
			}
		}
	}
}
