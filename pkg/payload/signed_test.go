// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

// unsignedInputs returns variations of the unsigned parts of a delivery.
func unsignedInputs() []Input {
	headers := []http.Header{nil, {"Ce-Type": {"org.example.image.push"}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"1"},
		"Ce-Source": {"https://quay.io"}, "Ce-Subject": {"a/b:1"}}}
	for name, values := range map[string][]string{
		"X-GitHub-Event":      {"push", "release", "package", "registry_package", "create", "ping"},
		"X-GitHub-Event-Type": {"push", "release"},
		"X-Gitea-Event":       {"push", "release", "create"},
		"X-Gitlab-Event":      {"Push Hook", "Tag Push Hook", "Release Hook", "System Hook"},
		"X-Event-Key":         {"repo:push", "repo:refs_changed"},
		"X-Nexus-Webhook-Id":  {"rm:repository:component", "rm:repository:asset"},
		"Content-Type": {"application/json", "application/x-www-form-urlencoded",
			"application/cloudevents+json"},
		"Ce-Type":              {"zotregistry.image.updated", "harbor.artifact.pushed"},
		"X-Request-Uuid":       {"1"},
		"X-GitHub-Delivery":    {"replayed"},
		"X-Gitea-Delivery":     {"replayed"},
		"X-Gogs-Delivery":      {"replayed"},
		"X-Forgejo-Event":      {"push"},
		"X-Forgejo-Event-Type": {"release"},
	} {
		for _, value := range values {
			h := http.Header{}
			h.Set(name, value)
			headers = append(headers, h)
		}
	}
	var all []Input
	for _, h := range headers {
		for _, source := range []string{"", "github", "gitea", "generic"} {
			all = append(all, Input{Source: source, Header: h})
		}
		all = append(all, Input{Header: h, RegistryURL: "registry.evil.example.com"})
	}
	return all
}

// A client that has seen one signed body can make one request, and not another one for each header.
func TestDecodeSigned_FollowsBodyOnly(t *testing.T) {
	all := unsignedInputs()
	for _, c := range goldenCases(t) {
		var asked []postern.DeliveryEvent
		var first Input
		for _, d := range append([]Input{c.in}, all...) {
			d.Body = c.in.Body
			got, err := DecodeSigned(d)
			if err != nil || len(got.Events) == 0 {
				continue
			}
			events := withoutDeliveryIDs(got)
			if asked == nil {
				asked, first = events, d
			}
			if diff := cmp.Diff(asked, events); diff != "" {
				t.Errorf("%s: %v as %q and %v as %q differ (-first +second):\n%s",
					c.name, first.Header, first.Source, d.Header, d.Source, diff)
			}
		}
	}
}

func signs(source string) bool {
	sender, _ := Lookup(source)
	return len(sender.Signatures) > 0
}

// Deliveries of signing senders are decoded as if they were not signed, with these exceptions.
func TestDecodeSigned_RealPayloads(t *testing.T) {
	// Only a header identifies the event. The senders themselves also name it in the body, unless a template omits it.
	needMore := map[string]bool{
		"bitbucket-server/push-minimal":   true,
		"gitea/push-minimal":              true,
		"gitea/release-published-minimal": true,
		"github/form-other-fields-unused": true,
		"gitlab/push-custom-template":     true,
	}
	for _, c := range goldenCases(t) {
		plain, err := Decode(c.in)
		if err != nil || !signs(plain.Source) || c.in.RegistryURL != "" {
			continue
		}
		signed, err := DecodeSigned(c.in)
		if needMore[c.name] {
			if reason := errorReason(t, err); reason != ErrorSourceConflict {
				t.Errorf("%s: refused for %q, want %q (%v)", c.name, reason, ErrorSourceConflict, err)
			}
			continue
		}
		if diff := cmp.Diff(plain, signed); diff != "" || err != nil {
			t.Errorf("%s: %v (-plain +signed):\n%s", c.name, err, diff)
		}
	}
}

