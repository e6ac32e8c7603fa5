// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	lampKey   = "light the lamp at dusk, not dawn"
	messageID = "8e5f-1"
)

// noon is the current time of the verifiers in these tests.
var noon = time.Unix(1772616645, 0)

func atNoon(data map[string]string) *Verifier {
	return NewVerifier(Config{RequireSecret: true, Now: func() time.Time { return noon }}, secretsWith(data))
}

// unix formats a time for Webhook-Timestamp.
func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// messageHeader returns the headers that GitLab sends with a signing token.
func messageHeader(id, timestamp, signatures string) http.Header {
	return header("X-Gitlab-Event", "Push Hook", "Webhook-Id", id, "Webhook-Timestamp", timestamp, "Webhook-Signature",
		signatures)
}

func TestSigningToken_Verifies(t *testing.T) {
	const body = `{"object_kind":"push"}`
	now := unix(noon)
	right := signMessage(lampKey, messageID, now, body)
	other := signMessage("other", messageID, now, body)
	v := atNoon(map[string]string{"hmac": "plain\n" + signingToken(lampKey)})
	for _, tc := range []struct {
		name       string
		id         string // default: messageID
		timestamp  string // default: now
		signatures string
		accepted   bool
		reason     Reason
	}{
		{name: "right", signatures: "v1," + right, accepted: true},
		{name: "right one last", signatures: "v1," + other + " v1," + right, accepted: true},
		{name: "right one among other versions", signatures: "v1a," + right + " v2,x v1," + right, accepted: true},
		{name: "right one among malformed ones", signatures: "v1,x  v1, v1," + right, accepted: true},

		{name: "by another key", signatures: "v1," + other, reason: ReasonSignatureMismatch},
		{name: "by the text of the signing token", signatures: "v1," +
			signMessage(signingToken(lampKey), messageID, now, body), reason: ReasonSignatureMismatch},
		{name: "by a secret that is not a signing token", signatures: "v1," +
			signMessage("plain", messageID, now, body), reason: ReasonSignatureMismatch},
		{name: "by the empty key", signatures: "v1," + signMessage("", messageID, now, body),
			reason: ReasonSignatureMismatch},
		{name: "of another body", signatures: "v1," + signMessage(lampKey, messageID, now, body+" "),
			reason: ReasonSignatureMismatch},
		{name: "of another id", id: "8e5f-2", signatures: "v1," + right, reason: ReasonSignatureMismatch},
		{name: "of another time", timestamp: unix(noon.Add(time.Second)), signatures: "v1," + right,
			reason: ReasonSignatureMismatch},
		{name: "time in another spelling", timestamp: "0" + now, signatures: "v1," + right,
			reason: ReasonSignatureMismatch},

		{name: "empty", signatures: "", reason: ReasonMalformedSignature},
		{name: "no version", signatures: right, reason: ReasonMalformedSignature},
		{name: "version alone", signatures: "v1,", reason: ReasonMalformedSignature},
		{name: "version in upper case", signatures: "V1," + right, reason: ReasonMalformedSignature},
		{name: "public-key version only", signatures: "v1a," + right, reason: ReasonMalformedSignature},
		{name: "hexadecimal", signatures: "v1," + sign(lampKey, body), reason: ReasonMalformedSignature},
		{name: "truncated", signatures: "v1," + right[:43], reason: ReasonMalformedSignature},
		{name: "truncated and padded", signatures: "v1," + right[:42] + "==", reason: ReasonSignatureMismatch},
		{name: "separated by a comma", signatures: "v1," + other + ",v1," + right, reason: ReasonMalformedSignature},
		{name: "too many", signatures: strings.Repeat("v1,"+other+" ", maxMessageSignatures) + "v1," + right,
			reason: ReasonMalformedSignature},
		{name: "id with a dot", id: messageID + ".1", signatures: "v1," +
			signMessage(lampKey, messageID+".1", now, body), reason: ReasonMalformedSignature},
		{name: "time that is not a number", timestamp: "noon", signatures: "v1," +
			signMessage(lampKey, messageID, "noon", body), reason: ReasonMalformedSignature},
		{name: "time with a sign", timestamp: "+" + now, signatures: "v1," +
			signMessage(lampKey, messageID, "+"+now, body), reason: ReasonMalformedSignature},
		{name: "time with a fraction", timestamp: now + ".0", signatures: "v1," +
			signMessage(lampKey, messageID, now+".0", body), reason: ReasonMalformedSignature},
		{name: "time that overflows", timestamp: strings.Repeat("9", 30), signatures: "v1," + right,
			reason: ReasonMalformedSignature},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.id == "" {
				tc.id = messageID
			}
			if tc.timestamp == "" {
				tc.timestamp = now
			}
			a := Attempt{Namespace: namespace, Header: messageHeader(tc.id, tc.timestamp, tc.signatures),
				Body: []byte(body)}
			method, reason := verify(t, v, a)
			if accepted := method == MethodHMAC; accepted != tc.accepted || reason != tc.reason {
				t.Errorf("got method %q, reason %q; want accepted %v, reason %q", method, reason, tc.accepted,
					tc.reason)
			}
		})
	}
}

