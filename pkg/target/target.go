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
	"postern.dev/postern/apis/postern"
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

// kindImageUpdater is only read: its objects configure the images of Applications.
const kindImageUpdater postern.TargetKind = "ImageUpdater"

// Kinds returns every kind that is written to.
func Kinds() []postern.TargetKind {
	return []postern.TargetKind{postern.TargetGatewaySync, postern.TargetApplication}
}

// cachedKinds returns every kind that Cache watches.
func cachedKinds() []postern.TargetKind {
	return append(Kinds(), kindImageUpdater)
}

// api returns the resource of a kind, and a new empty object.
func apiOf(kind postern.TargetKind) (schema.GroupVersionResource, runtime.Object, error) {
	switch kind {
	case postern.TargetGatewaySync:
		return stokerv1alpha1.SchemeGroupVersion.WithResource("gatewaysyncs"), &stokerv1alpha1.GatewaySync{}, nil
	case postern.TargetApplication:
		return argov1alpha1.SchemeGroupVersion.WithResource("applications"), &argov1alpha1.Application{}, nil
	case kindImageUpdater:
		return iuv1alpha1.SchemeGroupVersion.WithResource("imageupdaters"), &iuv1alpha1.ImageUpdater{}, nil
	}
	return schema.GroupVersionResource{}, nil, fmt.Errorf("unknown kind %q", string(kind))
}

// Request is an event for one target.
type Request struct {
	// DeliveryEvent is what the sender requests. It must be valid. It is shared: nothing may change it.
	*postern.DeliveryEvent
	// IfFollowed is set if no target was named. The request is then written only if the target follows it at the time
	// of the write. A match by Cache.Matches does not suffice: of two tags that are pushed at once the lower one may be
	// written second.
	IfFollowed bool
	// Anonymous is true if the cluster has not authenticated the sender. Planning such requests does not delay those of
	// authenticated senders.
	Anonymous bool
	// At is when the request is written. It must differ between requests to one target, so that Argo CD sees a new
	// refresh.
	At time.Time
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

// mayBeBranch and mayBeTag report whether the ref may be of that type. Both are true if the type is unknown.
func (r Request) mayBeBranch() bool { return r.RefType == postern.RefTypeBranch || r.RefType == "" }
func (r Request) mayBeTag() bool    { return r.RefType == postern.RefTypeTag || r.RefType == "" }

// image returns the requested image.
func (r Request) image() imageupdate.Image {
	return imageupdate.Image{Name: r.Image.Name(), Tag: r.Image.Tag, Digest: r.Image.Digest}
}

// EventTime returns when the event happened, by the sender; zero if unknown. A wrong or false time must not supersede
// later requests, so a time after the receipt becomes the receipt, in whole seconds as many senders give it.
func (r Request) EventTime() time.Time {
	switch {
	case r.Time == nil:
		return time.Time{}
	case r.Time.After(r.Received):
		return r.Received.Truncate(time.Second)
	}
	return r.Time.Time
}

// at returns the time of the request as it is written to annotations.
func (r Request) at() string {
	return r.At.UTC().Format(time.RFC3339)
}
