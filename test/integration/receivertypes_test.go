// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// asReceived returns the registries with their authentication at the classic receiver, which has no ServiceAccounts but
// reads Authorization.
func asReceived() []registrySender {
	var senders []registrySender
	for _, s := range registrySenders {
		switch s.source {
		case "harbor", "acr":
			s.proof = byAuthorization
		case "zot":
			s.proof = byBearer
		case "cloudevents":
			if s.key == "" {
				s.proof = byWebhookSecret
			}
		}
		if s.key == "" {
			s.key, s.method = "webhook."+s.source+"-secret", "Token"
		}
		senders = append(senders, s)
	}
	return senders
}

// receive sends the registry's payload to the classic receiver, possibly under another type.
func (s registrySender) receive(t *testing.T, from sender, sourceType, secret string) (answer, error) {
	t.Helper()
	req := payload(t, s.payload)
	req.body = strings.ReplaceAll(req.body, "1.4.0", strings.TrimPrefix(s.tag, "v"))
	query := url.Values{"type": {sourceType}}
	if s.registryURL != "" {
		query.Set("registry_url", s.registryURL)
	}
	switch {
	case secret == "":
	case s.method == "QueryToken":
		query.Set("secret", secret)
	default:
		req = req.with(s.proof(secret)(req.body))
	}
	return from.post(t.Context(), "webhook?"+query.Encode(), []byte(req.body), req.header)
}

func TestReceiver_RegistriesByOwnSecret(t *testing.T) {
	s, anonymous := newReceiverSuite(t, "*")
	w, other := s.newWorld(t), s.newWorld(t)
	secrets := map[string]string{}
	for _, registry := range asReceived() {
		secrets[registry.key] = newSecret()
	}
	for _, image := range registryImages {
		for _, w := range []*world{w, other} {
			w.runningShop(image.slug, image.configured+":1.0.0", "argocd-image-updater.argoproj.io/image-list: "+
				image.configured)
		}
	}
	t.Run("a type without a secret is not handled", func(t *testing.T) {
		got, err := asReceived()[0].receive(t, anonymous, "docker.io", "")
		if err != nil {
			t.Fatal(err)
		}
		got.mustBeError(t, http.StatusBadRequest, "no type is handled, because no secret is configured")
	})
	delete(secrets, "webhook.gar-secret")
	w.secret(withNexus(secrets))
	other.secret(map[string]string{"webhook.gar-secret": newSecret(), "webhook.docker-secret": "\n"})
	const oneOf = "with one of acr, aliyun-acr, cloudevents, distribution, docker.io, ecr, gar, ghcr.io, " +
		"gitea-packages, harbor, jfrog, nexus, quay.io, zot; "
	w.eventually(func() error {
		got, err := anonymous.post(t.Context(), "webhook?type=github", []byte(useless), nil)
		if err == nil && !strings.Contains(string(got.body), oneOf) {
			err = fmt.Errorf("got %d %s", got.code, got.body)
		}
		return err
	})
	for _, registry := range asReceived() {
		secret, found := secrets[registry.key]
		if !found { // only the other namespace has it
			continue
		}
		t.Run(registry.payload, func(t *testing.T) {
			w := w.in(t)
			w.mustTurnAway(anonymous, registry, secrets)
			got, err := registry.receive(t, anonymous, registry.source, secret)
			if err != nil {
				t.Fatal(err)
			}
			var reply arrivals
			got.decode(t, &reply)
			if phase, err := reply.phase(); got.code != http.StatusOK || phase != "Applied" {
				t.Fatalf("got %d, phase %q, %v: %s", got.code, phase, err, got.body)
			}
			w.mustHold(applications, registry.image.slug, "postern.dev/requested-ref", registry.ref())
			record := w.record(reply.Deliveries[0].Delivery)
			if diff := cmp.Diff(&v1alpha1.Sender{Name: "system:anonymous", Method: registry.method},
				record.Status.Sender); diff != "" {
				t.Errorf("sender (-want +got):\n%s", diff)
			}
		})
	}
	other.mustHaveRecords()
	if got := len(w.records()); got != len(asReceived())-1 {
		t.Errorf("%d records, want one for each push", got)
	}
	if message := w.postUnwanted(anonymous,
		secrets["webhook.quay-secret"]); message != "nothing wants quay.io/example/unwanted:1.4.0" {
		t.Errorf("an image without a matching target is answered %q", message)
	}
}

// mustTurnAway fails the test if a registry is accepted without its own secret, or as another type.
func (w *world) mustTurnAway(from sender, registry registrySender, secrets map[string]string) {
	w.T.Helper()
	try := func(what, sourceType, secret string, want int) {
		w.T.Helper()
		got, err := registry.receive(w.T, from, sourceType, secret)
		if err := errors.Join(err, answeredWith(want)(got)); err != nil {
			w.T.Errorf("%s: %v", what, err)
		}
	}
	try("no secret", registry.source, "", http.StatusUnauthorized)
	try("a guess", registry.source, newSecret(), http.StatusUnauthorized)
	for _, key := range slices.Sorted(maps.Keys(secrets)) {
		if key != registry.key {
			try("the secret under "+key, registry.source, secrets[key], http.StatusUnauthorized)
		}
	}
	// Another registry's secret does not change the type of the body.
	another := asReceived()[0]
	if registry.source == another.source {
		another = asReceived()[4]
	}
	if registry.method == "QueryToken" && another.method == "QueryToken" {
		try("as another type", another.source, secrets[another.key], http.StatusBadRequest)
	}
	try("an unknown type", "absent", secrets[registry.key], http.StatusBadRequest)
}

func (w *world) record(name string) v1alpha1.WebhookDelivery {
	w.T.Helper()
	for _, d := range w.records() {
		if d.Name == name {
			return d
		}
	}
	w.T.Fatalf("there is no record %q", name)
	return v1alpha1.WebhookDelivery{}
}

// postUnwanted pushes an image that no target follows, as Quay, and returns the message of the answer.
func (w *world) postUnwanted(from sender, secret string) string {
	w.T.Helper()
	body := strings.ReplaceAll(payload(w.T, "quay.io/minimal.json").body, "example/shop", "example/unwanted")
	before := len(w.records())
	got := from.mustPost(w.T, "webhook?type=quay.io&secret="+secret, body, nil, http.StatusOK)
	var reply arrivals
	got.decode(w.T, &reply)
	if after := len(w.records()); after != before || len(reply.Deliveries) > 0 {
		w.T.Errorf("%d more records, and deliveries %v", after-before, reply.Deliveries)
	}
	return reply.Message
}
