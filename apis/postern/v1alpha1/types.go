// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// +genclient
// +genclient:onlyVerbs=create,get,list,watch,update,patch,delete,deleteCollection
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WebhookDelivery is one webhook that was delivered to this namespace: its content, its sender and its outcome.
// Creating one delivers it. Later, only its metadata can be changed. It is deleted when its time to live is over, even
// if it has finalizers.
type WebhookDelivery struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Content of the delivery.
	Spec WebhookDeliverySpec `json:"spec"`
	// Outcome of the delivery. Only the server writes it: values that a client sets are dropped when the delivery is
	// created, and rejected later.
	// +optional
	Status WebhookDeliveryStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WebhookDeliveryList is a list of deliveries.
type WebhookDeliveryList struct {
	metav1.TypeMeta `json:",inline"`
	// Standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items are the deliveries.
	Items []WebhookDelivery `json:"items"`
}

// WebhookDeliverySpec is the content of a delivery. Exactly one of payload, rawPayload and ref must be set.
type WebhookDeliverySpec struct {
	// Type of the sender, one of the names of webhooksources. If empty, it is detected from the headers and the
	// payload. It determines how the payload is decoded, and never widens what the payload may do.
	// +optional
	Source string `json:"source,omitempty"`
	// Object that the delivery is for, in the same namespace. If absent, the delivery is for every object in the
	// namespace that uses the pushed image or repository.
	// +optional
	Target *TargetReference `json:"target,omitempty"`
	// The sender's payload, as any JSON. It is decoded and then dropped, never stored. Its signature can't be checked,
	// because the exact bytes are lost; use rawPayload for signed payloads.
	// +optional
	Payload *JSON `json:"payload,omitempty"`
	// The sender's payload, byte for byte (base64 in JSON and YAML), for signed payloads. It is decoded and then
	// dropped, never stored.
	// +optional
	RawPayload []byte `json:"rawPayload,omitempty"`
	// Ref to request instead of a payload: a git branch, tag or commit id, or, with image, the tag of an image.
	// +optional
	Ref string `json:"ref,omitempty"`
	// Image that ref is a tag of, such as ghcr.io/example/shop.
	// +optional
	Image string `json:"image,omitempty"`
	// The sender's relevant headers: event type, delivery id, content type, signature. A signature is checked and then
	// dropped. Headers that have a token are rejected, because this object may be written to an audit log.
	// +optional
	Headers map[string]string `json:"headers,omitempty"`
	// Name of the delivery that this one redelivers. Only the server sets it.
	// +optional
	RedeliveryOf string `json:"redeliveryOf,omitempty"`
	// Events of the payload, set by the server before admission. Admission policies may read and rewrite them; a
	// request that sets them is rejected. Empty if the payload requests nothing.
	// +optional
	// +listType=atomic
	Events []DeliveryEvent `json:"events"`
}

// TargetReference names the object that a delivery is for.
type TargetReference struct {
	// Kind of the object: GatewaySync (stoker.io), Application or ApplicationSet (argoproj.io).
	Kind TargetKind `json:"kind"`
	// Name of the object.
	Name string `json:"name"`
}

// TargetKind is a kind of object that Postern writes to.
// +enum
type TargetKind string

const (
	// TargetGatewaySync is Stoker's GatewaySync (stoker.io).
	TargetGatewaySync TargetKind = "GatewaySync"
	// TargetApplication is Argo CD's Application (argoproj.io).
	TargetApplication TargetKind = "Application"
	// TargetApplicationSet is Argo CD's ApplicationSet (argoproj.io). It is asked to run its generators.
	TargetApplicationSet TargetKind = "ApplicationSet"
)

