// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzSignature feeds arbitrary values to each signature header. None may panic, and one is accepted exactly when it is
// the right MAC, written with the right prefix.
func FuzzSignature(f *testing.F) {
	const secret = "s3cret"
	right := sign(secret, "body")
	for header := range signatureHeaders {
		for _, value := range []string{
			"", "s", "sha256", "sha256=", "sha256=zz", "sha1=", "sha1=" + right, right, "sha256=" + right, right[:63], right + "0",
			"sha256=" + strings.ToUpper(right), "sha256=sha256=" + right, " sha256=" + right, "SHA256=" + right,
			"sha256=" + strings.Repeat("0", 64), strings.Repeat("\xff", 64), "sha256=" + strings.Repeat("é", 32),
		} {
			f.Add(uint8(header), value, []byte("body"))
		}
	}
	v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{"hmac": secret}))
	f.Fuzz(func(t *testing.T, which uint8, value string, body []byte) {
		h := signatureHeaders[int(which)%len(signatureHeaders)]
		right := sign(secret, string(body))
		digits, prefixed := strings.CutPrefix(value, h.prefix)
		isRight := prefixed && len(digits) == len(right) && bytes.Equal(bytes.ToLower([]byte(digits)), []byte(right))

		method, reason := verify(t, v, Attempt{Namespace: namespace, Header: header(h.name, value), Body: body})
		if accepted := method == MethodHMAC; accepted != isRight {
			t.Errorf("%s: %q: accepted %v (reason %q), want %v", h.name, value, accepted, reason, isRight)
		}

		method, reason = verify(t, v, Attempt{Namespace: namespace, Header: header(h.name, h.prefix+right), Body: body})
		if method != MethodHMAC {
			t.Errorf("%s: right signature rejected: %q", h.name, reason)
		}
	})
}

func BenchmarkVerifyHMAC10KiB(b *testing.B) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 10<<10/16)
	v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{"hmac": "s3cret", "token": "t0ken"}))
	a := Attempt{
		Namespace: namespace,
		Source:    "github",
		Target:    &Target{Resource: ResourceGatewaySyncs, Name: "web"},
		Header:    header("X-Hub-Signature-256", "sha256="+sign("s3cret", string(body))),
		Body:      body,
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(a); err != nil {
			b.Fatal(err)
		}
	}
}
