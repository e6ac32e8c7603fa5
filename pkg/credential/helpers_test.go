// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"
)

const namespace = "team-a"

// sign returns the hexadecimal HMAC-SHA256 of body, independently of the code under test.
func sign(secret, body string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(body))
	return hex.EncodeToString(h.Sum(nil))
}

// signMessage returns the base64 HMAC-SHA256 for a signing token, independently of the code under test.
func signMessage(key, id, timestamp, body string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(id + "." + timestamp + "." + body))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func signingToken(key string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))
}

// header returns headers from alternating names and values.
func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func secretsWith(data map[string]string) *Secrets {
	s := &Secrets{}
	s.Set(namespace, asBytes(data))
	return s
}

func asBytes(data map[string]string) map[string][]byte {
	values := map[string][]byte{}
	for key, value := range data {
		values[key] = []byte(value)
	}
	return values
}

// verify returns the method, or the reason of the rejection. One of them is always empty.
func verify(t *testing.T, v *Verifier, a Attempt) (Method, Reason) {
	t.Helper()
	proof, err := v.Verify(t.Context(), a)
	if err == nil {
		if proof.Method == "" {
			t.Error("accepted without a method")
		}
		return proof.Method, ""
	}
	var rejection *Rejection
	if !errors.As(err, &rejection) {
		t.Fatalf("got error %v of type %T, want a *Rejection", err, err)
	}
	if rejection.Reason == "" {
		t.Error("rejected without a reason")
	}
	return proof.Method, rejection.Reason
}