// DeliveryEvent is one event of a payload, and the ref or image that it requests.
type DeliveryEvent struct {
	// Type of the sender, as detected from the headers and the payload.
	Source string `json:"source"`
	// Name of the event, as the sender calls it: release.published, push.
	Event string `json:"event"`
	// Requested ref: a short git ref (main, v2.0.0), an image's tag or digest, or the number of a pull request
	// (pull/42).
	Ref string `json:"ref"`
	// Type of the ref: Branch, Tag, Commit, Image or PullRequest. Empty if the payload does not include it. A pull
	// request only refreshes ApplicationSets.
	// +optional
	RefType RefType `json:"refType,omitempty"`
	// URL of the git repository.
	// +optional
	Repository string `json:"repository,omitempty"`
	// URL of the same repository for SSH, if the payload includes it.
	// +optional
	SSHURL string `json:"sshURL,omitempty"`
	// Number of the repository at the sender, if the payload includes it and an ApplicationSet may name the repository
	// by it: the project of a GitLab merge request.
	// +optional
	RepositoryID string `json:"repositoryID,omitempty"`
	// Commit id that the ref pointed to when the event happened.
	// +optional
	Revision string `json:"revision,omitempty"`
	// The sender's own id of the delivery. Repeats have the same id.
	// +optional
	DeliveryID string `json:"deliveryID,omitempty"`
	// Time of the event at the sender.
	// +optional
	Time *metav1.MicroTime `json:"time,omitempty"`
	// Whether the ref is known to be the repository's default branch, to which HEAD refers.
	// +optional
	DefaultBranch bool `json:"defaultBranch,omitempty"`
	// What the commit passed, if the event reports that: workflow_run:CI, pipeline. Only targets whose annotation
	// postern.dev/deploy-on lists it take the ref.
	// +optional
	Passed string `json:"passed,omitempty"`
	// Files that the push of a branch added, changed or removed, as paths below the root of the repository, sorted. At
	// most 500, with 8 KiB in total. If the sender does not report all of them, or there are more, the list is absent,
	// and every file may have changed.
	// +optional
	// +listType=atomic
	ChangedFiles []string `json:"changedFiles,omitempty"`
	// Whether changedFiles is absent because there are too many, for the sender or for the record.
	// +optional
	ChangedFilesTruncated bool `json:"changedFilesTruncated,omitempty"`
	// Image that was pushed; absent for a git ref.
	// +optional
	Image *ImageReference `json:"image,omitempty"`
}

// ImageReference is an image that was pushed.
type ImageReference struct {
	// Host of the registry: docker.io, ghcr.io, registry.example.com:5000.
	// +optional
	Host string `json:"host,omitempty"`
	// Repository in the registry: library/nginx.
	Repository string `json:"repository"`
	// Tag that was pushed.
	// +optional
	Tag string `json:"tag,omitempty"`
	// Digest of the pushed image.
	// +optional
	Digest string `json:"digest,omitempty"`
}

// RefType is the type of a ref.
// +enum
type RefType string

const (
	// RefTypeBranch is a branch.
	RefTypeBranch RefType = "Branch"
	// RefTypeTag is a tag.
	RefTypeTag RefType = "Tag"
	// RefTypeCommit is a commit id.
	RefTypeCommit RefType = "Commit"
	// RefTypeImage is the tag or digest of an image.
	RefTypeImage RefType = "Image"
	// RefTypePullRequest is a pull request or merge request.
	RefTypePullRequest RefType = "PullRequest"
)

// WebhookDeliveryStatus is the outcome of a delivery.
type WebhookDeliveryStatus struct {
	// Summary of the outcome: Pending, Held, Applied, Superseded, Ignored or Failed.
	// +optional
	Phase DeliveryPhase `json:"phase,omitempty"`
	// Reason for the phase, as one CamelCase word for programs.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Human-readable explanation of the phase.
	// +optional
	Message string `json:"message,omitempty"`
	// Verified: whether the sender was authenticated. Applied: whether every target has the requested ref. Held: true
	// while the delivery is held, false once it was released, absent otherwise. Kept: false if another client changed a
	// target soon after it was written; absent otherwise.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Outcome for each target. In a dry run, the outcome that a real delivery would have.
	// +optional
	// +listType=atomic
	Targets []TargetResult `json:"targets,omitempty"`
	// Parts of the payload that request nothing, and why, if other parts request something. At most 16.
	// +optional
	// +listType=atomic
	Ignored []IgnoredPart `json:"ignored,omitempty"`
	// Sender of the delivery, and how it was authenticated.
	// +optional
	Sender *Sender `json:"sender,omitempty"`
	// Digest and length of the payload, which is not stored.
	// +optional
	Payload *PayloadDigest `json:"payload,omitempty"`
	// Audit id of the request in the cluster's audit log.
	// +optional
	AuditID string `json:"auditID,omitempty"`
	// Time at which the delivery was received. If the times of two events can't be compared, the delivery that was
	// received later replaces the earlier one.
	// +optional
	ReceivedTime *metav1.MicroTime `json:"receivedTime,omitempty"`
	// SHA-256, in hexadecimal, of the sender's id of the delivery, the digest of the payload, the type of sender and
	// the target. A later delivery with the same identity is a repeat. Deliveries without a sender's id, and those
	// created as objects, have no identity.
	// +optional
	Identity string `json:"identity,omitempty"`
	// Repeats of the delivery. Their outcome is in the other fields of the status.
	// +optional
	Repeats *Repeats `json:"repeats,omitempty"`
	// Progress of a pending or held delivery that has more results than targets lists.
	// +optional
	Progress *DeliveryProgress `json:"progress,omitempty"`
}

