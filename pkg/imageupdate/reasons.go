// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

// Why an image is updated.
const (
	// ReasonNewerVersion: the tag is a higher version than what is in use (semver).
	ReasonNewerVersion = "NewerVersion"
	// ReasonNewestBuild: another tag than what is in use was pushed (newest-build).
	ReasonNewestBuild = "NewestBuild"
	// ReasonAlphabeticallyLater: the tag comes after what is in use (alphabetical).
	ReasonAlphabeticallyLater = "AlphabeticallyLater"
	// ReasonNewDigest: the tag points at another manifest than what is in use (digest).
	ReasonNewDigest = "NewDigest"
	// ReasonNothingToCompare: nothing in use has a version that the tag could be
	// held against, or the image does not run and is forced.
	ReasonNothingToCompare = "NothingToCompare"
	// ReasonReplacesImage: another image is in use, which this one is to replace.
	ReasonReplacesImage = "ReplacesImage"
)

// Why an image is left alone, since there is nothing to gain.
const (
	// ReasonUpToDate: the tag, or under digest its manifest, is in use already.
	ReasonUpToDate = "UpToDate"
	// ReasonSameVersion: the version in use is the same, written differently.
	ReasonSameVersion = "SameVersion"
	// ReasonOlderVersion: a higher version is in use.
	ReasonOlderVersion = "OlderVersion"
	// ReasonAlphabeticallyEarlier: what is in use comes after the tag.
	ReasonAlphabeticallyEarlier = "AlphabeticallyEarlier"
)

// Why the pushed tag is no candidate.
const (
	// ReasonOtherImage: the push is of another image.
	ReasonOtherImage = "OtherImage"
	// ReasonTagIgnored: the tag is one of those to ignore.
	ReasonTagIgnored = "TagIgnored"
	// ReasonTagNotAllowed: the tag is not one of those allowed.
	ReasonTagNotAllowed = "TagNotAllowed"
	// ReasonNotSemver: the tag is no semantic version (semver).
	ReasonNotSemver = "NotSemver"
	// ReasonConstraintNotMet: the version does not meet the constraint (semver).
	ReasonConstraintNotMet = "ConstraintNotMet"
	// ReasonTagNotFollowed: another tag is followed (digest).
	ReasonTagNotFollowed = "TagNotFollowed"
	// ReasonTagMissing: the push names no tag.
	ReasonTagMissing = "TagMissing"
	// ReasonDigestMissing: the push names no digest, without which nothing can be pinned (digest).
	ReasonDigestMissing = "DigestMissing"
	// ReasonInvalidImage: what was pushed makes no reference to an image.
	ReasonInvalidImage = "InvalidImage"
)

// Why the Application does not take the image.
const (
	// ReasonNotInUse: the Application does not report the image to run, and it is not forced.
	ReasonNotInUse = "NotInUse"
	// ReasonInvalidConfiguration: the configuration cannot be acted on.
	ReasonInvalidConfiguration = "InvalidConfiguration"
	// ReasonVerificationRequired: only images with a checked signature may be used.
	ReasonVerificationRequired = "VerificationRequired"
	// ReasonGitWriteBack: updates are commits, which are Image Updater's to make.
	ReasonGitWriteBack = "GitWriteBack"
	// ReasonUnsupportedSource: no source is rendered by Helm, Kustomize or a plugin.
	ReasonUnsupportedSource = "UnsupportedSource"
	// ReasonTargetMismatch: the configured target is none that the sources have.
	ReasonTargetMismatch = "TargetMismatch"
)
