// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/pkg/secretheader"
)

// FuzzSignature sends arbitrary values in each signature header. None may panic, and a value is accepted if and only if
// it is the right prefix with the right MAC.
func FuzzSignature(f *testing.F) {
	const secret = "s3cret"
	right := sign(secret, "body")
	for header := range secretheader.Signatures {
		for _, value := range []string{
			"", "s", "sha256", "sha256=", "sha256=zz", "sha1=", "sha1=" + right, right, "sha256=" + right, right[:63],
			right + "0",
			"sha256=" + strings.ToUpper(right), "sha256=sha256=" + right, " sha256=" + right, "SHA256=" + right,
			"sha256=" + strings.Repeat("0", 64), strings.Repeat("\xff", 64), "sha256=" + strings.Repeat("é", 32),
		} {
			f.Add(uint8(header), value, []byte("body"))
		}
	}
	v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{"hmac": secret}))
	f.Fuzz(func(t *testing.T, which uint8, value string, body []byte) {
		h := secretheader.Signatures[int(which)%len(secretheader.Signatures)]
		right := sign(secret, string(body))
		digits, prefixed := strings.CutPrefix(value, h.Prefix)
		isRight := prefixed && len(digits) == len(right) && bytes.Equal(bytes.ToLower([]byte(digits)), []byte(right))

		method, reason := verify(t, v, Attempt{Namespace: namespace, Header: header(h.Name, value), Body: body})
		if accepted := method == MethodHMAC; accepted != isRight {
			t.Errorf("%s: %q: accepted %v (reason %q), want %v", h.Name, value, accepted, reason, isRight)
		}

		method, reason = verify(t, v, Attempt{Namespace: namespace, Header: header(h.Name, h.Prefix+right), Body: body})
		if method != MethodHMAC {
			t.Errorf("%s: right signature rejected: %q", h.Name, reason)
		}
	})
}

// FuzzSigningToken sends arbitrary values in the headers of a signing token. None may panic, and they are accepted if
// and only if the time is near and one of the first signatures is right.
func FuzzSigningToken(f *testing.F) {
	now := unix(noon)
	right := "v1," + signMessage(lampKey, messageID, now, "body")
	for _, signatures := range []string{
		"", "v1", "v1,", "v1,=", right, right + " ", " " + right, "v1,AAAA " + right, right + " v1a,AAAA", "v1a" +
			right[2:], right + "=",
		strings.Repeat("v1,AAAA ", 7) + right, strings.Repeat("v1,AAAA ", 8) + right, strings.Repeat(" ", 100),
		"v1,\xff",
	} {
		for _, timestamp := range []string{now, "", "0", "-1", unix(noon.Add(messageWindow)),
			unix(noon.Add(-messageWindow - time.Second)), "1e9", "99999999999999999999"} {
			f.Add(messageID, timestamp, signatures, []byte("body"))
		}
	}
	f.Add("", now, right, []byte("body"))
	f.Add(messageID+"."+now, now, right, []byte("body"))
	v := atNoon(map[string]string{"hmac": signingToken(lampKey)})
	f.Fuzz(func(t *testing.T, id, timestamp, signatures string, body []byte) {
		mac := signMessage(lampKey, id, timestamp, string(body))
		seconds, err := strconv.ParseInt(timestamp, 10, 64)
		isNear := err == nil && noon.Unix()-300 <= seconds && seconds <= noon.Unix()+300 && timestamp[0] != '+' &&
			timestamp[0] != '-'
		isNamed := id != "" && !strings.Contains(id, ".")
		entries := strings.Split(signatures, " ")
		isRight := len(entries) <= 8 && slices.Contains(entries, "v1,"+mac)

		a := Attempt{Namespace: namespace, Header: messageHeader(id, timestamp, signatures), Body: body}
		method, reason := verify(t, v, a)
		if accepted := method == MethodHMAC; accepted != (isNear && isNamed && isRight) {
			t.Errorf("%q %q %q: accepted %v (reason %q)", id, timestamp, signatures, accepted, reason)
		}

		a.Header = messageHeader(id, timestamp, "v1,"+mac)
		if method, reason := verify(t, v, a); (method == MethodHMAC) != (isNear && isNamed) {
			t.Errorf("%q %q: right signature: method %q, reason %q", id, timestamp, method, reason)
		}
	})
}

func BenchmarkVerifyHMAC10KiB(b *testing.B) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 10<<10/16)
	v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{"hmac": "s3cret", "token": "t0ken"}))
	a := Attempt{
		Namespace: namespace,
		Source:    "github",
		Target:    &Target{Resource: "gatewaysyncs", Name: "web"},
		Header:    header("X-Hub-Signature-256", "sha256="+sign("s3cret", string(body))),
		Body:      body,
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(context.Background(), a); err != nil {
			b.Fatal(err)
		}
	}
}
