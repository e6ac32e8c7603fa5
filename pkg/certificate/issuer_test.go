// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"crypto/x509"
	"testing"
	"time"
)

func TestLeafChangesAuthorityOnlyWhenThatIsTrustedOrNothingIsLost(t *testing.T) {
	a, b := mustAuthority(t, testService, DefaultCAValidity, start), mustAuthority(t, testService, DefaultCAValidity, start)
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
		{"nothing is known", issuerCandidates{}, nil},
		{"the first", issuerCandidates{latest: a}, a},
		{"the first, in the middle of a rotation", issuerCandidates{latest: b, trusted: trust(a)}, b},
		{"no other is known", issuerCandidates{current: a, trusted: trust(a)}, a},
		{"no other, and nobody trusts it", issuerCandidates{current: a}, a},
		{"it is the latest", issuerCandidates{current: a, latest: a, trusted: trust(a)}, a},
		{"the latest is not trusted", issuerCandidates{current: a, latest: b, trusted: trust(a)}, a},
		{"the latest is trusted since just now", issuerCandidates{current: a, latest: b, trusted: trust(b, a), latestSince: short}, a},
		{"the latest has been trusted for long enough", issuerCandidates{current: a, latest: b, trusted: trust(b, a), latestSince: long}, b},
		{"only the latest is trusted", issuerCandidates{current: a, latest: b, trusted: trust(b), latestSince: short}, b},
		{"neither is trusted", issuerCandidates{current: a, latest: b}, b},
		{"the present one has expired", issuerCandidates{current: gone, latest: b, trusted: trust(gone)}, b},
	} {
		if got := test.choose(start); !got.equal(test.want) {
			t.Errorf("%s: the wrong one is chosen", test.name)
		}
	}
}