func TestSigningToken_ValidForFiveMinutes(t *testing.T) {
	v := atNoon(map[string]string{"hmac": signingToken(lampKey)})
	for _, tc := range []struct {
		name   string
		age    time.Duration
		reason Reason
	}{
		{"new", 0, ""},
		{"five minutes old", 5 * time.Minute, ""},
		{"five minutes ahead", -5 * time.Minute, ""},
		{"replayed a second too late", 5*time.Minute + time.Second, ReasonTimestampOutOfWindow},
		{"a second too far ahead", -5*time.Minute - time.Second, ReasonTimestampOutOfWindow},
		{"replayed a year later", 365 * 24 * time.Hour, ReasonTimestampOutOfWindow},
		{"of 1970", time.Duration(noon.Unix()) * time.Second, ReasonTimestampOutOfWindow},
		{"of the year 2262", -time.Duration(1<<33-noon.Unix()) * time.Second, ReasonTimestampOutOfWindow},
	} {
		t.Run(tc.name, func(t *testing.T) {
			timestamp := unix(noon.Add(-tc.age))
			h := messageHeader(messageID, timestamp, "v1,"+signMessage(lampKey, messageID, timestamp, "{}"))
			if _, reason := verify(t, v, Attempt{Namespace: namespace, Header: h,
				Body: []byte("{}")}); reason != tc.reason {
				t.Errorf("got reason %q, want %q", reason, tc.reason)
			}
		})
	}
}

func TestSigningToken_FarFutureDoesNotOverflow(t *testing.T) {
	v := atNoon(map[string]string{"hmac": signingToken(lampKey)})
	for _, timestamp := range []string{"9223372036854775807", "9223371966579724800", "253402300799"} {
		h := messageHeader(messageID, timestamp, "v1,"+signMessage(lampKey, messageID, timestamp, "{}"))
		if _, reason := verify(t, v, Attempt{Namespace: namespace, Header: h,
			Body: []byte("{}")}); reason != ReasonTimestampOutOfWindow {
			t.Errorf("%s: got reason %q, want %q", timestamp, reason, ReasonTimestampOutOfWindow)
		}
	}
}

// The MAC was made with OpenSSL: printf '%s' ID.TIME.BODY | openssl dgst -sha256 -mac HMAC -macopt hexkey:… | base64.
func TestSigningToken_ReferenceMessage(t *testing.T) {
	v := atNoon(map[string]string{"webhook.gitlab-secret": "whsec_bGlnaHQgdGhlIGxhbXAgYXQgZHVzaywgbm90IGRhd24=\n"})
	method, reason := verify(t, v, Attempt{
		Namespace: namespace,
		Source:    "gitlab",
		Header:    messageHeader("8e5f-1", "1772616645", "v1,zW5f/ed/wDluDHZeaqrb75qVoiKetSjWqWTOt5Dhdpw="),
		Body:      []byte(`{"ref":"refs/heads/main"}`),
	})
	if method != MethodHMAC || reason != "" {
		t.Errorf("got method %q, reason %q; want %q", method, reason, MethodHMAC)
	}
}

func TestSigningToken_AppliesLikeHMACKey(t *testing.T) {
	token := signingToken(lampKey)
	web := &Target{Resource: "gatewaysyncs", Name: "web"}
	for _, tc := range []struct {
		name   string
		data   map[string]string
		source string
		reason Reason
	}{
		{name: "namespace-wide", data: map[string]string{"hmac": token}, source: "gitlab"},
		{name: "being rotated", data: map[string]string{"hmac": signingToken("old") + "\n" + token}, source: "gitlab"},
		{name: "the target's", data: map[string]string{"gatewaysyncs.web.hmac": token}, source: "gitlab"},
		{name: "the source's", data: map[string]string{"webhook.gitlab-secret": token}, source: "gitlab"},
		{name: "the source's, with an unknown sender", data: map[string]string{"webhook.gitlab-secret": token},
			reason: ReasonNoSecretConfigured},
		{name: "another source's", data: map[string]string{"webhook.gitea-secret": token}, source: "gitlab",
			reason: ReasonNoSecretConfigured},
		{name: "another target's", data: map[string]string{"gatewaysyncs.api.hmac": token}, source: "gitlab",
			reason: ReasonNoSecretConfigured},
		{name: "a token", data: map[string]string{"token": token}, source: "gitlab", reason: ReasonNoSecretConfigured},
		{name: "only secrets that are not signing tokens", data: map[string]string{"hmac": lampKey}, source: "gitlab",
			reason: ReasonNoSecretConfigured},
		{name: "no prefix", data: map[string]string{"hmac": strings.TrimPrefix(token, "whsec_")}, source: "gitlab",
			reason: ReasonNoSecretConfigured},
		{name: "not base64", data: map[string]string{"hmac": "whsec_" + lampKey}, source: "gitlab",
			reason: ReasonNoSecretConfigured},
		{name: "no key in it", data: map[string]string{"hmac": "whsec_"}, source: "gitlab",
			reason: ReasonNoSecretConfigured},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := messageHeader(messageID, unix(noon), "v1,"+signMessage(lampKey, messageID, unix(noon), "{}"))
			a := Attempt{Namespace: namespace, Source: tc.source, Target: web, Header: h, Body: []byte("{}")}
			if _, reason := verify(t, atNoon(tc.data), a); reason != tc.reason {
				t.Errorf("got reason %q, want %q", reason, tc.reason)
			}
		})
	}
}

