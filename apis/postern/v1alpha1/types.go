// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// +genclient
// +genclient:onlyVerbs=create,get,list,watch,delete,deleteCollection
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WebhookDelivery is one webhook that was delivered to this namespace: what it asked for, who sent it, and what came
// of it. Creating one delivers it. A delivery can't be changed afterwards, and is removed when its time to live is over.
type WebhookDelivery struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What is delivered.
	Spec WebhookDeliverySpec `json:"spec"`
	// What came of it. Only the server writes it; what a client sets here is dropped.
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

	// The deliveries.
	Items []WebhookDelivery `json:"items"`
}

// WebhookDeliverySpec is what is delivered. Exactly one of payload, rawPayload and ref says what is asked for.
type WebhookDeliverySpec struct {
	// Type of the sender, one of the names of webhooksources. Found out from the headers and the payload when empty. It
	// chooses how the payload is read, and never widens what the payload may do.
	// +optional
	Source string `json:"source,omitempty"`
	// The object that the delivery is for, in the same namespace. Without it, the delivery is for every object in the
	// namespace that uses the pushed image or repository.
	// +optional
	Target *TargetReference `json:"target,omitempty"`
	// The sender's payload, as any JSON. It is read and then dropped: it is not stored. A signature can't be checked
	// over it, since the exact bytes are lost; use rawPayload for that.
	// +optional
	Payload *JSON `json:"payload,omitempty"`
	// The sender's payload, byte for byte (base64 in JSON and YAML), for signed payloads. It is read and then dropped:
	// it is not stored.
	// +optional
	RawPayload []byte `json:"rawPayload,omitempty"`
	// What to request, in place of a payload: a git branch, tag or commit id, or, with image, the tag of an image.
	// +optional
	Ref string `json:"ref,omitempty"`
	// The image that ref is a tag of, such as ghcr.io/example/shop.
	// +optional
	Image string `json:"image,omitempty"`
	// The sender's headers that matter: event type, delivery id, content type, signature. A signature is used and then
	// dropped. Headers that hold a token are refused, since this object may be written to an audit log.
	// +optional
	Headers map[string]string `json:"headers,omitempty"`
	// The delivery whose events these are, if this one was made to deliver them again. Only the server sets it.
	// +optional
	RedeliveryOf string `json:"redeliveryOf,omitempty"`
	// What the payload asks for, filled in by the server before admission. Admission policies may read and rewrite it;
	// a client that sets it is refused. Empty when the payload asks for nothing.
	// +optional
	// +listType=atomic
	Events []DeliveryEvent `json:"events"`
}

// TargetReference names the object that a delivery is for.
type TargetReference struct {
	// Kind of the object: GatewaySync (stoker.io) or Application (argoproj.io).
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
)

// DeliveryEvent is one thing that a payload asks for.
type DeliveryEvent struct {
	// Type of the sender, as found out from the headers and the payload.
	Source string `json:"source"`
	// What happened, in the sender's words: release.published, push.
	Event string `json:"event"`
	// What is requested: a git ref, short (main, v2.0.0), or an image's tag.
	Ref string `json:"ref"`
	// Whether the ref is a Branch, a Tag or a Commit, or of an Image. Empty when the payload does not tell.
	// +optional
	RefType RefType `json:"refType,omitempty"`
	// URL of the git repository.
	// +optional
	Repository string `json:"repository,omitempty"`
	// Commit id that the ref pointed at when the event happened.
	// +optional
	Revision string `json:"revision,omitempty"`
	// The sender's own id of the delivery. A repeat has the same.
	// +optional
	DeliveryID string `json:"deliveryID,omitempty"`
	// When the event happened at the sender.
	// +optional
	Time *metav1.MicroTime `json:"time,omitempty"`
	// Whether the ref is known to be the repository's default branch, which HEAD stands for.
	// +optional
	DefaultBranch bool `json:"defaultBranch,omitempty"`
	// The image that was pushed; absent for a git ref.
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
	// Digest of what was pushed.
	// +optional
	Digest string `json:"digest,omitempty"`
}

