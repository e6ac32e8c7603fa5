// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package story

// reason is a reason that the server gives for the phase of a delivery or the result for a target.
type reason struct {
	// meaning is a sentence for a user who does not know the reason.
	meaning string
	// advise returns a command that helps on, or nothing; nil if nothing has to be done.
	advise func(subject) string
}

// reasons has every reason of the server. The names are written out, so that the plugin does not link the server; a
// test compares them with its source.
var reasons = map[string]reason{
	// Of deliveries: pkg/delivery.
	"NothingRequested": {"The payload, or what admission policies left of it, requests nothing.", nil},
	"TargetUnavailable": {"The target can't be read or written for now; Postern tries again by itself.",
		subject.doctorOfTarget},
	"NotReached": {"There was no time left for the target; Postern continues by itself.", subject.wait},
	"Paced": {"The turn of the Application has not come, because the rate of refreshes is limited; Postern continues " +
		"by itself until the retry window ends.", subject.waitOrRedeliver},
	"Held": {"A hold keeps it from being written; the newest one is written once that is released.",
		subject.release},
	"DeliveryHeld": {"The delivery is held by an annotation of its own, and is delivered once that is removed.",
		subject.release},
	"RolledBack": {"Another client has set an older version since Postern last wrote the target, so Postern holds it " +
		"until the hold is released.", subject.release},
	"Released": {"The hold was released, and the delivery went on.", nil},
	"TargetRefused": {"The API server refuses the change, and will until the target, a policy or a webhook is changed.",
		subject.doctorOfTarget},
	"NoTarget": {"Nothing in the namespace follows what was pushed.", subject.doctorOfSource},
	"OwnSecret": {"The target has a webhook secret of its own, and accepts no other: its webhook must be sent to its " +
		"own path.", subject.urlOfTarget},
	"TargetGone": {"The target does not exist: it was deleted, or never created.", subject.doctorOfTarget},
	"Deleted":    {"The record was deleted while the delivery was pending.", subject.redeliver},
	"InvalidConfiguration": {"The owner's configuration of the target is invalid, so Postern leaves it alone.",
		subject.doctorOfTarget},
	"TakenBack":         {"It was written, and soon afterwards another client changed the target again.", subject.diff},
	"AlreadyDelivered":  {"The same webhook was delivered before; this one repeats it.", nil},
	"SomeTargetsFailed": {"Some of the targets could not be written.", subject.doctorOfTarget},
	"NotWanted":         {"There is no such target, or its owner does not want the ref.", subject.doctorOfTarget},

	// Of targets: pkg/target.
	"Requested":        {"The target did not have it before, so it was written.", nil},
	"AlreadyRequested": {"The target had it already, so nothing was written.", nil},
	"NotApplicable":    {"A target of this kind can't hold what was requested.", nil},
	"CommitNotAccepted": {"A commit id was requested, which the target can't use or its owner does not accept.",
		subject.acceptCommits},
	"NotFollowed": {"The target does not follow the pushed ref, or holds a higher version of it.",
		subject.doctorOfTarget},
	"NotDeployedOn": {"The owner of the target deploys on other events.",
		subject.doctorOfTarget},
	"NotAffected": {"The push changed no file that concerns the Application, so it was not refreshed.",
		subject.redeliver},
	"Superseded": {"Something newer had been requested before this could be written.", subject.redeliver},

	// Why an image is written: pkg/imageupdate.
	"NewerVersion":        {"The pushed version is higher than the one in use.", nil},
	"NewestBuild":         {"The pushed tag differs from the one in use, and the last push counts as the newest.", nil},
	"AlphabeticallyLater": {"The pushed tag sorts after the one in use.", nil},
	"NewDigest":           {"The tag points at another image than the one in use.", nil},
	"NothingToCompare":    {"No image in use has a version to compare with, so the pushed one was taken.", nil},
	"ReplacesImage":       {"The pushed image replaces another image that is in use.", nil},

	// Why an image is not written.
	"UpToDate":              {"The pushed image is in use already.", nil},
	"SameVersion":           {"The version in use is the same, written differently.", nil},
	"OlderVersion":          {"A higher version is in use.", subject.explainImage},
	"AlphabeticallyEarlier": {"The tag in use sorts after the pushed one.", subject.explainImage},
	"OtherImage": {"Another image was pushed than the one that the Application is configured for.",
		subject.explainImage},
	"TagIgnored": {"The configuration of the Application ignores the tag (ignore-tags).",
		subject.explainImage},
	"TagNotAllowed": {"The configuration of the Application does not allow the tag (allow-tags).",
		subject.explainImage},
	"NotSemver": {"The tag is no semantic version, and the Application follows versions.",
		subject.explainImage},
	"ConstraintNotMet": {"The version is outside of the constraint of the Application.", subject.explainImage},
	"TagNotFollowed":   {"The Application follows another tag of the image.", subject.explainImage},
	"TagMissing":       {"The push names no tag.", nil},
	"DigestMissing":    {"The Application follows digests, and the push names none.", subject.explainImage},
	"InvalidImage":     {"What was pushed is no valid reference of an image.", nil},
	"NotInUse": {"Argo CD does not report that the Application runs the image, and force-update is not set.",
		subject.explainImage},
	"VerificationRequired": {"The Application accepts only images with a verified signature, which Postern does not " +
		"verify.", subject.explainImage},
	"GitWriteBack": {"Argo CD Image Updater commits the images of this Application to git, so Postern only notes the " +
		"request.", nil},
	"UnsupportedSource": {"No source of the Application is rendered by Helm, Kustomize or a plugin.",
		subject.explainImage},
	"TargetMismatch": {"The sources of the Application have no place where the image could be set.",
		subject.explainImage},

	// Why a payload requests nothing: pkg/payload.
	"Ping":          {"It is a connection test of the sender.", nil},
	"EventIgnored":  {"It is an event that never names a ref to deploy.", nil},
	"ActionIgnored": {"It is an action that publishes nothing.", nil},
	"Draft":         {"It is a release that is not public yet.", nil},
	"RefCreated":    {"The sender also sends a push with the same ref, which counts.", nil},
	"RefDeleted":    {"A ref was deleted.", nil},
	"NotPassed": {"It tells of a run that did not succeed, or was not started by a push to the repository itself.",
		nil},
	"NotBranchOrTag": {"It is about something other than a branch or a tag, such as a pull request.", nil},
	"InvalidRef":     {"It names a ref that can't be requested.", nil},
	"NothingPushed":  {"The push moved no ref.", nil},
	"NotAnImage":     {"A chart, a layer, a signature or another artifact was pushed, and no image.", nil},
	"DigestOnly":     {"An image without a tag was pushed, which can't be compared.", nil},
	"DigestIgnored":  {"The digest in the payload is not valid, the tag is.", nil},
}

// Meaning returns the meaning of a reason. A newer server may have reasons that this plugin does not know.
func Meaning(name string) string {
	if known, ok := reasons[name]; ok {
		return known.meaning
	}
	if name == "" {
		return ""
	}
	return "The reason is " + name + ", which this version of kubectl postern does not know."
}
