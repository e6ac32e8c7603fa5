// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Images in the payloads of package payload.
var (
	atDockerHub     = fleetImage{"docker-hub", "example/shop", "docker.io/example/shop"}
	atGHCR          = imageAt("ghcr", "ghcr.io/example/shop")
	atGiteaPackages = imageAt("gitea", "gitea.example.com/team/shop")
	atHarbor        = imageAt("harbor", "harbor.example.com/team/shop")
	atQuay          = imageAt("quay", "quay.io/example/shop")
	atAliyun        = imageAt("aliyun", "registry.cn-hangzhou.aliyuncs.com/team/shop")
	atACR           = imageAt("acr", "example.azurecr.io/team/shop")
	atECR           = imageAt("ecr", "111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop")
	atDistribution  = imageAt("distribution", "registry.example.com:5000/team/shop")
	atZot           = imageAt("zot", "zot.example.com:5000/team/shop")
	atGAR           = imageAt("gar", "europe-west3-docker.pkg.dev/example/team/shop")
	atJFrog         = imageAt("jfrog", "example.jfrog.io/docker-local/team/shop")
	atNexus         = imageAt("nexus", "nexus.example.com:8082/team/shop")

	registryImages = []fleetImage{
		atDockerHub, atGHCR, atGiteaPackages, atHarbor, atQuay, atAliyun, atACR, atECR, atDistribution, atZot, atGAR,
		atJFrog, atNexus,
	}
)

// pushedDigest is the digest in all payloads that have one.
const pushedDigest = "sha256:4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e"

// registrySender is a registry that sends pushes, with its authentication.
type registrySender struct {
	source, payload string
	image           fleetImage
	// tag replaces 1.4.0, the tag in the payload. It must increase from one sender of an image to the next.
	tag string
	// digest is true if the payload has the digest.
	digest      bool
	registryURL string
	// key is the key of the sender's secret, and method the resulting authentication method.
	key, method string
	// proof returns the headers; nil if there are none.
	proof func(secret string) proof
}

var registrySenders = []registrySender{
	{source: "docker.io", payload: "docker.io/full.json", image: atDockerHub, tag: "1.4.0",
		key: "webhook.docker-secret", method: "QueryToken"},
	{source: "ghcr.io", payload: "ghcr.io/package-full.json", image: atGHCR, tag: "v1.4.0", digest: true,
		key: "webhook.ghcr-secret", method: "HMAC", proof: bySignature},
	{source: "gitea-packages", payload: "gitea-packages/created-full.json", image: atGiteaPackages, tag: "1.4.0",
		key: "webhook.gitea-packages-secret", method: "HMAC", proof: bySignature},
	{source: "harbor", payload: "harbor/push-full.json", image: atHarbor, tag: "1.4.0", digest: true,
		method: "ServiceAccount"},
	{source: "harbor", payload: "harbor/cloudevent-binary.json", image: atHarbor, tag: "1.5.0", digest: true,
		method: "ServiceAccount"},
	{source: "quay.io", payload: "quay.io/minimal.json", image: atQuay, tag: "1.4.0",
		key: "webhook.quay-secret", method: "QueryToken"},
	{source: "aliyun-acr", payload: "aliyun-acr/full.json", image: atAliyun, tag: "1.4.0", digest: true,
		key: "webhook.aliyun-acr-secret", method: "QueryToken"},
	{source: "acr", payload: "acr/push-full.json", image: atACR, tag: "1.4.0", digest: true,
		key: "webhook.acr-secret", method: "Token", proof: byWebhookSecret},
	{source: "cloudevents", payload: "cloudevents/ecr-full.json", image: atECR, tag: "1.4.0", digest: true,
		key: "webhook.cloudevents-secret", method: "Token", proof: byWebhookSecret},
	{source: "cloudevents", payload: "cloudevents/binary.json", image: atECR, tag: "1.5.0", method: "ServiceAccount"},
	{source: "cloudevents", payload: "cloudevents/batch.json", image: atECR, tag: "1.6.0", digest: true,
		key: "webhook.cloudevents-secret", method: "QueryToken"},
	{source: "ecr", payload: "ecr/push-full.json", image: atECR, tag: "1.7.0", digest: true,
		key: "webhook.ecr-secret", method: "Token", proof: byWebhookSecret},
	{source: "distribution", payload: "distribution/push-full.json", image: atDistribution, tag: "1.4.0", digest: true,
		key: "webhook.distribution-secret", method: "Token", proof: byWebhookSecret},
	{source: "cloudevents", payload: "cloudevents/cdevents-published-port.json", image: atDistribution, tag: "1.5.0",
		method: "ServiceAccount"},
	{source: "zot", payload: "zot/updated-full.json", image: atZot, tag: "1.4.0", digest: true,
		registryURL: "zot.example.com:5000", method: "ServiceAccount"},
	{source: "gar", payload: "gar/insert-full.json", image: atGAR, tag: "1.4.0", digest: true,
		key: "webhook.gar-secret", method: "QueryToken"},
	{source: "jfrog", payload: "jfrog/pushed-full.json", image: atJFrog, tag: "1.4.0", digest: true,
		key: "webhook.jfrog-secret", method: "HMAC", proof: byJFrogSignature},
	{source: "nexus", payload: "nexus/created-full.json", image: atNexus, tag: "1.4.0",
		key: "webhook.nexus-secret", method: "HMAC", proof: byNexusSignature},
}

