// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/target"
)

const (
	// packaged is GitHub's payload for a push to its registry.
	packaged = `{"action":"published","package":{"package_type":"CONTAINER",` +
		`"package_version":{"package_url":"ghcr.io/acme/shop:2.0.0",` +
		`"container_metadata":{"tag":{"name":"2.0.0"}}}}}`
	// promoted is Kargo's payload for a promotion.
	promoted = `{"freight":{"commits":[{"tag":"v2.0.0"}]}}`
)

// docker is Docker Hub's payload for a push.
const docker = `{"push_data":{"tag":"2.0.0"},"repository":{"repo_name":"acme/shop"}}`

// A signature with a key for git hosts is not valid for a registry, even if only the body identifies the source.
func TestReceive_SenderByShapeIsVerified(t *testing.T) {
	for name, test := range map[string]struct{ namespace, body, want string }{
		"a registry that signs, by a key for git hosts":    {"demo", packaged, "SignatureMismatch"},
		"a registry that signs, by the target's own key":   {"own", packaged, "HMAC"},
		"a registry that does not, by a key for git hosts": {"demo", docker, "SignatureNotCounted"},
		"a registry that does not, by the target's own":    {"own", docker, "SignatureNotCounted"},
		"a git host, by a key for git hosts":               {"demo", pushed, "HMAC"},
		"a tool that does not sign":                        {"demo", promoted, "SignatureNotCounted"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newDefaultPipeline()
			p.Secrets.Set("demo", map[string][]byte{"hmac": []byte(secret), "webhook.ghcr-secret": []byte("another")})
			p.Secrets.Set("own", map[string][]byte{"gatewaysyncs.plant.hmac": []byte(secret)})
			d := toPlant()
			d.Namespace = test.namespace
			header := http.Header{"X-Hub-Signature-256": {sign([]byte(test.body))}}
			_, err := p.Deliver(t.Context(), d, Request{Header: header, Body: []byte(test.body)}, false)
			if got := verdict(t, d, err); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if err != nil && (answered(t, err).Code != http.StatusUnauthorized || len(p.journal) > 0) {
				t.Errorf("answered %v after %q", err, p.journal)
			}
		})
	}
}

// The method is the one that was verified with the sender's own key.
func TestReceive_MethodOfSenderByShape(t *testing.T) {
	p := newPipeline(credential.Config{RequireSecret: true})
	p.Secrets.Set("demo", map[string][]byte{"token": []byte("t"), "webhook.ghcr-secret": []byte(secret)})
	d := toPlant()
	err := p.receiveOnly(t.Context(), d, Request{
		Header: http.Header{
			"X-Webhook-Token": {"t"}, "X-Hub-Signature-256": {sign([]byte(packaged))},
		}, Body: []byte(packaged),
	})
	if got := verdict(t, d, err); got != "HMAC" {
		t.Errorf("got %s, want HMAC", got)
	}
	if got := d.Status.Conditions[0].Reason; len(d.Status.Conditions) != 1 || got != "HMAC" {
		t.Errorf("conditions %v, want Verified by HMAC", d.Status.Conditions)
	}
}

func TestReceive_ImageObject(t *testing.T) {
	d := toAll()
	d.Spec.Image, d.Spec.Ref = "nginx", "1.2.3"
	if err := newDefaultPipeline().ReceiveObject(t.Context(), d, ci, "", false); err != nil {
		t.Fatal(err)
	}
	want := postern.WebhookDeliverySpec{
		Source: "generic", Ref: "1.2.3", Image: "nginx",
		Events: []postern.DeliveryEvent{{
			Source: "generic", Event: "request", Ref: "1.2.3", RefType: postern.RefTypeImage,
			Image: &postern.ImageReference{Host: "docker.io", Repository: "library/nginx", Tag: "1.2.3"},
		}},
	}
	if diff := cmp.Diff(want, d.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if d.Status.Payload != nil {
		t.Errorf("got the payload %v", d.Status.Payload)
	}
}

// The default branch must reach the targets that follow HEAD.
func TestReceive_DefaultBranchReachesTarget(t *testing.T) {
	const body = `{"ref":"refs/heads/main","after":"` + revision +
		`","repository":{"clone_url":"https://git.example.com/a.git","default_branch":"main"}}`
	p := newDefaultPipeline()
	var asked target.Request
	p.matches = func(r target.Request) ([]target.Match, error) { asked = r; return nil, nil }
	_, err := p.Deliver(t.Context(), toAll(),
		Request{Header: http.Header{"X-Github-Event": {"push"}}, Body: []byte(body), User: ci}, false)
	if err != nil {
		t.Fatal(err)
	}
	want := target.Request{
		DeliveryEvent: &postern.DeliveryEvent{
			Source: "github", Event: "push", Ref: "main", RefType: postern.RefTypeBranch, DefaultBranch: true,
			Revision: revision, Repository: "https://git.example.com/a.git",
		},
		IfFollowed: true, At: now,
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}
