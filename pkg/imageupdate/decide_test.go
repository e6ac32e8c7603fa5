// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// digests replaces names of digests in tests.
var digests = strings.NewReplacer(
	"sha256:old", "sha256:"+strings.Repeat("0", 64),
	"sha256:new", "sha256:"+strings.Repeat("f", 64),
)

// image parses a reference, replacing names of digests.
func image(t *testing.T, ref string) Image {
	t.Helper()
	i, err := ParseImage(digests.Replace(ref))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func images(t *testing.T, refs string) []Image {
	t.Helper()
	var all []Image
	for ref := range strings.FieldsSeq(refs) {
		all = append(all, image(t, ref))
	}
	return all
}

// TestDecide covers every reason for each strategy. An update is always to the pushed tag, so the table states only
// whether there is an update, and its digest.
func TestDecide(t *testing.T) {
	const (
		no     = false
		update = true
	)
	for _, tc := range []struct {
		strategy   Strategy
		constraint string
		live       string // space-separated
		override   string
		pushed     string
		update     bool
		reason     string
		edit       func(*ImageConfig)
	}{
		// semver: versions.
		{Semver, "", "app:1.0.0", "", "app:1.0.1", update, ReasonNewerVersion, nil},
		{Semver, "", "app:1.9.0", "", "app:1.10.0", update, ReasonNewerVersion, nil},
		{Semver, "", "app:1.0.0", "", "app:1.0.0", no, ReasonUpToDate, nil},
		{Semver, "", "app:1.0.1", "", "app:1.0.0", no, ReasonOlderVersion, nil},
		{Semver, "", "app:1.10.0", "", "app:1.9.0", no, ReasonOlderVersion, nil},
		{Semver, "", "app:v1.0.0", "", "app:v1.1.0", update, ReasonNewerVersion, nil},
		{Semver, "", "app:1.0.0", "", "app:v1.1.0", update, ReasonNewerVersion, nil},
		{Semver, "", "app:1.0.0", "", "app:v1.0.0", no, ReasonSameVersion, nil},
		{Semver, "", "app:1.2", "", "app:1.2.0", no, ReasonSameVersion, nil},
		{Semver, "", "app:1.2", "", "app:1.2.1", update, ReasonNewerVersion, nil},
		{Semver, "", "app:2.0.0", "", "app:v1.1.0", no, ReasonOlderVersion, nil},
		{Semver, "", "app:1.0.0", "", "app:20260131", update, ReasonNewerVersion, nil},
		// semver: tags that are not versions.
		{Semver, "", "app:1.0.0", "", "app:latest", no, ReasonNotSemver, nil},
		{Semver, "", "app:1.0.0", "", "app:1.0.0.1", no, ReasonNotSemver, nil},
		{Semver, "", "app:1.0.0", "", "app:1.0.0_b2", no, ReasonNotSemver, nil},
		{Semver, "", "app:latest", "", "app:1.0.0", update, ReasonNothingToCompare, nil},
		{Semver, "", "app", "", "app:1.0.0", update, ReasonNothingToCompare, nil},
		{Semver, "", "app@sha256:old", "", "app:1.0.0", update, ReasonNothingToCompare, nil},
		{Semver, "", "app:1.0.0@sha256:old", "", "app:1.0.0", no, ReasonUpToDate, nil},
		{Semver, "", "app:1.0.0@sha256:old", "", "app:1.0.0@sha256:new", no, ReasonUpToDate, nil},
		{Semver, "", "app:1.0.0@sha256:old", "", "app:1.0.1@sha256:new", update, ReasonNewerVersion, nil},
		// semver: pre-releases.
		{Semver, "", "app:1.0.0", "", "app:1.1.0-rc.1", no, ReasonConstraintNotMet, nil},
		{Semver, ">=1.0-0", "app:1.0.0", "", "app:1.1.0-rc.1", update, ReasonNewerVersion, nil},
		{Semver, ">=1.0-0", "app:1.1.0-rc.9", "", "app:1.1.0-rc.10", update, ReasonNewerVersion, nil},
		{Semver, ">=1.0-0", "app:1.1.0-rc.10", "", "app:1.1.0-rc.9", no, ReasonOlderVersion, nil},
		{Semver, "", "app:1.1.0-rc.1", "", "app:1.1.0", update, ReasonNothingToCompare, nil},
		{Semver, ">=1.0-0", "app:1.1.0", "", "app:1.1.0-rc.1", no, ReasonOlderVersion, nil},
		// semver: constraints.
		{Semver, "~1.2", "app:1.2.3", "", "app:1.2.4", update, ReasonNewerVersion, nil},
		{Semver, "~1.2", "app:1.2.3", "", "app:1.3.0", no, ReasonConstraintNotMet, nil},
		{Semver, "1.x", "app:1.2.3", "", "app:1.3.0", update, ReasonNewerVersion, nil},
		{Semver, "1.x", "app:1.2.3", "", "app:2.0.0", no, ReasonConstraintNotMet, nil},
		{Semver, "1.x", "app:1.2.3", "", "app:v1.3.0", update, ReasonNewerVersion, nil},
		{Semver, "v1.x", "app:1.2.3", "", "app:1.3.0", update, ReasonNewerVersion, nil},
		{Semver, "1.2", "app:1.2.3", "", "app:1.2.4", update, ReasonNewerVersion, nil},
		{Semver, "1.2.3", "app:1.2.0", "", "app:1.2.4", no, ReasonConstraintNotMet, nil},
		{Semver, ">=1.2 <3 || 5.x", "app:1.2.3", "", "app:5.1.0", update, ReasonNewerVersion, nil},
		{Semver, "1.x", "app:2.0.0", "", "app:1.3.0", update, ReasonNothingToCompare, nil},
		{Semver, "1.x", "app:20240415", "", "app:1.0.0", update, ReasonNothingToCompare, nil},
		{Semver, "1.x", "app:1.4.0 app:2.1.0", "", "app:1.5.0", update, ReasonNewerVersion, nil},
		{Semver, "1.x", "app:1.4.0 app:2.1.0", "", "app:1.3.0", no, ReasonOlderVersion, nil},
		{Semver, "1.x", "app:1.4.0 app:2.1.0", "", "app:1.4.0", no, ReasonUpToDate, nil},
		{Semver, "1.x", "app:1.4.0", "app:2.1.0", "app:1.3.0", no, ReasonOlderVersion, nil},
		{Semver, "1.x", "app:1.4.0", "app:2.1.0", "app:1.4.0", update, ReasonNothingToCompare, nil},
		{Semver, "7.0.x-0", "app:7.0.14-alpine app:7.2.4-bookworm", "", "app:7.0.15-alpine", update,
			ReasonNewerVersion, allow("regexp:-alpine$")},
		{Semver, "*-0", "app:7.0.14-alpine app:7.2.4-bookworm", "", "app:7.0.15-alpine", update, ReasonNewerVersion,
			allow("regexp:-alpine$")},
		{Semver, "*-0", "app:7.0.14-alpine app:7.2.4-bookworm", "", "app:7.0.15-alpine", update, ReasonNewerVersion,
			ignore("*-bookworm")},
		{Semver, "latest", "app:1.0.0", "", "app:1.1.0", no, ReasonInvalidConfiguration, nil},
		// semver: versions in use.
		{Semver, "", "app:1.0.0", "app:1.5.0", "app:1.4.0", no, ReasonOlderVersion, nil},
		{Semver, "", "app:1.0.0", "app:1.5.0", "app:1.5.0", no, ReasonUpToDate, nil},
		{Semver, "", "app:2.0.0", "app:1.5.0", "app:1.6.0", update, ReasonNewerVersion, nil},
		{Semver, "", "app:1.0.0", "app", "app:0.9.0", no, ReasonOlderVersion, nil},
		{Semver, "", "app:1.0.0", "other:9.9.9", "app:1.0.0", update, ReasonReplacesImage, nil},
		{Semver, "", "app:1.0.0", "other:9.9.9", "app:1.0.1", update, ReasonReplacesImage, nil},
		{Semver, "", "app:1.0.1", "other:9.9.9", "app:1.0.0", no, ReasonOlderVersion, nil},
		{Semver, "", "app:1.0.0 app:1.1.0", "", "app:1.1.0", update, ReasonNewerVersion, nil},
		{Semver, "", "app:1.0.0 app:1.1.0", "", "app:1.0.5", no, ReasonOlderVersion, nil},
		{Semver, "", "app:1.0.0 app:latest", "", "app:1.0.0", no, ReasonUpToDate, nil},
		{Semver, "", "app:1.4.0", "app:latest", "app:1.3.0", no, ReasonOlderVersion, nil},
		{Semver, "", "app:1.4.0", "app:latest", "app:1.4.0", update, ReasonNothingToCompare, nil},
		{Semver, "", "app:1.4.0", "app:latest", "app:1.5.0", update, ReasonNothingToCompare, nil},
		// Images that are replaced.
		{Semver, "", "old/app:0.9.9", "", "app:1.0.0", update, ReasonReplacesImage, nil},
		{Semver, "", "old/app:1.0.0", "", "app:1.0.0", update, ReasonReplacesImage, nil},
		{Semver, "", "app:1.0.0 old/app:0.9.9", "", "app:1.0.0", update, ReasonReplacesImage, nil},
		{Semver, "", "old/app:9.9.9", "", "app:1.0.0", no, ReasonOlderVersion, nil},
		{Semver, "", "app:1.0.0 old/app:9.9.9", "", "app:1.0.1", no, ReasonOlderVersion, nil},
		{Semver, "", "old/app:1.0.0", "old/app:2.0.0", "app:1.9.0", no, ReasonOlderVersion, nil},
		{Semver, "", "old/app:2.0.0", "old/app:latest", "app:1.9.0", no, ReasonOlderVersion, nil},
		{Semver, "", "old/app:2.0.0", "app:1.8.0", "app:1.9.0", update, ReasonNewerVersion, nil},
		{Semver, "", "", "old/app:2.0.0", "app:1.9.0", no, ReasonOlderVersion, force},
		{Semver, "~1", "old/app:9.9.9", "", "app:1.0.0", update, ReasonReplacesImage, nil},
		{Semver, "", "old/app:9.9.9", "", "app:1.0.0", update, ReasonReplacesImage, ignore("9.*")},
		{Semver, "", "old/base:9.9.9", "", "app:1.0.0", update, ReasonReplacesImage, nil},
		{Alphabetical, "", "old/app:2026-01-31", "", "app:2026-01-30", no, ReasonAlphabeticallyEarlier, nil},
		{NewestBuild, "", "old/app:2.0.0", "", "app:1.9.0", update, ReasonReplacesImage, nil},
		{Digest, "main", "old/app:main@sha256:old", "", "app:main@sha256:new", update, ReasonReplacesImage, nil},
		{Semver, "", "", "", "app:1.0.0", no, ReasonNotInUse, nil},
		{Semver, "", "", "app:1.0.0", "app:1.1.0", no, ReasonNotInUse, nil},
		{Semver, "", "", "", "app:1.0.0", update, ReasonNothingToCompare, force},
		{Semver, "", "", "app:1.0.0", "app:1.1.0", update, ReasonNewerVersion, force},
		{Semver, "", "", "app:1.0.0", "app:0.9.0", no, ReasonOlderVersion, force},
		// One image with several names.
		{Semver, "", "docker.io/library/app:1.0.0", "", "app:1.1.0", update, ReasonNewerVersion, nil},
		{Semver, "", "app:1.0.0", "", "docker.io/library/app:1.1.0", update, ReasonNewerVersion, nil},
		{Semver, "", "app:1.0.0", "", "index.docker.io/library/app:1.0.0", no, ReasonUpToDate, nil},
		{Semver, "", "app:1.0.0", "", "ghcr.io/library/app:1.1.0", no, ReasonOtherImage, nil},
		{Semver, "", "app:1.0.0", "", "acme/app:1.1.0", no, ReasonOtherImage, nil},
		// newest-build.
		{NewestBuild, "", "app:f33bacd", "", "app:0a1b2c3", update, ReasonNewestBuild, nil},
		{NewestBuild, "", "app:2.0.0", "", "app:1.0.0", update, ReasonNewestBuild, nil},
		{NewestBuild, "", "app:f33bacd", "", "app:f33bacd", no, ReasonUpToDate, nil},
		{NewestBuild, "", "app:main@sha256:old", "", "app:main@sha256:new", no, ReasonUpToDate, nil},
		{NewestBuild, "~1.2", "app:1.2.0", "", "app:9.0.0", update, ReasonNewestBuild, nil},
		{NewestBuild, "", "app:a app:b", "", "app:b", update, ReasonNewestBuild, nil},
		{NewestBuild, "", "app:a", "app:b", "app:b", no, ReasonUpToDate, nil},
		{NewestBuild, "", "app@sha256:old", "", "app:b@sha256:old", update, ReasonNewestBuild, nil},
		{NewestBuild, "", "", "", "app:b", no, ReasonNotInUse, nil},
		{NewestBuild, "", "app:dev-2 app:prod-1", "", "app:dev-2", no, ReasonUpToDate, allow("regexp:^dev-")},
		{NewestBuild, "", "app:dev-1 app:prod-1", "", "app:dev-2", update, ReasonNewestBuild, allow("regexp:^dev-")},
		// alphabetical.
		{Alphabetical, "", "app:2026-01-30", "", "app:2026-01-31", update, ReasonAlphabeticallyLater, nil},
		{Alphabetical, "", "app:2026-01-31", "", "app:2026-01-30", no, ReasonAlphabeticallyEarlier, nil},
		{Alphabetical, "", "app:2026-01-31", "", "app:2026-01-31", no, ReasonUpToDate, nil},
		{Alphabetical, "", "app:9", "", "app:10", no, ReasonAlphabeticallyEarlier, nil},
		{Alphabetical, "", "app:a", "", "app:B", no, ReasonAlphabeticallyEarlier, nil},
		{Alphabetical, "", "app:latest", "", "app:2026-01-31", no, ReasonAlphabeticallyEarlier, nil},
		{Alphabetical, "", "app:latest", "", "app:2026-01-31", update, ReasonNothingToCompare,
			allow("regexp:^[0-9-]+$")},
		{Alphabetical, "", "app:latest", "", "app:2026-01-31", update, ReasonNothingToCompare, ignore("latest")},
		{Alphabetical, "", "app", "", "app:2026-01-31", update, ReasonNothingToCompare, nil},
		{Alphabetical, "", "app:2026-01-30 app:2026-02-01", "", "app:2026-01-31", no, ReasonAlphabeticallyEarlier, nil},
		// digest.
		{Digest, "main", "app:main@sha256:old", "", "app:main@sha256:new", update, ReasonNewDigest, nil},
		{Digest, "main", "app:main", "", "app:main@sha256:new", update, ReasonNewDigest, nil},
		{Digest, "main", "app@sha256:old", "", "app:main@sha256:new", update, ReasonNewDigest, nil},
		{Digest, "main", "app@sha256:new", "", "app:main@sha256:new", no, ReasonUpToDate, nil},
		{Digest, "main", "app:main@sha256:new", "", "app:main@sha256:new", no, ReasonUpToDate, nil},
		{Digest, "main", "app:main", "app:main@sha256:new", "app:main@sha256:new", no, ReasonUpToDate, nil},
		{Digest, "main", "app:stable@sha256:old", "", "app:main@sha256:new", update, ReasonNothingToCompare, nil},
		{Digest, "main", "app:main@sha256:new app:stable@sha256:old", "", "app:main@sha256:new", no, ReasonUpToDate,
			nil},
		{Digest, "main", "app:main@sha256:old app:stable@sha256:new", "", "app:main@sha256:new", update,
			ReasonNewDigest, nil},
		{Digest, "main", "app:main", "", "app:main", no, ReasonDigestMissing, nil},
		{Digest, "main", "app:main", "", "app:dev@sha256:new", no, ReasonTagNotFollowed, nil},
		{Digest, "", "app:main", "", "app:main@sha256:new", no, ReasonInvalidConfiguration, nil},
		{Digest, "main", "", "", "app:main@sha256:new", no, ReasonNotInUse, nil},
		{Digest, "main", "", "", "app:main@sha256:new", update, ReasonNothingToCompare, force},
		// All strategies.
		{Semver, "", "app:1.0.0", "", "app:1.1.0", no, ReasonTagIgnored, ignore("0.*", "1.*")},
		{Semver, "", "app:1.0.0", "", "app:1.1.0", no, ReasonTagIgnored, ignore("*")},
		{Semver, "", "app:1.0.0", "", "app:1.1.0", update, ReasonNewerVersion, ignore("1.?")},
		{Semver, "", "app:1.0.0", "", "app:1.1.0", no, ReasonInvalidConfiguration, ignore("[")},
		{Semver, "", "app:1.0.0", "", "app:1.1.0", update, ReasonNewerVersion, allow("any")},
		{Semver, "", "app:1.0.0", "", "app:1.1.0", update, ReasonNewerVersion, allow("regexp:^1")},
		{Semver, "", "app:1.0.0", "", "app:1.1.0", update, ReasonNewerVersion, allow("Regexp:1")},
		{Semver, "", "app:1.0.0", "", "app:1.1.0", no, ReasonTagNotAllowed, allow("regexp:^v")},
		{NewestBuild, "", "app:a", "", "app:b", no, ReasonTagNotAllowed, allow("regexp:^v")},
		{Digest, "main", "app:main", "", "app:main@sha256:new", no, ReasonTagNotAllowed, allow("regexp:^v")},
		{Semver, "", "app:1.0.0", "", "app:1.1.0", no, ReasonInvalidConfiguration, allow("regexp:(")},
		{Semver, "", "app:1.0.0", "", "app:1.1.0", no, ReasonInvalidConfiguration, allow("glob:*")},
		{Semver, "", "app:1.0.0", "", "app:1.1.0", no, ReasonInvalidConfiguration, allow("^1")},
		{Semver, "", "app:1.0.0", "", "app@sha256:new", no, ReasonTagMissing, nil},
		{Semver, "", "app:1.0.0", "", "app", no, ReasonTagMissing, nil},
		{Semver, "", "app:1.0.0", "", "app:1.1.0", no, ReasonVerificationRequired, verify},
		{Semver, "", "app:1.0.0", "", "app:1.0.0", no, ReasonUpToDate, verify},
		{Semver, "", "app:1.0.0", "", "app:1.1.0", no, ReasonInvalidConfiguration, problem},
		{"newest", "", "app:1.0.0", "", "app:1.1.0", no, ReasonInvalidConfiguration, nil},
	} {
		name := strings.Join([]string{string(tc.strategy), tc.constraint, tc.live, tc.override, tc.pushed, tc.reason},
			",")
		t.Run(name, func(t *testing.T) {
			config := ImageConfig{Alias: "web", Name: "app", Constraint: tc.constraint, Strategy: tc.strategy}
			if tc.edit != nil {
				tc.edit(&config)
			}
			current := Current{Overrides: images(t, tc.override), Live: images(t, tc.live)}
			pushed := image(t, tc.pushed)

			want := Decision{Slot: "web", Update: tc.update, Reason: tc.reason}
			if tc.update {
				want.NewTag = pushed.Tag
				if tc.strategy == Digest {
					want.NewDigest = pushed.Digest
				}
			}
			got := Decide(config, current, pushed)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Decision{}, "Message")); diff != "" {
				t.Errorf("Decide() differs (-want +got):\n%s%s", diff, got.Message)
			}
			if got.Message == "" {
				t.Error("the message is empty")
			}
		})
	}
}

