// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"net/http"
	"testing"

	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
)

// A webhook of a repository may be subscribed to all events. Its secret proves that GitHub sent an event of a package,
// but requests no image.
func TestReceive_PackageEventWithSecretOfRepository(t *testing.T) {
	const image = `{"action": "published", "package": {"package_type": "CONTAINER", "package_version": ` +
		`{"package_url": "ghcr.io/example/shop:v1", "container_metadata": {"tag": {"name": "v1"}}}}}`
	for name, test := range map[string]struct {
		key, claimed, event string
		source              string // empty: rejected
		events              int
	}{
		"GitHub's secret":                {"webhook.github-secret", "", "package", "github", 0},
		"the git secret":                 {"hmac", "", "registry_package", "github", 0},
		"the registry's secret":          {"webhook.ghcr-secret", "", "package", "ghcr.io", 1},
		"the target's own secret":        {"gatewaysyncs.plant.hmac", "", "package", "ghcr.io", 1},
		"GitHub's secret, as a registry": {"webhook.github-secret", "ghcr.io", "package", "", 0},
		"another secret":                 {"webhook.gitlab-secret", "", "package", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPipeline(credential.Config{RequireSecret: true})
			p.Secrets.Set("demo", map[string][]byte{test.key: []byte(secret)})
			delivery := toPlant()
			delivery.Spec.Source = test.claimed
			r := &Request{Delivery: delivery, Body: []byte(image), User: anonymous, Header: http.Header{}}
			r.Header.Set("X-GitHub-Event", test.event)
			r.Header.Set("X-Hub-Signature-256", sign(r.Body))
			err := p.receive(t.Context(), r)
			if rejected := err != nil; rejected != (test.source == "") {
				t.Fatalf("got error %v", err)
			}
			if err != nil {
				return
			}
			if delivery.Spec.Source != test.source || len(delivery.Spec.Events) != test.events {
				t.Errorf("got %d events of %s, want %d of %s", len(delivery.Spec.Events), delivery.Spec.Source,
					test.events, test.source)
			}
			if test.events == 0 && delivery.Status.Reason != payload.IgnoredEvent {
				t.Errorf("ignored for %q", delivery.Status.Reason)
			}
		})
	}
}

// Argo CD and Kargo have no event headers: only the payload shows whose secret it is.
func TestReceive_TokenOfSenderThatThePayloadShows(t *testing.T) {
	const (
		app     = `{"app": {"metadata": {"name": "web"}}, "ref": "v1"}`
		freight = `{"freight": {"commits": [{"tag": "v1"}]}}`
		request = `{"ref": "v1"}`
	)
	for name, test := range map[string]struct {
		key, body string
		source    string // empty: rejected
	}{
		"Argo CD's secret":               {"webhook.argocd-secret", app, "argocd"},
		"Kargo's secret":                 {"webhook.kargo-secret", freight, "kargo"},
		"Kargo's secret for Argo CD":     {"webhook.kargo-secret", app, ""},
		"Argo CD's secret for a request": {"webhook.argocd-secret", request, ""},
		"the target's own secret":        {"gatewaysyncs.plant.token", app, "argocd"},
		"another target's secret":        {"gatewaysyncs.other.token", app, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPipeline(credential.Config{RequireSecret: true})
			p.Secrets.Set("demo", map[string][]byte{test.key: []byte(secret)})
			r := &Request{Delivery: toPlant(), Body: []byte(test.body), User: anonymous, Header: http.Header{}}
			r.Header.Set("X-Webhook-Secret", secret)
			err := p.receive(t.Context(), r)
			if rejected := err != nil; rejected != (test.source == "") {
				t.Fatalf("got error %v", err)
			}
			if err == nil && r.Delivery.Spec.Source != test.source {
				t.Errorf("got a delivery of %s, want of %s", r.Delivery.Spec.Source, test.source)
			}
			if err != nil && r.Delivery.Status.Sender != nil {
				t.Errorf("the rejected sender is recorded as %v", r.Delivery.Status.Sender)
			}
		})
	}
}