// RefType says what a ref is.
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
)

// WebhookDeliveryStatus is what came of a delivery.
type WebhookDeliveryStatus struct {
	// Sum of what came of it: Pending, Applied, Superseded, Ignored or Failed.
	// +optional
	Phase DeliveryPhase `json:"phase,omitempty"`
	// Why, in one CamelCase word for machines.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Why, for people.
	// +optional
	Message string `json:"message,omitempty"`
	// Verified: the sender proved itself. Applied: every target holds the requested ref.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// What was done to each target. In a dry run: what would be done.
	// +optional
	// +listType=atomic
	Targets []TargetResult `json:"targets,omitempty"`
	// Who delivered, and how that was proved.
	// +optional
	Sender *Sender `json:"sender,omitempty"`
	// Digest and length of the payload, which itself is not stored.
	// +optional
	Payload *PayloadDigest `json:"payload,omitempty"`
	// The id under which the cluster's audit log holds the request.
	// +optional
	AuditID string `json:"auditID,omitempty"`
	// When the delivery came in. Where events have no times that can be compared, a delivery gives way to one that came in later.
	// +optional
	ReceivedTime *metav1.MicroTime `json:"receivedTime,omitempty"`
	// SHA-256 of the sender's id of the delivery, the digest of the payload, the type of sender and the target, in hexadecimal.
	// What comes in with the same one is a repeat. Deliveries without an id of the sender, and those that were created as
	// objects, have none.
	// +optional
	Identity string `json:"identity,omitempty"`
	// Repeats of the delivery that came in after it. What they led to is told by the rest of the status.
	// +optional
	Repeats *Repeats `json:"repeats,omitempty"`
	// How far the delivery has come, while it is pending and has more results than targets lists.
	// +optional
	Progress *DeliveryProgress `json:"progress,omitempty"`
}

// Repeats tells of the repeats of a delivery: who sent it again, and how often.
type Repeats struct {
	// How many there were. Those of some seconds are counted together, and some may be missing after a crash.
	Count int64 `json:"count"`
	// When the last one came in.
	LastTime metav1.Time `json:"lastTime"`
	// Who sent the last one, and how that was proved.
	LastSender Sender `json:"lastSender"`
	// The id under which the cluster's audit log holds the request of the last one.
	// +optional
	LastAuditID string `json:"lastAuditID,omitempty"`
}

// DeliveryPhase sums up what came of a delivery.
// +enum
type DeliveryPhase string

const (
	// DeliveryPending waits for its target to be written.
	DeliveryPending DeliveryPhase = "Pending"
	// DeliveryApplied means that the target holds the requested ref.
	DeliveryApplied DeliveryPhase = "Applied"
	// DeliverySuperseded means that a newer delivery took its place.
	DeliverySuperseded DeliveryPhase = "Superseded"
	// DeliveryIgnored was understood, and asks for nothing.
	DeliveryIgnored DeliveryPhase = "Ignored"
	// DeliveryFailed could not be carried out.
	DeliveryFailed DeliveryPhase = "Failed"
)

const (
	// ConditionVerified tells whether the sender proved itself, and how.
	ConditionVerified = "Verified"
	// ConditionApplied tells whether every target holds the requested ref.
	ConditionApplied = "Applied"
)

// TargetResult is what came of a delivery at one target.
type TargetResult struct {
	// Kind of the target.
	Kind TargetKind `json:"kind"`
	// Name of the target.
	Name string `json:"name"`
	// UID of the target, if it was written.
	// +optional
	UID types.UID `json:"uid,omitempty"`
	// The ref that was requested of it.
	Ref string `json:"ref"`
	// The ref that was in force before: the one requested last, or else the one in its specification.
	// +optional
	PreviousRef string `json:"previousRef,omitempty"`
	// What was done: Written, Unchanged, Skipped, Superseded, Pending or Failed.
	Result TargetResultType `json:"result"`
	// Why, in one CamelCase word for machines.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Which fields were set from what to what, or why nothing was.
	// +optional
	Message string `json:"message,omitempty"`
	// When.
	Time metav1.Time `json:"time"`
}

