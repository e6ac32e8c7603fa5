// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"crypto/x509"
	"testing"
	"time"
)

func TestLeafChangesAuthorityOnlyWhenThatIsTrustedOrNothingIsLost(t *testing.T) {
	a, b := mustAuthority(t, ours, DefaultCAValidity, start), mustAuthority(t, ours, DefaultCAValidity, start)
	gone := mustAuthority(t, ours, time.Hour, start.Add(-2*time.Hour))
	trust := func(all ...*authority) (bundle []*x509.Certificate) {
		for _, one := range all {
			bundle = append(bundle, one.certificate)
		}
		return bundle
	}
	long, short := start.Add(-settle), start.Add(-settle+time.Second)
	for _, test := range []struct {
		name string
		candidates
		want *authority
	}{
		{"nothing is known", candidates{}, nil},
		{"the first", candidates{latest: a}, a},
		{"the first, in the middle of a rotation", candidates{latest: b, trusted: trust(a)}, b},
		{"no other is known", candidates{present: a, trusted: trust(a)}, a},
		{"no other, and nobody trusts it", candidates{present: a}, a},
		{"it is the latest", candidates{present: a, latest: a, trusted: trust(a)}, a},
		{"the latest is not trusted", candidates{present: a, latest: b, trusted: trust(a)}, a},
		{"the latest is trusted since just now", candidates{present: a, latest: b, trusted: trust(b, a), latestSince: short}, a},
		{"the latest has been trusted for long enough", candidates{present: a, latest: b, trusted: trust(b, a), latestSince: long}, b},
		{"only the latest is trusted", candidates{present: a, latest: b, trusted: trust(b), latestSince: short}, b},
		{"neither is trusted", candidates{present: a, latest: b}, b},
		{"the present one has expired", candidates{present: gone, latest: b, trusted: trust(gone)}, b},
	} {
		if got := test.choose(start); !got.is(test.want) {
			t.Errorf("%s: the wrong one is chosen", test.name)
		}
	}
}
