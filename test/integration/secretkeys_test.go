// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"testing"
)

const anyBody = `{"ref":"v1"}`

// mustDeliver and mustBeRejected fail the test unless an unauthenticated sender with this proof is accepted, or
// rejected, for a GatewaySync.
func (s sender) mustDeliver(t *testing.T, name string, p proof, wantMethod string) {
	t.Helper()
	d := s.mustPost(t, gatewaySyncPath(name), anyBody, p(anyBody), http.StatusAccepted).delivery(t)
	if d.Status.Sender.Method != wantMethod {
		t.Errorf("got method %s, want %s", d.Status.Sender.Method, wantMethod)
	}
}

func (s sender) mustBeRejected(t *testing.T, name string, p proof) {
	t.Helper()
	s.mustPost(t, gatewaySyncPath(name), anyBody, p(anyBody), http.StatusUnauthorized)
}

func TestSecrets_TokenOfAnySender(t *testing.T) {
	token, signing := newSecret(), newSecret()
	_, anonymous := guarded(t, map[string]string{"token": token, "hmac": signing}, bySignature(signing))

	for _, header := range []string{"X-Gitlab-Token", "X-Webhook-Secret", "X-Webhook-Token"} {
		t.Run(header, func(t *testing.T) {
			anonymous.mustDeliver(t, "web", byToken(header, token), "Token")
			for _, wrong := range []string{newSecret(), token[:len(token)-1], token + "x", "", "Bearer " + token,
				signing} {
				anonymous.mustBeRejected(t, "web", byToken(header, wrong))
			}
		})
	}
	// A token is not a key for signatures.
	anonymous.mustBeRejected(t, "web", bySignature(token))
	// A token is not valid in another header.
	anonymous.mustBeRejected(t, "web", byToken("X-Api-Key", token))
}

func TestSecrets_KeyOfTargetReplacesGeneral(t *testing.T) {
	ofNamespace, ofWeb := newSecret(), newSecret()
	for key, own := range map[string]struct {
		proof  proof
		method string
	}{
		"gatewaysyncs.web.hmac":  {bySignature(ofWeb), "HMAC"},
		"gatewaysyncs.web.token": {byToken("X-Webhook-Token", ofWeb), "Token"},
	} {
		t.Run(key, func(t *testing.T) {
			w, anonymous := guarded(t, map[string]string{"hmac": ofNamespace, "token": ofNamespace},
				bySignature(ofNamespace))
			w.secret(map[string]string{"hmac": ofNamespace, "token": ofNamespace, key: ofWeb})
			w.untilAccepted(anonymous, gatewaySyncPath("web"), own.proof)

			anonymous.mustDeliver(t, "web", own.proof, own.method)
			anonymous.mustBeRejected(t, "web", bySignature(ofNamespace))
			anonymous.mustBeRejected(t, "web", byToken("X-Webhook-Token", ofNamespace))

			anonymous.mustDeliver(t, "other", bySignature(ofNamespace), "HMAC")
			anonymous.mustDeliver(t, "other", byToken("X-Webhook-Token", ofNamespace), "Token")
			anonymous.mustBeRejected(t, "other", own.proof)
		})
	}
}

func TestSecrets_KeyOfApplicationIsItsOwn(t *testing.T) {
	ofNamespace, ofApplication := newSecret(), newSecret()
	w, anonymous := guarded(t, map[string]string{"hmac": ofNamespace, "applications.web.hmac": ofApplication},
		bySignature(ofNamespace))
	w.application("web", nil)
	w.allow(unauthenticated, "applications")
	w.untilAccepted(anonymous, applicationPath("web"), bySignature(ofApplication))

	anonymous.mustDeliver(t, "web", bySignature(ofNamespace), "HMAC")
	anonymous.mustBeRejected(t, "web", bySignature(ofApplication))
	anonymous.mustPost(t, applicationPath("web"), anyBody, signed(ofApplication, anyBody), http.StatusAccepted)
	anonymous.mustPost(t, applicationPath("web"), anyBody, signed(ofNamespace, anyBody), http.StatusUnauthorized)
}

func TestSecrets_KeyOfSenderIsItsOwn(t *testing.T) {
	ofAll, ofGitHub := newSecret(), newSecret()
	_, anonymous := guarded(t, map[string]string{"hmac": ofAll, "webhook.github-secret": ofGitHub}, bySignature(ofAll))

	fromGitHub := func(secret string) proof {
		return func(body string) map[string]string {
			return map[string]string{"X-Hub-Signature-256": sign(secret, body), "X-GitHub-Event": "ping"}
		}
	}
	anonymous.mustDeliver(t, "web", fromGitHub(ofGitHub), "HMAC")
	anonymous.mustDeliver(t, "web", fromGitHub(ofAll), "HMAC")
	anonymous.mustBeRejected(t, "web", bySignature(ofGitHub))
}

func TestSecrets_EmptyKeyAcceptsNothing(t *testing.T) {
	token := newSecret()
	_, anonymous := guarded(t, map[string]string{"hmac": "  \n\n", "token": token}, byToken("X-Webhook-Token", token))

	anonymous.mustBeRejected(t, "web", noProof)
	anonymous.mustBeRejected(t, "web", bySignature(""))
	anonymous.mustBeRejected(t, "web", byToken("X-Webhook-Token", ""))
}

func TestSecrets_WhiteSpaceIsTrimmed(t *testing.T) {
	secret := newSecret()
	_, anonymous := guarded(t, map[string]string{"hmac": "  " + secret + " \r\n"}, bySignature(secret))
	anonymous.mustDeliver(t, "web", bySignature(secret), "HMAC")
}

func TestSecrets_NoneRejectsAnonymous(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.allow(unauthenticated, "gatewaysyncs")
	anonymous := w.anonymous()
	w.untilRejected(anonymous, gatewaySyncPath("web"), noProof)

	anonymous.mustBeRejected(t, "web", bySignature(newSecret()))
	anonymous.mustBeRejected(t, "web", bySignature(""))
	anonymous.mustBeRejected(t, "web", byToken("X-Webhook-Token", newSecret()))
	anonymous.mustBeRejected(t, "web", byToken("X-Webhook-Token", ""))
	if got := w.annotations(gatewaySyncs, "web"); len(got) > 0 {
		t.Errorf("a rejected delivery was written: %v", got)
	}
}

func TestSecrets_OtherNamespaceIsRejected(t *testing.T) {
	ours, theirs := newSecret(), newSecret()
	_, inOurs := guarded(t, map[string]string{"hmac": ours}, bySignature(ours))
	_, inTheirs := guarded(t, map[string]string{"hmac": theirs}, bySignature(theirs))

	inOurs.mustBeRejected(t, "web", bySignature(theirs))
	inTheirs.mustBeRejected(t, "web", bySignature(ours))
	inOurs.mustDeliver(t, "web", bySignature(ours), "HMAC")
}

func TestSecrets_DeletedIsRejected(t *testing.T) {
	secret := newSecret()
	w, anonymous := guarded(t, map[string]string{"hmac": secret}, bySignature(secret))
	w.kubectl("", "delete", "secret", "postern-webhook-secrets")
	w.untilRejected(anonymous, gatewaySyncPath("web"), bySignature(secret))
}