func force(c *ImageConfig)   { c.ForceUpdate = true }
func verify(c *ImageConfig)  { c.Verify = true }
func problem(c *ImageConfig) { c.Problem = "it is broken" }

func allow(tags string) func(*ImageConfig) {
	return func(c *ImageConfig) { c.AllowTags = tags }
}

func ignore(globs ...string) func(*ImageConfig) {
	return func(c *ImageConfig) { c.IgnoreTags = globs }
}

func TestDecide_RefusesInvalidReference(t *testing.T) {
	config := ImageConfig{Name: "app", Strategy: NewestBuild}
	current := Current{Live: []Image{{Name: "app", Tag: "1.0.0"}}}
	for _, pushed := range []Image{
		{Name: "app", Tag: "1.0.0+build.5"},
		{Name: "app", Tag: "a b"},
		{Name: "app", Tag: "-rc"},
		{Name: "app", Tag: "v1", Digest: "sha256:123"},
		{Name: "app", Tag: "v1@sha256:" + strings.Repeat("0", 64)},
		{Name: "app", Tag: "80/v1"},
		{Name: "app", Tag: strings.Repeat("a", 129)},
	} {
		if got := Decide(config, current, pushed); got.Update || got.Reason != ReasonInvalidImage {
			t.Errorf("Decide(%q) = %+v, want InvalidImage", pushed, got)
		}
	}
}

func TestDecide_MessageNamesWhatWasCompared(t *testing.T) {
	for _, tc := range []struct {
		config       ImageConfig
		live, pushed string
		want         string
	}{
		{ImageConfig{Name: "app", Strategy: Semver}, "app:1.0.0", "app:1.1.0", "1.1.0 replaces app:1.0.0"},
		{ImageConfig{Name: "app", Strategy: Semver}, "app:2.0.0 app:3.0.0", "app:1.1.0",
			"1.1.0 is behind app:2.0.0, app:3.0.0, which is in use"},
		{ImageConfig{Name: "app", Strategy: Semver, Constraint: "~1.2"}, "app:1.2.0", "app:1.3.0",
			`1.3.0 does not meet the constraint "~1.2"`},
		{ImageConfig{Name: "app", Strategy: Semver, Verify: true}, "app:1.0.0", "app:1.1.0",
			"it would be updated (1.1.0 replaces app:1.0.0), but signature verification is required, which Postern " +
				"does not do"},
	} {
		got := Decide(tc.config, Current{Live: images(t, tc.live)}, image(t, tc.pushed))
		if got.Message != tc.want {
			t.Errorf("Decide(%s) says %q, want %q", tc.pushed, got.Message, tc.want)
		}
	}
}
