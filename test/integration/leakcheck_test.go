// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestLeakCheck_FindsSecretInEveryForm(t *testing.T) {
	secret, signature := newSecret(), sign(newSecret(), "{}")
	for name, content := range map[string]string{
		"plain":              "token=" + secret,
		"in a URL":           url.QueryEscape("https://x:" + secret + "@host"),
		"JSON":               string(mustJSON(t, map[string]string{"a": `"` + secret})),
		"hexadecimal":        hex.EncodeToString([]byte("x" + secret)),
		"HEXADECIMAL":        fmt.Sprintf("%X", secret),
		"base64":             base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64, 1 in front": base64.StdEncoding.EncodeToString([]byte("." + secret)),
		"base64, 2 in front": base64.StdEncoding.EncodeToString([]byte("::" + secret)),
		"base64, 3 in front": base64.URLEncoding.EncodeToString([]byte("???" + secret)),
		"token":              "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9",
		"signature":          `{"X-Hub-Signature-256":"` + signature + `"}`,
		"SIGNATURE":          strings.ToUpper(signature),
		"signature in hex":   "00ff" + strings.TrimPrefix(signature, "sha256=") + "00",
	} {
		if err := (place{name: name, content: []byte(content), stored: true}).leak(); err == nil {
			t.Errorf("%s: not found in %s", name, content)
		}
	}
	harmless := place{content: []byte(strings.Repeat("0123456789abcdef", 100) + sigil[1:]), stored: true}
	if err := harmless.leak(); err != nil {
		t.Error(err)
	}
}

func TestLeakCheck_SkipsOthersAuditEvents(t *testing.T) {
	secret := newSecret()
	for _, test := range []struct {
		event    string
		wantLeak bool
	}{
		{`{"objectRef":{"resource":"secrets"},"requestURI":"/x","requestObject":{"data":"` + secret + `"}}`, false},
		{`{"objectRef":{"resource":"gatewaysyncs"},"requestURI":"/x?secret=` + secret + `"}`, false},
		{`{"objectRef":{"resource":"gatewaysyncs"},"requestURI":"/x?token=` + secret + `"}`, true},
		{`{"objectRef":{"resource":"gatewaysyncs"},"requestURI":"/x","requestObject":{"data":"` + secret + `"}}`, true},
		{`{"objectRef":{"resource":"secrets","apiGroup":"a.b"},"requestURI":"/x","requestObject":{"data":"` + secret +
			`"}}`, true},
		{`{"requestURI":"/x","annotations":{"a":"` + secret + `"}}`, true},
	} {
		log, err := withoutSecretsOfOthers([]byte(test.event + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if leak := (place{content: log}).leak(); (leak != nil) != test.wantLeak {
			t.Errorf("%s: got %v", test.event, leak)
		}
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	encoded, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}
