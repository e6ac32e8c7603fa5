// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

// Reasons for an update.
const (
	// ReasonNewerVersion: the tag is a higher version than the one in use (semver).
	ReasonNewerVersion = "NewerVersion"
	// ReasonNewestBuild: the pushed tag differs from the one in use (newest-build).
	ReasonNewestBuild = "NewestBuild"
	// ReasonAlphabeticallyLater: the tag sorts after the one in use (alphabetical).
	ReasonAlphabeticallyLater = "AlphabeticallyLater"
	// ReasonNewDigest: the tag points at another manifest than the one in use (digest).
	ReasonNewDigest = "NewDigest"
	// ReasonNothingToCompare: no image in use has a comparable version, or the image does not run and force-update is
	// set.
	ReasonNothingToCompare = "NothingToCompare"
	// ReasonReplacesImage: the pushed image replaces another image that is in use.
	ReasonReplacesImage = "ReplacesImage"
)

// Reasons to leave an image unchanged because there is nothing to gain.
const (
	// ReasonUpToDate: the tag, or for digest its manifest, is already in use.
	ReasonUpToDate = "UpToDate"
	// ReasonSameVersion: the version in use is the same, written differently.
	ReasonSameVersion = "SameVersion"
	// ReasonOlderVersion: a higher version is in use.
	ReasonOlderVersion = "OlderVersion"
	// ReasonAlphabeticallyEarlier: the tag in use sorts after the pushed tag.
	ReasonAlphabeticallyEarlier = "AlphabeticallyEarlier"
)

// Reasons why the pushed tag is not a candidate.
const (
	// ReasonOtherImage: another image was pushed.
	ReasonOtherImage = "OtherImage"
	// ReasonTagIgnored: the tag matches ignore-tags.
	ReasonTagIgnored = "TagIgnored"
	// ReasonTagNotAllowed: the tag does not match allow-tags.
	ReasonTagNotAllowed = "TagNotAllowed"
	// ReasonNotSemver: the tag is not a semantic version (semver).
	ReasonNotSemver = "NotSemver"
	// ReasonConstraintNotMet: the version does not meet the constraint (semver).
	ReasonConstraintNotMet = "ConstraintNotMet"
	// ReasonTagNotFollowed: the configuration follows another tag (digest).
	ReasonTagNotFollowed = "TagNotFollowed"
	// ReasonTagMissing: the push names no tag.
	ReasonTagMissing = "TagMissing"
	// ReasonDigestMissing: the push names no digest to pin (digest).
	ReasonDigestMissing = "DigestMissing"
	// ReasonInvalidImage: the pushed image is not a valid reference.
	ReasonInvalidImage = "InvalidImage"
)

// Reasons why the Application does not accept the image.
const (
	// ReasonNotInUse: the Application does not report the image to run, and force-update is not set.
	ReasonNotInUse = "NotInUse"
	// ReasonInvalidConfiguration: the configuration cannot be applied.
	ReasonInvalidConfiguration = "InvalidConfiguration"
	// ReasonVerificationRequired: only images with a verified signature may be used.
	ReasonVerificationRequired = "VerificationRequired"
	// ReasonGitWriteBack: Image Updater commits updates to git.
	ReasonGitWriteBack = "GitWriteBack"
	// ReasonUnsupportedSource: no source is rendered by Helm, Kustomize or a plugin.
	ReasonUnsupportedSource = "UnsupportedSource"
	// ReasonTargetMismatch: the sources do not have the configured target.
	ReasonTargetMismatch = "TargetMismatch"
)
