// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
)

// sigil is a part of all secrets of the tests, so that one search finds any of them, or a substantial part.
const sigil = "tellnobody"

// tokenSigil is the start of JSON web tokens, such as a ServiceAccount's: {"alg": in base64.
const tokenSigil = "eyJhbGciOi"

// newSecret returns a webhook secret that findLeaks searches for.
func newSecret() string { return sigil + rand.Text() }

// mustBeFindable fails the test if one of the secrets in the data of a Kubernetes Secret is not from newSecret.
func mustBeFindable(t *testing.T, data map[string]string) {
	t.Helper()
	for key, value := range data {
		if strings.HasSuffix(key, "-registry-url") { // not a secret
			continue
		}
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, sigil) {
				t.Fatalf("%s: make every secret with newSecret, so that the tests find it where it must not be", key)
			}
		}
	}
}

// sigilForms returns the sigil in plain and in encoded forms.
func sigilForms() []string {
	forms := []string{sigil, hex.EncodeToString([]byte(sigil)), strings.ToUpper(hex.EncodeToString([]byte(sigil)))}
	// Base64 encodes three bytes in four letters, so the encoded sigil depends on its offset. Its first and last
	// letters also depend on the adjacent bytes.
	for offset := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + sigil))
		from, to := (offset*8+5)/6, (offset+len(sigil))*8/6
		forms = append(forms, encoded[from:to])
	}
	return forms
}

// signatures are all signatures of the tests.
var signatures signatureSet

// signatureSet stores signatures by their first hexadecimal digits. It is safe for concurrent use.
type signatureSet struct {
	mu    sync.Mutex
	known map[string]bool
}

// signatureDigits is the length of the shortest signature, of SHA-1.
const signatureDigits = 40

func (s *signatureSet) remember(digits string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]bool{}
	}
	s.known[strings.ToLower(digits[:signatureDigits])] = true
}

// findIn returns the first signature in the text, in lower case, or "".
func (s *signatureSet) findIn(text []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := make([]byte, 0, 1024) // consecutive hexadecimal digits
	for _, b := range text {
		switch {
		case '0' <= b && b <= '9' || 'a' <= b && b <= 'f':
			run = append(run, b)
		case 'A' <= b && b <= 'F':
			run = append(run, b+'a'-'A')
		default:
			run = run[:0]
		}
		if from := len(run) - signatureDigits; from >= 0 && s.known[string(run[from:])] {
			return string(run[from:])
		}
	}
	return ""
}