// Repeats counts the repeats of a delivery and describes the last one.
type Repeats struct {
	// Number of repeats. Repeats within some seconds are stored together, so a few may be missing after a crash.
	Count int64 `json:"count"`
	// Time at which the last repeat was received.
	LastTime metav1.Time `json:"lastTime"`
	// Sender of the last repeat, and how it was authenticated.
	LastSender Sender `json:"lastSender"`
	// Audit id of the last repeat in the cluster's audit log.
	// +optional
	LastAuditID string `json:"lastAuditID,omitempty"`
}

// AnnotationHold holds, on a target, all deliveries to it and, on a delivery, this one, until it is removed. Its value
// says why. Only the value "false" holds nothing.
const AnnotationHold = "postern.dev/hold"

// DeliveryPhase summarizes the outcome of a delivery.
// +enum
type DeliveryPhase string

const (
	// DeliveryPending means that a target could not be written yet and is retried.
	DeliveryPending DeliveryPhase = "Pending"
	// DeliveryHeld means that a hold keeps it from being written to a target. It is delivered once that is released.
	DeliveryHeld DeliveryPhase = "Held"
	// DeliveryApplied means that every target has the requested ref.
	DeliveryApplied DeliveryPhase = "Applied"
	// DeliverySuperseded means that a newer delivery replaced it.
	DeliverySuperseded DeliveryPhase = "Superseded"
	// DeliveryIgnored means that the delivery is valid and nothing has to be written.
	DeliveryIgnored DeliveryPhase = "Ignored"
	// DeliveryFailed means that the delivery could not be executed.
	DeliveryFailed DeliveryPhase = "Failed"
)

const (
	// ConditionVerified is the result of verifying the sender, with the method.
	ConditionVerified = "Verified"
	// ConditionApplied is true if every target has the requested ref.
	ConditionApplied = "Applied"
	// ConditionHeld is true while the delivery is held, and false once it was released. The message says why.
	ConditionHeld = "Held"
	// ConditionKept is false if another client changed a target soon after it was written. Then the message says who.
	// Postern named it Held before the phase of that name existed; then its reason was TakenBack.
	ConditionKept = "Kept"
)

// IgnoredPart is a part of a payload that requests nothing.
type IgnoredPart struct {
	// Reason, as one CamelCase word for programs.
	Reason string `json:"reason"`
	// Human-readable explanation.
	Message string `json:"message"`
}

// TargetResult is the outcome of a delivery for one target.
type TargetResult struct {
	// Kind of the target.
	Kind TargetKind `json:"kind"`
	// Name of the target.
	Name string `json:"name"`
	// UID of the target, if it was written.
	// +optional
	UID types.UID `json:"uid,omitempty"`
	// Requested ref.
	Ref string `json:"ref"`
	// Repository of the ref, if the delivery has the same ref of several repositories.
	// +optional
	Repository string `json:"repository,omitempty"`
	// Ref that the target had before: the one requested last, otherwise the one in its specification.
	// +optional
	PreviousRef string `json:"previousRef,omitempty"`
	// Outcome: Written, Unchanged, Skipped, Superseded, Pending, Held or Failed.
	Result TargetResultType `json:"result"`
	// Reason for the result, as one CamelCase word for programs.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Fields that were set, with their old and new values, or why nothing was set.
	// +optional
	Message string `json:"message,omitempty"`
	// Fields that were set, for programs. At most 16. They stay if another client changes the target later.
	// +optional
	// +listType=atomic
	Changes []FieldChange `json:"changes,omitempty"`
	// Time of the result.
	Time metav1.Time `json:"time"`
}

// FieldChange is a field of a target that was set.
type FieldChange struct {
	// Name of the field: a path such as spec.source.targetRevision, or the key of an annotation. Of a list, only the
	// changed entry is given.
	Field string `json:"field"`
	// Value before; absent if the field, or the entry, was absent. A value of more than 512 bytes is cut off, with an
	// ellipsis at its end.
	// +optional
	Old string `json:"old,omitempty"`
	// Value that was set; absent if the field was removed. It is cut off like the old one.
	// +optional
	New string `json:"new,omitempty"`
}

// TargetResultType is the type of the outcome for one target.
// +enum
type TargetResultType string

