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

// sigil is in every secret that the tests use, so that one search finds any of them, or a part that could be guessed on.
const sigil = "tellnobody"

// tokenSigil is how every JSON web token begins, such as those of ServiceAccounts: {"alg": in base64.
const tokenSigil = "eyJhbGciOi"

// newSecret returns a webhook secret that findLeaks will look for.
func newSecret() string { return sigil + rand.Text() }

// mustBeFindable fails the test if one of the secrets in the data of a Kubernetes Secret was not made by newSecret.
func mustBeFindable(t *testing.T, data map[string]string) {
	t.Helper()
	for key, value := range data {
		if strings.HasSuffix(key, "-registry-url") { // no secret
			continue
		}
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, sigil) {
				t.Fatalf("%s: make every secret with newSecret, so that the tests find it where it must not be", key)
			}
		}
	}
}

// sigilForms are the sigil as it is, and as it looks inside of encoded text.
func sigilForms() []string {
	forms := []string{sigil, hex.EncodeToString([]byte(sigil)), strings.ToUpper(hex.EncodeToString([]byte(sigil)))}
	// In base64 three bytes make four letters: what the sigil looks like depends on where it begins. The first and last
	// letters also depend on its neighbours.
	for offset := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + sigil))
		from, to := (offset*8+5)/6, (offset+len(sigil))*8/6
		forms = append(forms, encoded[from:to])
	}
	return forms
}

// signatures are all that the tests have made.
var signatures signatureSet

// signatureSet remembers signatures by their first hexadecimal digits. It is safe for concurrent use.
type signatureSet struct {
	mu    sync.Mutex
	known map[string]bool
}

// signatureDigits is as long as the shortest signature, that of SHA-1.
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
	run := make([]byte, 0, 1024) // hexadecimal digits that follow one another
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
