// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"crypto/x509"
	"testing"
	"time"
)

func TestIssuer_ChangesOnlyWhenTrusted(t *testing.T) {
	a, b := mustAuthority(t, testService, DefaultCAValidity, start),
		mustAuthority(t, testService, DefaultCAValidity, start)
	gone := mustAuthority(t, testService, time.Hour, start.Add(-2*time.Hour))
	trust := func(all ...*authority) (bundle []*x509.Certificate) {
		for _, one := range all {
			bundle = append(bundle, one.certificate)
		}
		return bundle
	}
	long, short := start.Add(-trustPropagationDelay), start.Add(-trustPropagationDelay+time.Second)
	for _, test := range []struct {
		name string
		issuerCandidates
		want *authority
	}{
		{"none", issuerCandidates{}, nil},
		{"the first", issuerCandidates{latest: a}, a},
		{"the first, in the middle of a rotation", issuerCandidates{latest: b, trusted: trust(a)}, b},
		{"no other", issuerCandidates{current: a, trusted: trust(a)}, a},
		{"no other, not trusted", issuerCandidates{current: a}, a},
		{"the current one is the latest", issuerCandidates{current: a, latest: a, trusted: trust(a)}, a},
		{"the latest is not trusted", issuerCandidates{current: a, latest: b, trusted: trust(a)}, a},
		{"the latest has not been trusted for long enough",
			issuerCandidates{current: a, latest: b, trusted: trust(b, a), latestSince: short}, a},
		{"the latest has been trusted for long enough",
			issuerCandidates{current: a, latest: b, trusted: trust(b, a), latestSince: long}, b},
		{"only the latest is trusted", issuerCandidates{current: a, latest: b, trusted: trust(b), latestSince: short},
			b},
		{"neither is trusted", issuerCandidates{current: a, latest: b}, b},
		{"the current one has expired", issuerCandidates{current: gone, latest: b, trusted: trust(gone)}, b},
	} {
		if got := test.choose(start); !got.equal(test.want) {
			t.Errorf("%s: the wrong authority is chosen", test.name)
		}
	}
}