func byWebhookSecret(secret string) proof { return byToken("X-Webhook-Secret", secret) }

func byJFrogSignature(secret string) proof {
	return func(body string) map[string]string {
		return map[string]string{"X-Jfrog-Event-Auth": strings.TrimPrefix(sign(secret, body), "sha256=")}
	}
}

// byNexusSignature signs with SHA-1, as Nexus does.
func byNexusSignature(secret string) proof {
	return func(body string) map[string]string {
		mac := hmac.New(sha1.New, []byte(secret))
		mac.Write([]byte(body))
		digits := hex.EncodeToString(mac.Sum(nil))
		signatures.remember(digits)
		return map[string]string{"X-Nexus-Webhook-Signature": digits}
	}
}

// sourcePath returns the by-source path of a type of sender.
func sourcePath(source string) string { return "webhooksources/" + source + "/webhookdeliveries" }

// registries are the senders of the table in one world, with a secret for each that uses one.
type registries struct {
	secrets                map[string]string
	withAccount, anonymous sender
}

// registries permits unauthenticated senders, and a ServiceAccount, to deliver by source to the namespace.
func (w *world) registries() registries {
	w.T.Helper()
	r := registries{secrets: map[string]string{}, anonymous: w.anonymous()}
	for _, s := range registrySenders {
		if s.key != "" {
			r.secrets[s.key] = newSecret()
		}
	}
	w.secret(withNexus(r.secrets))
	w.allow(unauthenticated, "webhooksources")
	subject, token := w.serviceAccount("registry")
	w.allow(subject, "webhooksources")
	r.withAccount = w.sender(token)
	return r
}

// withNexus adds Nexus' URL to secrets, because signed payloads do not have it.
func withNexus(secrets map[string]string) map[string]string {
	data := maps.Clone(secrets)
	data["webhook.nexus-registry-url"] = "docker-hosted=nexus.example.com:8082\nelsewhere.example.com"
	return data
}

// untilAccepted waits until Postern has the secret of a sender. Nothing is delivered.
func (r registries) untilAccepted(w *world, s registrySender) {
	w.T.Helper()
	if s.key == "" {
		return
	}
	path, shown := sourcePath(s.source), noProof
	switch {
	case s.method == "QueryToken":
		path += "?secret=" + r.secrets[s.key]
	case s.proof != nil:
		shown = s.proof(r.secrets[s.key])
	}
	w.untilAccepted(r.anonymous, path, shown)
}

// pushDry makes a dry run of the registry's push, which needs an identity.
func (r registries) pushDry(t *testing.T, s registrySender) (answer, error) {
	t.Helper()
	s.key, s.proof, s.method = "", nil, "ServiceAccount"
	return r.push(t, s, url.Values{"dryRun": {"All"}})
}

// push sends the registry's push, with more pairs in the query.
func (r registries) push(t *testing.T, s registrySender, query url.Values) (answer, error) {
	t.Helper()
	req := payload(t, s.payload)
	req.body = strings.ReplaceAll(req.body, "1.4.0", strings.TrimPrefix(s.tag, "v"))
	from := r.withAccount
	if s.key != "" {
		from = r.anonymous
	}
	if s.proof != nil {
		req = req.with(s.proof(r.secrets[s.key])(req.body))
	}
	if s.registryURL != "" {
		query.Set("registry_url", s.registryURL)
	}
	if s.method == "QueryToken" {
		query.Set("secret", r.secrets[s.key])
	}
	return from.post(t.Context(), sourcePath(s.source)+"?"+query.Encode(), []byte(req.body), req.header)
}

func (s registrySender) ref() string {
	if s.digest {
		return s.image.full + ":" + s.tag + "@" + pushedDigest
	}
	return s.image.full + ":" + s.tag
}

func TestSenders_SecretOfOneRegistryOnly(t *testing.T) {
	w := newWorld(t)
	w.runningShop("shop", "example/shop:1.0.0", "argocd-image-updater.argoproj.io/image-list: example/shop")
	senders := w.registries()
	before := w.Get(applications, "shop")
	swapped := registries{secrets: map[string]string{}, anonymous: senders.anonymous}
	for _, s := range registrySenders {
		for key, secret := range senders.secrets {
			if key != s.key {
				swapped.secrets[s.key] = secret
			}
		}
	}
	for _, s := range registrySenders {
		if s.key == "" {
			continue
		}
		t.Run(s.payload, func(t *testing.T) {
			senders.untilAccepted(w.in(t), s)
			for name, impostor := range map[string]registries{
				"another's secret": swapped,
				"a guess":          {secrets: map[string]string{s.key: newSecret()}, anonymous: senders.anonymous},
				"no secret":        {anonymous: senders.anonymous},
			} {
				got, err := impostor.push(t, s, url.Values{})
				if err := errors.Join(err, answeredWith(http.StatusUnauthorized)(got)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	w.mustBeUntouched(applications, before)
	w.mustHaveRecords()
}
