// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// The annotations that Postern writes to an Application, which has none of its
// own for a requested ref. They always speak of one and the same request.
const (
	// AnnotationRequestedRef is what was asked for: a git ref by its short name, or
	// the reference of an image.
	AnnotationRequestedRef = "postern.dev/requested-ref"
	// AnnotationRequestedAt is when it was asked for, RFC 3339 in UTC.
	AnnotationRequestedAt = "postern.dev/requested-at"
	// AnnotationRequestedBy is the kind of sender that asked.
	AnnotationRequestedBy = "postern.dev/requested-by"
	// AnnotationRequestedRevision is the commit the ref pointed at, where the
	// sender told; without it a second push to one branch would look like a repeat.
	AnnotationRequestedRevision = "postern.dev/requested-revision"
)

// AnnotationUpdateTargetRevision is set to "true" by the owner of an Application
// who wants its targetRevision to follow what is requested.
const AnnotationUpdateTargetRevision = "postern.dev/update-target-revision"

// Kind is a kind of object that a ref can be written to.
type Kind string

// The kinds there are.
const (
	KindGatewaySync Kind = "GatewaySync"
	KindApplication Kind = "Application"
)

// kindImageUpdater is read only: its objects say which images an Application is to run.
const kindImageUpdater Kind = "ImageUpdater"

// Kinds lists every kind that is written to.
func Kinds() []Kind {
	return []Kind{KindGatewaySync, KindApplication}
}

// cachedKinds lists every kind that the cache follows.
func cachedKinds() []Kind {
	return append(Kinds(), kindImageUpdater)
}

// api says where a kind is served, and gives a new empty object of it.
func (k Kind) api() (schema.GroupVersionResource, runtime.Object, error) {
	switch k {
	case KindGatewaySync:
		return stokerv1alpha1.SchemeGroupVersion.WithResource("gatewaysyncs"), &stokerv1alpha1.GatewaySync{}, nil
	case KindApplication:
		return argov1alpha1.SchemeGroupVersion.WithResource("applications"), &argov1alpha1.Application{}, nil
	case kindImageUpdater:
		return iuv1alpha1.SchemeGroupVersion.WithResource("imageupdaters"), &iuv1alpha1.ImageUpdater{}, nil
	}
	return schema.GroupVersionResource{}, nil, fmt.Errorf("%q is not a kind that is known here", string(k))
}

// Key names one object.
type Key struct {
	Kind      Kind
	Namespace string
	Name      string
}

// String returns the key as "Kind namespace/name".
func (k Key) String() string {
	return fmt.Sprintf("%s %s/%s", k.Kind, k.Namespace, k.Name)
}

// Request is what is asked of a target. Whoever makes one has checked that its
// Ref, Revision and Image are well formed.
type Request struct {
	// Ref is a git ref by its short name, such as "main" or "v2.0.0". It is not
	// looked at if there is an Image.
	Ref string
	// Revision is the commit id the ref points at; empty if unknown.
	Revision string
	// RefType is what the ref names; empty if unknown.
	RefType RefType
	// DefaultBranch is set if the ref is known to be the branch that HEAD names.
	DefaultBranch bool
	// Repository is the URL of the git repository; empty if unknown.
	Repository string
	// Image is the image that was pushed; nil for a git ref.
	Image *imageupdate.Image
	// IfFollowed is set if no target was named. What was pushed is then written only
	// to a target that follows it, by what the target says when it is written: that
	// Cache.Matches found it is no proof, for of two tags that are pushed at once the
	// lower one may come second.
	IfFollowed bool
	// By is the kind of sender, such as "github".
	By string
	// Anonymous is whether the cluster has not authenticated the sender. Such requests
	// leave the others of their namespace their turn.
	Anonymous bool
	// At is when the request is written. Requests of one target must differ in
	// it for Argo CD to tell the second refresh from the first.
	At time.Time
	// EventTime is when the event happened at the sender; zero if unknown.
	EventTime time.Time
	// Received is when Postern took the event in. It tells requests apart; without it
	// no note is taken of the request, and nothing is told to be late by it.
	Received time.Time
	// Retry is set if the request may have been tried before, so that what was
	// received after it may have been written meanwhile.
	Retry bool
	// Since is when the delivery began to be carried out, by the clock of this process.
	// What a decision reads beside the target is read after that: once for all requests
	// of one delivery. If it is zero that is when the request is written.
	Since time.Time
	// Override is set to write an event again on purpose, however old it is.
	Override bool
	// Ordering is what the Writer adds to the request; others leave it.
	Ordering OrderingState
}

// OrderingState is what a Writer knows of the order of requests that a target does not tell.
type OrderingState struct {
	// maxReceived is the latest receipt that may be true; zero if any may.
	maxReceived time.Time
	// watermarks is what the target was found to hold.
	watermarks watermarkSet
	// shared is whether other processes may write the target.
	shared bool
	// kept is where a plan remembers what it read of AnnotationEventTime; nil outside of one.
	kept *lastRead
}

// Equal reports whether two are the same, for tests.
func (k OrderingState) Equal(other OrderingState) bool {
	return k.maxReceived.Equal(other.maxReceived) && maps.Equal(k.watermarks, other.watermarks)
}

// RefType says what a git ref names.
type RefType string

// The types that make a difference to what is followed. Others follow nothing.
const (
	RefTypeBranch RefType = "Branch"
	RefTypeTag    RefType = "Tag"
)

// mayBeBranch and mayBeTag report what the ref may name, as far as is known.
func (r Request) mayBeBranch() bool { return r.RefType == RefTypeBranch || r.RefType == "" }
func (r Request) mayBeTag() bool    { return r.RefType == RefTypeTag || r.RefType == "" }

// at is the time of the request as annotations carry it.
func (r Request) at() string {
	return r.At.UTC().Format(time.RFC3339)
}
