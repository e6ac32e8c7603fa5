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

// If the caller names the type, only the fields that are used are required.
func TestDecode_NamedSourceNeedsUsedFieldsOnly(t *testing.T) {
	for _, tt := range []struct{ source, body, want string }{
		{"quay.io", `{"repository": "acme/web", "docker_url": "quay.io/acme/web", "updated_tags": ["1"]}`,
			"quay.io/acme/web:1"},
		{"acr", `{"action": "push", "target": {"repository": "web", "tag": "1"},
			"request": {"host": "acme.azurecr.io"}}`,
			"acme.azurecr.io/web:1"},
		{"docker.io", `{"push_data": {"tag": "1"}, "repository": {"namespace": "acme", "name": "web"}}`,
			"docker.io/acme/web:1"},
		{"aliyun-acr", `{"push_data": {"tag": "1"}, "repository": {"namespace": "acme", "name": "webTest",
			"region": "cn-beijing"}}`, "registry.cn-beijing.aliyuncs.com/acme/webtest:1"},
		{"gar", `{"message": {"data": "eyJhY3Rpb24iOiJJTlNFUlQiLCJ0YWciOiJnY3IuaW8vYWNtZS93ZWI6MSJ9"}}`,
			"gcr.io/acme/web:1"},
		{"ghcr.io", `{"action": "published", "package": {"package_type": "CONTAINER", "name": "web",
			"owner": {"login": "Acme"}, "package_version": {"name": "1"}}}`, "ghcr.io/acme/web:1"},
		{"harbor", `{"type": "PUSH_ARTIFACT", "event_data": {
			"resources": [{"tag": "1", "resource_url": "h.io/acme/web:1"}],
			"repository": {"namespace": "acme", "name": "web"}}}`, "h.io/acme/web:1"},
	} {
		got, err := Decode(Input{Source: tt.source, Body: []byte(tt.body)})
		if err != nil || len(got.Events) != 1 || got.Events[0].Image.String() != tt.want {
			t.Errorf("%s: got %+v and %v, want %s", tt.source, got.Events, err, tt.want)
		}
	}
}

func TestDecode_EventGridIsForCloudEvents(t *testing.T) {
	in := goldenInput(t, "cloudevents/azure-image-pushed")
	in.Source = "acr"
	got, err := Decode(in)
	if err != nil || len(got.Events) > 0 || got.Ignored[0].Reason != IgnoredEvent {
		t.Errorf("got %+v and %v", got, err)
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

// A request is a ref and nothing that tells of another sender. Otherwise an event that lost its headers on the way
// could deploy the ref of a finding or a run.
func TestDecode_EventWithoutHeaderIsNoRequest(t *testing.T) {
	const repository = `"repository": {"id": 1, "full_name": "o/p"}`
	for name, test := range map[string]struct {
		fields  string
		request bool
	}{
		"a finding of code scanning": {`"action": "fixed", "alert": {"number": 1}, "commit_oid": "` + commitA + `", ` +
			repository + `, "sender": {"login": "m"}`, false},
		"its alert alone":           {`"alert": {"number": 1}`, false},
		"its commit alone":          {`"commit_oid": "` + commitA + `"`, false},
		"a started workflow":        {`"inputs": {}, "workflow": "ci.yaml", ` + repository, false},
		"a workflow run":            {`"workflow_run": {"id": 1}`, false},
		"a check run":               {`"check_run": {"id": 1}`, false},
		"a deployment":              {`"deployment": {"id": 1}`, false},
		"a sender":                  {`"sender": {"id": 1}`, false},
		"an actor of Bitbucket":     {`"actor": {"uuid": "1"}`, false},
		"an action on a repository": {`"action": "created", ` + repository, false},
		"a deleted branch of Gogs":  {`"ref_type": "branch", "repository": {"clone_url": "https://g.io/o/p"}`, false},
		"a cache that is synced":    {`"after": "` + commitA + `", "cache_location": "rome", ` + repository, false},
		"an event of GitLab":        {`"object_kind": "build"`, false},
		"an event of Azure DevOps":  {`"eventType": "build.complete", "publisherId": "tfs"`, false},
		"a CloudEvent":              {`"specversion": "1.0", "type": "x", "source": "/y", "id": "1"`, false},
		"a repository":              {repository, true},
		"fields of its own":         {`"action": "deploy", "deployment": "prod", "sender": "ci", "alert": 1`, true},
	} {
		for _, source := range []string{"", "generic"} {
			got, err := Decode(Input{Source: source, Body: []byte(`{"ref": "refs/heads/main", ` + test.fields + `}`)})
			if request := len(got.Events) > 0; request != test.request ||
				request != (got.Source == "generic" && err == nil) {
				t.Errorf("%s, as %q: got %+v, %v", name, source, got, err)
			}
		}
	}
}

// Whom a "ref" is from does not depend on what else the template of Argo CD or Kargo includes.
func TestDecode_RefOfTemplateKeepsItsSender(t *testing.T) {
	for body, want := range map[string]string{
		`{"app": {"metadata": {"name": "web"}}, "ref": "v1"}`:                            "argocd",
		`{"app": {"status": {"sync": {"revisions": ["` + commitA + `"]}}}, "ref": "v1"}`: "argocd",
		`{"app": {"metadata": {"annotations": {"git.ref": "v1"}}}, "ref": "v0"}`:         "argocd",
		`{"freight": {"name": "f1", "images": [{"repoURL": "r.io/o/p"}]}, "ref": "v1"}`:  "kargo",
		`{"freight": {"commits": [{"id": "` + commitA + `"}]}, "ref": "v1"}`:             "kargo",
		`{"app": "web", "freight": "f1", "ref": "v1"}`:                                   "generic",
	} {
		got, err := Decode(Input{Body: []byte(body)})
		if err != nil || got.Source != want || len(got.Events) != 1 || got.Events[0].Ref != "v1" {
			t.Errorf("%s: got %+v, %v, want v1 of %s", body, got, err, want)
		}
	}
}
