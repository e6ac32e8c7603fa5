// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package postern

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The fields are documented in the external version, which users read. The comments here are for the server only.

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WebhookDelivery is one delivered webhook: its request and its outcome.
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

// WebhookDeliverySpec is the request.
//
// Payload and RawPayload exist only in a request. They are dropped, with the headers that have credentials, before the
// delivery reaches admission or storage.
type WebhookDeliverySpec struct {
	Source     string
	Target     *TargetReference
	Payload    *JSON
	RawPayload []byte
	Ref        string
	Image      string
	Headers    map[string]string
	// RedeliveryOf is the name of the delivery that this one redelivers. Only the server sets it.
	RedeliveryOf string
	// Events is never nil after defaulting, so that admission policies can range over it.
	Events []DeliveryEvent
}

// SourceGeneric is the type of senders that only name a ref. It is the source of a delivery with Ref.
const SourceGeneric = "generic"

// JSON is any JSON value, as it was received.
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
	// TargetApplicationSet is Argo CD's ApplicationSet (argoproj.io).
	TargetApplicationSet TargetKind = "ApplicationSet"
)

var targetResources = map[TargetKind]string{
	TargetGatewaySync: "gatewaysyncs", TargetApplication: "applications", TargetApplicationSet: "applicationsets",
}

// TargetKinds returns every kind of target, sorted.
func TargetKinds() []TargetKind { return slices.Sorted(maps.Keys(targetResources)) }

// Resource returns the resource of a kind, as in paths, RBAC rules and the keys of Secrets; empty if it is no kind of
// target.
func (k TargetKind) Resource() string { return targetResources[k] }

// TargetKey identifies a target among those of all namespaces.
type TargetKey struct {
	Kind      TargetKind
	Namespace string
	Name      string
}

// String returns the key as "Kind namespace/name".
func (k TargetKey) String() string {
	return string(k.Kind) + " " + k.Namespace + "/" + k.Name
}

// AnnotationHold holds, on a target, all deliveries to it and, on a delivery, this one, until it is removed. Its value
// says why. Only the value "false" holds nothing.
const AnnotationHold = "postern.dev/hold"

// MaxEvents bounds the events of one delivery, and so the size of a record.
const MaxEvents = 256

// MaxChangedFiles and MaxChangedFilesBytes bound the changed files of one event: how many, and all names together.
const (
	MaxChangedFiles      = 500
	MaxChangedFilesBytes = 8 << 10
)

// DeliveryEvent is one event of a payload, and the ref or image that it requests.
type DeliveryEvent struct {
	Source     string
	Event      string
	Ref        string
	RefType    RefType
	Repository string
	SSHURL     string
	// RepositoryID is the sender's number of the repository, by which an ApplicationSet may name it.
	RepositoryID  string
	Revision      string
	DeliveryID    string
	Time          *metav1.MicroTime
	DefaultBranch bool
	// Passed is what the commit passed, as an entry of the annotation postern.dev/deploy-on: "workflow_run:CI". It is
	// empty for events that do not report that.
	Passed string
	// ChangedFiles are clean paths below the root of the repository, sorted. They are either all or none.
	ChangedFiles          []string
	ChangedFilesTruncated bool
	Image                 *ImageReference
}

// ImageReference is an image that was pushed.
type ImageReference struct {
	Host       string
	Repository string
	Tag        string
	Digest     string
}

// Name returns the repository with its registry: "ghcr.io/acme/shop".
func (i ImageReference) Name() string {
	if i.Host == "" {
		return i.Repository
	}
	return i.Host + "/" + i.Repository
}

// String returns the reference of the image: "docker.io/library/nginx:1.27@sha256:…".
func (i ImageReference) String() string {
	s := i.Host + "/" + i.Repository
	if i.Tag != "" {
		s += ":" + i.Tag
	}
	if i.Digest != "" {
		s += "@" + i.Digest
	}
	return s
}

// RefType is the type of a ref; empty if the payload does not include it.
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
	// RefTypePullRequest is a pull request or merge request. Only an ApplicationSet takes it.
	RefTypePullRequest RefType = "PullRequest"
)

// WebhookDeliveryStatus is the outcome of a delivery. Only the server writes it.
type WebhookDeliveryStatus struct {
	Phase      DeliveryPhase
	Reason     string
	Message    string
	Conditions []metav1.Condition
	Targets    []TargetResult
	// Ignored has at most 16 parts.
	Ignored []IgnoredPart
	Sender  *Sender
	Payload *PayloadDigest
	AuditID string
	// ReceivedTime is when the delivery was received. It orders the deliveries of all replicas.
	ReceivedTime *metav1.MicroTime
	// Identity is the same for all repeats of a delivery; empty if repeats can't be detected.
	Identity string
	Repeats  *Repeats
	Progress *DeliveryProgress
}

// Repeats counts the repeats of a delivery.
type Repeats struct {
	Count       int64
	LastTime    metav1.Time
	LastSender  Sender
	LastAuditID string
}

// DeliveryPhase summarizes the outcome of a delivery.
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
	// ConditionHeld is true while the delivery is held, and false once it was released.
	ConditionHeld = "Held"
	// ConditionKept is false if another client took the ref back soon after it was written.
	ConditionKept = "Kept"
)

// IgnoredPart is a part of a payload that requests nothing.
type IgnoredPart struct {
	Reason  string
	Message string
}

// TargetResult is the outcome of a delivery for one target.
type TargetResult struct {
	Kind        TargetKind
	Name        string
	UID         types.UID
	Ref         string
	Repository  string
	PreviousRef string
	Result      TargetResultType
	Reason      string
	Message     string
	// Changes has at most 16 fields.
	Changes []FieldChange
	Time    metav1.Time
}

// FieldChange is a field of a target that was set. An empty value means that the field is absent.
type FieldChange struct {
	Field, Old, New string
}

// TargetResultType is the type of the outcome for one target.
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
	Through                                                        string
	Except                                                         []string
	Written, Unchanged, Superseded, Skipped, Failed, Pending, Held int32
}

// Sender is the authenticated sender, and the method that authenticated it.
type Sender struct {
	Name   string
	Method string
}

// PayloadDigest identifies a payload, which is not stored.
type PayloadDigest struct {
	SHA256 string
	Bytes  int64
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// GatewaySync is the parent of the gatewaysyncs/webhookdeliveries subresource. The framework requires a parent; this
// one has no content and serves no verbs. The real object is Stoker's, in its own group.
type GatewaySync struct {
	metav1.TypeMeta
	metav1.ObjectMeta
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Application is the parent of the applications/webhookdeliveries subresource, like GatewaySync.
type Application struct {
	metav1.TypeMeta
	metav1.ObjectMeta
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ApplicationSet is the parent of the applicationsets/webhookdeliveries subresource, like GatewaySync.
type ApplicationSet struct {
	metav1.TypeMeta
	metav1.ObjectMeta
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WebhookSource is a type of sender and its configuration in a namespace. It is not stored.
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

// WebhookSourceStatus is how a sender authenticates, and whether the namespace is configured for it.
type WebhookSourceStatus struct {
	Requests   string
	Methods    []string
	SecretKeys []string
	HasSecret  bool
	Path       string
}
