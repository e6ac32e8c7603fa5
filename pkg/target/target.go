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

// The annotations that Postern writes to an Application, which has none of its own for a requested ref. They always
// describe one and the same request.
const (
	// AnnotationRequestedRef is the requested git ref by its short name, or the reference of the requested image.
	AnnotationRequestedRef = "postern.dev/requested-ref"
	// AnnotationRequestedAt is the time of the request, RFC 3339 in UTC.
	AnnotationRequestedAt = "postern.dev/requested-at"
	// AnnotationRequestedBy is the kind of sender.
	AnnotationRequestedBy = "postern.dev/requested-by"
	// AnnotationRequestedRevision is the commit that the ref pointed at, if the sender gave it. Without it a second
	// push to a branch would look like a repeat.
	AnnotationRequestedRevision = "postern.dev/requested-revision"
)

// AnnotationUpdateTargetRevision is set to "true" by the owner of an Application whose targetRevision should follow
// requests.
const AnnotationUpdateTargetRevision = "postern.dev/update-target-revision"

// Kind is a kind of object that Postern reads or writes.
type Kind string

// The kinds of targets.
const (
	KindGatewaySync Kind = "GatewaySync"
	KindApplication Kind = "Application"
)

// kindImageUpdater is only read: its objects configure the images of Applications.
const kindImageUpdater Kind = "ImageUpdater"

// Kinds returns every kind that is written to.
func Kinds() []Kind {
	return []Kind{KindGatewaySync, KindApplication}
}

// cachedKinds returns every kind that Cache watches.
func cachedKinds() []Kind {
	return append(Kinds(), kindImageUpdater)
}

// api returns the resource of a kind, and a new empty object.
func (k Kind) api() (schema.GroupVersionResource, runtime.Object, error) {
	switch k {
	case KindGatewaySync:
		return stokerv1alpha1.SchemeGroupVersion.WithResource("gatewaysyncs"), &stokerv1alpha1.GatewaySync{}, nil
	case KindApplication:
		return argov1alpha1.SchemeGroupVersion.WithResource("applications"), &argov1alpha1.Application{}, nil
	case kindImageUpdater:
		return iuv1alpha1.SchemeGroupVersion.WithResource("imageupdaters"), &iuv1alpha1.ImageUpdater{}, nil
	}
	return schema.GroupVersionResource{}, nil, fmt.Errorf("unknown kind %q", string(k))
}

// Key identifies one object.
type Key struct {
	Kind      Kind
	Namespace string
	Name      string
}

// String returns the key as "Kind namespace/name".
func (k Key) String() string {
	return fmt.Sprintf("%s %s/%s", k.Kind, k.Namespace, k.Name)
}

// Request is a request to a target. The caller must have validated Ref, Revision and Image.
type Request struct {
	// Ref is a git ref by its short name, such as "main" or "v2.0.0". It is ignored if Image is set.
	Ref string
	// Revision is the id of the commit that the ref points at; empty if unknown.
	Revision string
	// RefType is the type of the ref; empty if unknown.
	RefType RefType
	// DefaultBranch is set if the ref is known to be the default branch, which HEAD names.
	DefaultBranch bool
	// Repository is the URL of the git repository; empty if unknown.
	Repository string
	// Image is the image that was pushed; nil for a git ref.
	Image *imageupdate.Image
	// IfFollowed is set if no target was named. The request is then written only if the target follows it at the time
	// of the write. A match by Cache.Matches does not suffice: of two tags that are pushed at once the lower one may be
	// written second.
	IfFollowed bool
	// By is the kind of sender, such as "github".
	By string
	// Anonymous is true if the cluster has not authenticated the sender. Planning such requests does not delay those of
	// authenticated senders.
	Anonymous bool
	// At is when the request is written. It must differ between requests to one target, so that Argo CD sees a new
	// refresh.
	At time.Time
	// EventTime is when the event happened, by the sender; zero if unknown.
	EventTime time.Time
	// Received is when Postern received the event. It identifies the request. A request without it is not recorded, and
	// supersedes no other.
	Received time.Time
	// Retry is set if the request may have been tried before, so that requests received after it may have been written.
	Retry bool
	// Since is when processing of the delivery began, by the clock of this process. Objects other than the target are
	// read after it, once for all requests of a delivery. If it is zero the start of the write is used.
	Since time.Time
	// Override is set to write an event again on purpose, no matter how old it is.
	Override bool
	// Ordering is set by the Writer. Callers leave it empty.
	Ordering OrderingState
}

// OrderingState is what a Writer knows about the order of requests that the target does not record.
type OrderingState struct {
	// maxReceived is the latest plausible receipt; zero if all are plausible.
	maxReceived time.Time
	// watermarks are the last requests that the target was found to hold.
	watermarks watermarkSet
	// shared is whether other processes write to the target.
	shared bool
	// kept caches AnnotationEventTime during a plan; nil outside of one.
	kept *lastRead
}

// Equal compares two states, for tests.
func (k OrderingState) Equal(other OrderingState) bool {
	return k.maxReceived.Equal(other.maxReceived) && maps.Equal(k.watermarks, other.watermarks)
}

// RefType is the type of a git ref.
type RefType string

// The types of refs that targets can follow.
const (
	RefTypeBranch RefType = "Branch"
	RefTypeTag    RefType = "Tag"
)

// mayBeBranch and mayBeTag report whether the ref may be of that type. Both are true if the type is unknown.
func (r Request) mayBeBranch() bool { return r.RefType == RefTypeBranch || r.RefType == "" }
func (r Request) mayBeTag() bool    { return r.RefType == RefTypeTag || r.RefType == "" }

// at returns the time of the request as it is written to annotations.
func (r Request) at() string {
	return r.At.UTC().Format(time.RFC3339)
}