const (
	// TargetWritten means that the requested ref was written.
	TargetWritten TargetResultType = "Written"
	// TargetUnchanged means that the target already had the requested ref.
	TargetUnchanged TargetResultType = "Unchanged"
	// TargetSkipped means that the target does not follow the requested ref or image.
	TargetSkipped TargetResultType = "Skipped"
	// TargetSuperseded means that the target has a newer ref.
	TargetSuperseded TargetResultType = "Superseded"
	// TargetPending means that the target could not be written yet and is retried.
	TargetPending TargetResultType = "Pending"
	// TargetHeld means that a hold on the target, or on the delivery, keeps the target from being written.
	TargetHeld TargetResultType = "Held"
	// TargetFailed means that the target could not be written.
	TargetFailed TargetResultType = "Failed"
)

// DeliveryProgress is the progress of a pending or held delivery that has more results than its status lists.
type DeliveryProgress struct {
	// Last target that was tried, as Kind/name in order of kind and name. Later targets have not been tried yet.
	// +optional
	Through string `json:"through,omitempty"`
	// Targets up to that one, as Kind/name, that are not finished.
	// +optional
	// +listType=atomic
	Except []string `json:"except,omitempty"`
	// Number of Written results that targets does not list.
	// +optional
	Written int32 `json:"written,omitempty"`
	// Number of Unchanged results that targets does not list.
	// +optional
	Unchanged int32 `json:"unchanged,omitempty"`
	// Number of Superseded results that targets does not list.
	// +optional
	Superseded int32 `json:"superseded,omitempty"`
	// Number of Skipped results that targets does not list.
	// +optional
	Skipped int32 `json:"skipped,omitempty"`
	// Number of Failed results that targets does not list.
	// +optional
	Failed int32 `json:"failed,omitempty"`
	// Number of Pending results that targets does not list.
	// +optional
	Pending int32 `json:"pending,omitempty"`
	// Number of Held results that targets does not list.
	// +optional
	Held int32 `json:"held,omitempty"`
}

// Sender is the sender of a delivery, and how it was authenticated.
type Sender struct {
	// User name of the request in the cluster, such as system:serviceaccount:ci:release; for method OIDC the user name
	// from the token, after postern:oidc:.
	Name string `json:"name"`
	// Authentication method: ServiceAccount or User (the cluster's own authentication), OIDC (a token of an issuer that
	// the namespace trusts), HMAC, Token, QueryToken or None.
	Method string `json:"method"`
}

// PayloadDigest identifies a payload.
type PayloadDigest struct {
	// SHA-256 of the exact bytes, in hexadecimal.
	SHA256 string `json:"sha256"`
	// Length in bytes.
	Bytes int64 `json:"bytes"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// GatewaySync represents Stoker's GatewaySync as the parent of its webhookdeliveries. It can't be read or written in
// this group; the object itself is gatewaysyncs.stoker.io.
type GatewaySync struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Application represents Argo CD's Application as the parent of its webhookdeliveries. It can't be read or written in
// this group; the object itself is applications.argoproj.io.
type Application struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ApplicationSet represents Argo CD's ApplicationSet as the parent of its webhookdeliveries. It can't be read or
// written in this group; the object itself is applicationsets.argoproj.io.
type ApplicationSet struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
}

// +genclient
// +genclient:onlyVerbs=get,list
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WebhookSource is a type of sender and its configuration in this namespace: what it requests, how it can authenticate,
// and the path to deliver to. Its name is the type. The list of types is fixed, and these objects are not stored.
type WebhookSource struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Configuration of the sender in this namespace.
	// +optional
	Status WebhookSourceStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WebhookSourceList is a list of types of sender.
type WebhookSourceList struct {
	metav1.TypeMeta `json:",inline"`
	// Standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items are the types of sender.
	Items []WebhookSource `json:"items"`
}

// WebhookSourceStatus is how a sender authenticates, and whether the namespace is configured for it.
type WebhookSourceStatus struct {
	// What the sender requests: GitRefs or Images.
	Requests string `json:"requests"`
	// Methods by which the sender can authenticate: ServiceAccount, OIDC, HMAC, Token, QueryToken.
	// +listType=atomic
	Methods []string `json:"methods"`
	// Keys of the Secret postern-webhook-secrets that are used for this sender.
	// +listType=atomic
	SecretKeys []string `json:"secretKeys"`
	// Whether one of these keys has a secret or a trusted issuer, or a default secret applies because the namespace has
	// none of the keys for secrets.
	HasSecret bool `json:"hasSecret"`
	// Path on the kube-apiserver to which the sender POSTs.
	Path string `json:"path"`
}