// An empty signing token must not match a signature that was made with the empty key.
func TestSigningToken_EmptyAcceptsNothing(t *testing.T) {
	h := messageHeader(messageID, unix(noon), "v1,"+signMessage("", messageID, unix(noon), "{}"))
	for _, token := range []string{"whsec_", "whsec_=", "whsec_ ", "whsec_\n"} {
		v := atNoon(map[string]string{"hmac": token})
		if method, _ := verify(t, v, Attempt{Namespace: namespace, Header: h, Body: []byte("{}")}); method != "" {
			t.Errorf("%q: accepted by %q", token, method)
		}
	}
}

// GitLab sends Webhook-Id and Webhook-Timestamp even without a signing token. While the method is changed it sends both
// the signature and the token.
func TestSigningToken_AmongOtherProofs(t *testing.T) {
	now := unix(noon)
	right := "v1," + signMessage(lampKey, messageID, now, "{}")
	v := atNoon(map[string]string{"hmac": signingToken(lampKey), "token": "t0ken"})
	for _, tc := range []struct {
		name   string
		pairs  []string
		method Method
		reason Reason
	}{
		{name: "token alone", pairs: []string{"Webhook-Id", messageID, "Webhook-Timestamp", now, "X-Gitlab-Token",
			"t0ken"}, method: MethodToken},
		{name: "token with old headers", pairs: []string{"Webhook-Id", messageID, "Webhook-Timestamp", "1",
			"X-Gitlab-Token", "t0ken"}, method: MethodToken},
		{name: "neither", pairs: []string{"Webhook-Id", messageID, "Webhook-Timestamp", now},
			reason: ReasonNoCredential},
		{name: "both", pairs: []string{"Webhook-Id", messageID, "Webhook-Timestamp", now, "Webhook-Signature", right,
			"X-Gitlab-Token", "t0ken"}, method: MethodHMAC},
		{name: "right one with a wrong token", pairs: []string{"Webhook-Id", messageID, "Webhook-Timestamp", now,
			"Webhook-Signature", right, "X-Gitlab-Token", "other"}, method: MethodHMAC},
		{name: "wrong one with a right token", pairs: []string{"Webhook-Id", "x", "Webhook-Timestamp", now,
			"Webhook-Signature", right, "X-Gitlab-Token", "t0ken"}, method: MethodToken},
		{name: "no id", pairs: []string{"Webhook-Timestamp", now, "Webhook-Signature", right},
			reason: ReasonMalformedSignature},
		{name: "no time", pairs: []string{"Webhook-Id", messageID, "Webhook-Signature", right},
			reason: ReasonMalformedSignature},
		{name: "two ids", pairs: []string{"Webhook-Id", messageID, "Webhook-Id", messageID, "Webhook-Timestamp", now,
			"Webhook-Signature", right}, reason: ReasonRepeatedHeader},
		{name: "two times", pairs: []string{"Webhook-Id", messageID, "Webhook-Timestamp", now, "Webhook-Timestamp", now,
			"Webhook-Signature", right}, reason: ReasonRepeatedHeader},
		{name: "two signatures", pairs: []string{"Webhook-Id", messageID, "Webhook-Timestamp", now, "Webhook-Signature",
			right, "Webhook-Signature", right}, reason: ReasonRepeatedHeader},
	} {
		t.Run(tc.name, func(t *testing.T) {
			method, reason := verify(t, v, Attempt{Namespace: namespace, Header: header(tc.pairs...),
				Body: []byte("{}")})
			if method != tc.method || reason != tc.reason {
				t.Errorf("got method %q, reason %q; want %q, %q", method, reason, tc.method, tc.reason)
			}
		})
	}
}

func TestSigningToken_DefaultClock(t *testing.T) {
	v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{"hmac": signingToken(lampKey)}))
	now := unix(time.Now())
	h := messageHeader(messageID, now, "v1,"+signMessage(lampKey, messageID, now, "{}"))
	if method, reason := verify(t, v, Attempt{Namespace: namespace, Header: h,
		Body: []byte("{}")}); method != MethodHMAC {
		t.Errorf("got method %q, reason %q; want %q", method, reason, MethodHMAC)
	}
}