// TargetResultType says what was done to a target.
// +enum
type TargetResultType string

const (
	// TargetWritten means that the requested ref was written.
	TargetWritten TargetResultType = "Written"
	// TargetUnchanged means that the target held the requested ref already.
	TargetUnchanged TargetResultType = "Unchanged"
	// TargetSkipped means that the target does not want what is requested.
	TargetSkipped TargetResultType = "Skipped"
	// TargetSuperseded means that the target holds something newer.
	TargetSuperseded TargetResultType = "Superseded"
	// TargetPending means that the target could not be written yet, and will be tried again.
	TargetPending TargetResultType = "Pending"
	// TargetFailed means that the target could not be written.
	TargetFailed TargetResultType = "Failed"
)

// DeliveryProgress is how far a pending delivery has come that has more results than its status keeps.
type DeliveryProgress struct {
	// The last target, as Kind/name in order of kind and name, that was tried; those after it were not reached yet.
	// +optional
	Through string `json:"through,omitempty"`
	// The targets up to that one, as Kind/name, that have not come to an end.
	// +optional
	// +listType=atomic
	Except []string `json:"except,omitempty"`
	// How many results that targets does not list are Written.
	// +optional
	Written int32 `json:"written,omitempty"`
	// How many results that targets does not list are Unchanged.
	// +optional
	Unchanged int32 `json:"unchanged,omitempty"`
	// How many results that targets does not list are Superseded.
	// +optional
	Superseded int32 `json:"superseded,omitempty"`
	// How many results that targets does not list are Skipped.
	// +optional
	Skipped int32 `json:"skipped,omitempty"`
	// How many results that targets does not list are Failed.
	// +optional
	Failed int32 `json:"failed,omitempty"`
	// How many results that targets does not list are Pending.
	// +optional
	Pending int32 `json:"pending,omitempty"`
}

// Sender is who delivered, and how that was proved.
type Sender struct {
	// User name that the cluster gave the request, such as system:serviceaccount:ci:release.
	Name string `json:"name"`
	// What proved it: ServiceAccount or User (the cluster's own authentication), HMAC, Token, QueryToken or None.
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

// GatewaySync stands for Stoker's GatewaySync as the parent of its webhookdeliveries. It can't be read or written in
// this group; the object itself is gatewaysyncs.stoker.io.
type GatewaySync struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Application stands for Argo CD's Application as the parent of its webhookdeliveries. It can't be read or written in
// this group; the object itself is applications.argoproj.io.
type Application struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
}

// +genclient
// +genclient:onlyVerbs=get,list
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WebhookSource is a type of sender, as it stands in this namespace: what it sends, how it can prove itself, and where to
// point it. Its name is that of the type. The list is fixed; nothing of it is stored.
type WebhookSource struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// How the sender stands in this namespace.
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

	// The types of sender.
	Items []WebhookSource `json:"items"`
}

// WebhookSourceStatus says how a sender proves itself, and whether the namespace is ready for it.
type WebhookSourceStatus struct {
	// What the sender asks for: GitRefs or Images.
	Requests string `json:"requests"`
	// How the sender can prove itself: ServiceAccount, HMAC, Token, QueryToken.
	// +listType=atomic
	Methods []string `json:"methods"`
	// Keys of the Secret postern-webhook-secrets that count for this sender.
	// +listType=atomic
	SecretKeys []string `json:"secretKeys"`
	// Whether one of these keys holds a secret, or a default secret counts because the namespace has none of them.
	HasSecret bool `json:"hasSecret"`
	// Path below the kube-apiserver's address to which the sender POSTs.
	Path string `json:"path"`
}
