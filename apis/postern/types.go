// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package postern

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The fields are documented in the external version, which is what users read; here only what the server needs to know.

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WebhookDelivery is one webhook that was delivered, what it asked for, and what came of it.
type WebhookDelivery struct {
	metav1.TypeMeta
	metav1.ObjectMeta

	Spec   WebhookDeliverySpec
	Status WebhookDeliveryStatus
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WebhookDeliveryList is a list of deliveries.
type WebhookDeliveryList struct {
	metav1.TypeMeta
	metav1.ListMeta

	Items []WebhookDelivery
}

// WebhookDeliverySpec is what was delivered.
//
// Payload and RawPayload only ever exist in a request: they are dropped, with the headers that carry credentials,
// before the delivery reaches admission or storage.
type WebhookDeliverySpec struct {
	Source     string
	Target     *TargetReference
	Payload    *JSON
	RawPayload []byte
	Ref        string
	Image      string
	Headers    map[string]string
	// RedeliveryOf names the delivery whose events these are; only the server sets it.
	RedeliveryOf string
	// Events is never nil once a delivery was defaulted, so that admission policies can range over it.
	Events []DeliveryEvent
}

// JSON is any JSON value, as it was written.
type JSON struct {
	Raw []byte
}

// TargetReference names the object that a delivery is for, in the namespace of the delivery.
type TargetReference struct {
	Kind TargetKind
	Name string
}

// TargetKind is a kind of object that Postern writes to.
type TargetKind string

const (
	// TargetGatewaySync is Stoker's GatewaySync (stoker.io).
	TargetGatewaySync TargetKind = "GatewaySync"
	// TargetApplication is Argo CD's Application (argoproj.io).
	TargetApplication TargetKind = "Application"
)

// DeliveryEvent is one thing that a payload asks for.
type DeliveryEvent struct {
	Source        string
	Event         string
	Ref           string
	RefType       RefType
	Repository    string
	Revision      string
	DeliveryID    string
	Time          *metav1.MicroTime
	DefaultBranch bool
	Image         *ImageReference
}

// ImageReference is an image that was pushed.
type ImageReference struct {
	Host       string
	Repository string
	Tag        string
	Digest     string
}

// RefType says what a ref is; empty when the payload does not tell.
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

// WebhookDeliveryStatus is what came of a delivery. Only the server writes it.
type WebhookDeliveryStatus struct {
	Phase      DeliveryPhase
	Reason     string
	Message    string
	Conditions []metav1.Condition
	Targets    []TargetResult
	Sender     *Sender
	Payload    *PayloadDigest
	AuditID    string
	// ReceivedTime orders deliveries, of all replicas, by when they came in.
	ReceivedTime *metav1.MicroTime
	// Identity is what repeats of the delivery have in common with it; empty if there can be none.
	Identity string
	Repeats  *Repeats
	Progress *DeliveryProgress
}

// Repeats tells of the repeats of a delivery.
type Repeats struct {
	Count       int64
	LastTime    metav1.Time
	LastSender  Sender
	LastAuditID string
}

// DeliveryPhase sums up what came of a delivery.
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
	Kind        TargetKind
	Name        string
	UID         types.UID
	Ref         string
	PreviousRef string
	Result      TargetResultType
	Reason      string
	Message     string
	Time        metav1.Time
}

// TargetResultType says what was done to a target.
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
	Through                                                  string
	Except                                                   []string
	Written, Unchanged, Superseded, Skipped, Failed, Pending int32
}

// Sender is who delivered, and which method proved it.
type Sender struct {
	Name   string
	Method string
}

// PayloadDigest identifies a body that is itself not stored.
type PayloadDigest struct {
	SHA256 string
	Bytes  int64
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// GatewaySync is the parent of the gatewaysyncs/webhookdeliveries subresource. The framework demands that a parent
// exists; it has no content and serves no verbs. The real object is Stoker's, in its own group.
type GatewaySync struct {
	metav1.TypeMeta
	metav1.ObjectMeta
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Application is the parent of the applications/webhookdeliveries subresource, as GatewaySync is of its own.
type Application struct {
	metav1.TypeMeta
	metav1.ObjectMeta
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WebhookSource is a type of sender, and how it stands with it in a namespace. It is not stored.
type WebhookSource struct {
	metav1.TypeMeta
	metav1.ObjectMeta

	Status WebhookSourceStatus
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WebhookSourceList is a list of types of sender.
type WebhookSourceList struct {
	metav1.TypeMeta
	metav1.ListMeta

	Items []WebhookSource
}

// WebhookSourceStatus says how a sender proves itself, and whether the namespace is ready for it.
type WebhookSourceStatus struct {
	Requests   string
	Methods    []string
	SecretKeys []string
	HasSecret  bool
	Path       string
}