func TestDecodeSigned_OneEventAndSender(t *testing.T) {
	const (
		test = `{"ref":"refs/heads/main","before":"` + commitA + `","after":"` + commitA +
			`","sender":{"username":"m"}}`
		timed = `{"ref":"refs/heads/main","after":"` + commitA +
			`","repository":{"pushed_at":1772616645},"sender":{"login":"m"}}`
		dispatch = `{"ref":"refs/heads/old","inputs":{},"workflow":"ci.yaml","sender":{"login":"m"}}`
		alert    = `{"action":"fixed","ref":"refs/heads/old","commit_oid":"` + commitA + `","sender":{"login":"m"}}`
		deleted  = `{"ref":"old","ref_type":"branch","pusher_type":"user","sender":{"login":"m"}}`
		template = `{"ref":"refs/heads/main","after":"` + commitA + `"}`
		artifact = `{"domain":"docker","event_type":"pushed","data":{"repo_key":"r",` +
			`"path":"a/1/manifest.json","tag":"1"},"jpd_origin":"https://j.example.com"}`
	)
	for name, tt := range map[string]struct {
		in      Input
		refs    []string
		refused string
	}{
		"Gitea's test as Gitea": {Input{Header: http.Header{"X-Gitea-Event": {"push"}},
			Body: []byte(test)}, nil, ""},
		"Gitea's test as a push to GitHub": {Input{Header: gitHubHeader("push"), Body: []byte(test)}, nil,
			ErrorSourceConflict},
		"a push to GitHub": {Input{Header: gitHubHeader("push"), Body: []byte(timed)},
			[]string{"main"}, ""},
		"a push to GitHub without headers": {Input{Body: []byte(timed)}, []string{"main"}, ""},
		"a push to GitHub as one without a time": {Input{Header: http.Header{"X-Gitea-Event": {"push"}},
			Body: []byte(timed)}, nil, ErrorSourceConflict},
		"GitHub's workflow run as GitHub": {Input{Header: gitHubHeader("workflow_dispatch"),
			Body: []byte(dispatch)}, nil, ""},
		"GitHub's workflow run as a request": {Input{Body: []byte(dispatch)}, nil, ErrorUnrecognized},
		"a workflow run claimed as generic": {Input{Source: "generic", Body: []byte(dispatch)}, nil,
			ErrorSourceConflict},
		"GitHub's alert as a request": {Input{Body: []byte(alert)}, nil, ErrorUnrecognized},
		"a deleted branch as a request": {Input{Source: "generic", Body: []byte(deleted)}, nil,
			ErrorSourceConflict},
		"a template without a kind": {Input{Header: http.Header{"X-Gitlab-Event": {"Push Hook"}},
			Body: []byte(template)}, nil, ErrorSourceConflict},
		"a request": {Input{Body: []byte(`{"ref":"v1","sender":"ci"}`)}, []string{"v1"},
			""},
		"an image at its own registry": {Input{Body: []byte(artifact)}, []string{"1"}, ""},
		"an image at another registry": {Input{Body: []byte(artifact), RegistryURL: "r.example.com"}, nil,
			ErrorInvalidField},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeSigned(tt.in)
			if reason := errorReason(t, err); reason != tt.refused {
				t.Errorf("refused for %q, want %q (%v)", reason, tt.refused, err)
			}
			if diff := cmp.Diff(tt.refs, refs(got)); diff != "" {
				t.Errorf("refs (-want +got):\n%s", diff)
			}
		})
	}
}

// Nexus does not send its address and does not sign the URL. Only the configured address is trusted.
func TestDecodeSigned_ConfiguredRegistryURL(t *testing.T) {
	nexus := goldenInput(t, "nexus/created-full")
	jfrog := goldenInput(t, "jfrog/pushed-full")
	for name, tt := range map[string]struct {
		in          Input
		query, kept string
		signed      bool
		want        string // the image or the reason for the refusal
	}{
		"signed, nothing kept":  {nexus, "", "", true, ErrorInvalidField},
		"signed, the URL alone": {nexus, "evil.example.com", "", true, ErrorInvalidField},
		"signed, kept": {nexus, "", "nexus.example.com:5000\n", true,
			"nexus.example.com:5000/team/shop:1.4.0"},
		"signed, kept and the URL": {nexus, "evil.example.com", "nexus.example.com:5000", true,
			"nexus.example.com:5000/team/shop:1.4.0"},
		"signed, kept for the repository": {nexus, "", "n.example.com\n docker-hosted = nexus.example.com/hosted \n",
			true, "nexus.example.com/hosted/team/shop:1.4.0"},
		"signed, kept for another": {nexus, "", "docker-other=nexus.example.com", true, ErrorInvalidField},
		"signed, kept for another and all": {nexus, "", "docker-other=o.example.com\nnexus.example.com", true,
			"nexus.example.com/team/shop:1.4.0"},
		"signed, kept is not an address": {nexus, "", "no address", true, ErrorInvalidImage},
		"signed by JFrog, kept": {jfrog, "", "docker.example.com", true,
			"docker.example.com/team/shop:1.4.0"},
		"signed by JFrog, the URL alone": {jfrog, "evil.example.com", "", true, ErrorInvalidField},
		"whole request proved":           {nexus, "n.example.com", "", false, "n.example.com/team/shop:1.4.0"},
		"whole request proved, kept": {nexus, "", "nexus.example.com", false,
			"nexus.example.com/team/shop:1.4.0"},
		"whole request proved, both": {nexus, "n.example.com", "nexus.example.com", false,
			"n.example.com/team/shop:1.4.0"},
	} {
		t.Run(name, func(t *testing.T) {
			in, decode := tt.in, Decode
			in.RegistryURL = tt.query
			in.RegistryURLs = func(string) string { return tt.kept }
			if tt.signed {
				decode = DecodeSigned
			}
			got, err := decode(in)
			if err != nil {
				if reason := errorReason(t, err); reason != tt.want {
					t.Errorf("refused for %q: %v; want %q", reason, err, tt.want)
				}
				return
			}
			image := *got.Events[0].Image
			image.Digest = ""
			if len(got.Events) != 1 || image.String() != tt.want {
				t.Errorf("got %+v, want the image %s", got.Events, tt.want)
			}
		})
	}
}
