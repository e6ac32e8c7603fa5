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
	// Type of the sender: github, argocd, kargo or generic. Found out from the headers and the payload when empty. It
	// chooses how the payload is read, and never widens what the payload may do.
	// +optional
	Source string `json:"source,omitempty"`
	// The object that the delivery is for, in the same namespace.
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
	// The git ref to request, in place of a payload: a branch, a tag or a commit id.
	// +optional
	Ref string `json:"ref,omitempty"`
	// The sender's headers that matter: event type, delivery id, content type, signature. A signature is used and then
	// dropped. Headers that hold a token are refused, since this object may be written to an audit log.
	// +optional
	Headers map[string]string `json:"headers,omitempty"`
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
	// The requested git ref, short: main, v2.0.0.
	Ref string `json:"ref"`
	// Whether the ref is a Branch, a Tag or a Commit. Empty when the payload does not tell.
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
	Time *metav1.Time `json:"time,omitempty"`
}

// RefType says what a git ref is.
// +enum
type RefType string

const (
	// RefTypeBranch is a branch.
	RefTypeBranch RefType = "Branch"
	// RefTypeTag is a tag.
	RefTypeTag RefType = "Tag"
	// RefTypeCommit is a commit id.
	RefTypeCommit RefType = "Commit"
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
	// What was done: Written, Unchanged or Failed.
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
	// TargetFailed means that the target could not be written.
	TargetFailed TargetResultType = "Failed"
)

// Sender is who delivered, and how that was proved.
type Sender struct {
	// User name that the cluster gave the request, such as system:serviceaccount:ci:release.
	Name string `json:"name"`
	// What proved it: ServiceAccount or User (the cluster's own authentication), HMAC, Token or None.
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
