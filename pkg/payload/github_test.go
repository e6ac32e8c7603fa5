// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"fmt"
	"testing"
	"time"
)

// TestGitHub_PromotedPreReleaseTime publishes a pre-release, then a release, and then
// promotes the pre-release.
func TestGitHub_PromotedPreReleaseTime(t *testing.T) {
	const (
		first = `{"action":"published","release":{"tag_name":"v2.0.0",` +
			`"published_at":"2026-03-01T10:00:00Z","prerelease":true}}`
		meanwhile = `{"action":"published","release":{"tag_name":"v1.9.5","published_at":"2026-03-05T10:00:00Z"}}`
		promoted  = `{"action":"released","release":{"tag_name":"v2.0.0","published_at":"2026-03-01T10:00:00Z"%s}}`
	)
	at := func(body string) time.Time {
		t.Helper()
		decoded, err := Decode(Input{Header: headers("X-GitHub-Event", "release"), Body: []byte(body)})
		if err != nil || len(decoded.Events) != 1 {
			t.Fatalf("got %+v, %v", decoded, err)
		}
		if decoded.Events[0].Time == nil {
			return time.Time{}
		}
		return decoded.Events[0].Time.Time
	}
	if !at(first).Before(at(meanwhile)) {
		t.Errorf("the pre-release at %v is not before the release at %v", at(first), at(meanwhile))
	}
	for _, updated := range []string{``, `,"updated_at":null`, `,"updated_at":"of late"`} {
		if got := at(fmt.Sprintf(promoted, updated)); !got.IsZero() {
			t.Errorf("with %q the promotion has the time %v, want none", updated, got)
		}
	}
	if got := at(fmt.Sprintf(promoted, `,"updated_at":"2026-03-10T10:00:00Z"`)); !got.After(at(meanwhile)) {
		t.Errorf("the promotion has the time %v, which is not after the release", got)
	}
}
