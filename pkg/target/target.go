// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
	"postern.dev/postern/pkg/naming"
)

// kinds are the kinds of target.
var kinds = []targetKind{gatewaySyncKind{}, applicationKind{}, applicationSetKind{}}

// targetKind is a kind of target. Its methods get objects of the type that its resource makes. The objects may come
// from a cache and must not be modified.
type targetKind interface {
	resource() *resource
	// gitSlot returns the slot of a request for a git ref, see AnnotationEventTime, or noSlot.
	gitSlot(Request) string
	// repositories returns the URLs of the git repositories whose refs an object may follow.
	repositories(object) []string
	// follows reports whether an object follows the pushed git ref of a request. The error says why the configuration
	// by its owner is invalid.
	follows(object, Request) (bool, error)
	// isUnaffected reports whether the files that a followed push changed do not concern an object.
	isUnaffected(object, Request) bool
	// decide returns what a request changes. The decision reads the object through a patchBuilder.
	decide(object, Request, *planState) decision
}

// resource describes the objects of a kind on the API server, and what the cache keeps of them.
type resource struct {
	kind postern.TargetKind
	schema.GroupVersionResource
	addToScheme func(*runtime.Scheme) error
	newObject   func() object
	// annotations are the prefixes of the annotations that decisions read, in addition to Postern's own.
	annotations []string
	// labels is set if decisions read the labels.
	labels bool
	// owners is the kind of owner that decisions read; empty if none.
	owners string
	// imageHandler keeps the image index current. It is nil if ImageUpdater objects do not configure the kind.
	imageHandler func(*imageIndex) cache.ResourceEventHandler
}

// object is an object of a resource.
type object interface {
	runtime.Object
	metav1.Object
	metav1.ObjectMetaAccessor
}

// lookupKind returns a kind of target by its name.
func lookupKind(name postern.TargetKind) (kind targetKind, ok bool) {
	i := slices.IndexFunc(kinds, func(k targetKind) bool { return k.resource().kind == name })
	if i < 0 {
		return nil, false
	}
	return kinds[i], true
}

// kindNames returns the names of the kinds of target.
func kindNames() []postern.TargetKind {
	names := make([]postern.TargetKind, len(kinds))
	for i, kind := range kinds {
		names[i] = kind.resource().kind
	}
	return names
}

// resources returns the resources of all kinds that the cache watches.
func resources() []*resource {
	all := []*resource{&imageUpdaterResource}
	for _, kind := range kinds {
		all = append(all, kind.resource())
	}
	return all
}

// APIVersion returns the group and version with which Postern reads and writes a kind of target; empty if it is none.
func APIVersion(kind postern.TargetKind) string {
	k, ok := lookupKind(kind)
	if !ok {
		return ""
	}
	return k.resource().GroupVersion().String()
}

// trim removes the metadata that decisions do not read from an object that will be cached. It is most of the size of an
// object: managed fields and other annotations, the last applied configuration in particular.
func (r *resource) trim(obj object) {
	meta, ok := obj.GetObjectMeta().(*metav1.ObjectMeta)
	if !ok {
		return
	}
	kept := metav1.ObjectMeta{Namespace: meta.Namespace, Name: meta.Name, ResourceVersion: meta.ResourceVersion}
	if r.labels {
		kept.Labels = meta.Labels
	}
	for _, owner := range meta.OwnerReferences {
		if r.owners != "" && owner.Kind == r.owners {
			kept.OwnerReferences = append(kept.OwnerReferences, metav1.OwnerReference{
				APIVersion: owner.APIVersion, Kind: owner.Kind, Name: owner.Name,
			})
		}
	}
	if meta.Annotations != nil { // a decision depends on whether there is a map
		kept.Annotations = map[string]string{}
	}
	for key, value := range meta.Annotations {
		hasPrefix := func(prefix string) bool { return strings.HasPrefix(key, prefix) }
		if hasPrefix("postern.dev/") || slices.ContainsFunc(r.annotations, hasPrefix) {
			kept.Annotations[key] = value
		}
	}
	*meta = kept
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
	// Again is set for a repeat of a request that was written: if the target still holds it, its consumer is asked to
	// look again. Nothing else is written.
	Again bool
	// Hold is why the delivery itself is held; empty if it is not. Then nothing is written.
	Hold string
	// Released is set if the request was held at the target, and is not any more. A rollback before the release is no
	// reason to hold it again.
	Released bool
	// OnTakenBack is called, at most once, if another client takes the request back soon after it was written. It must
	// not block. It may be nil.
	OnTakenBack func(TakenBack)
}

// mayBeBranch and mayBeTag report whether the ref may be of that type. Both are true if the type is unknown.
func (r Request) mayBeBranch() bool { return r.RefType == postern.RefTypeBranch || r.RefType == "" }
func (r Request) mayBeTag() bool    { return r.RefType == postern.RefTypeTag || r.RefType == "" }

// addresses returns what names the repository of the request.
func (r Request) addresses() (addresses []string) {
	for _, address := range []string{r.Repository, r.SSHURL} {
		if address != "" {
			addresses = append(addresses, address)
		}
	}
	if r.RepositoryID != "" && len(addresses) > 0 {
		addresses = append(addresses, numberedRepository(addresses[0], r.RepositoryID))
	}
	return addresses
}

// isFrom reports whether the request is of a repository, by any of its addresses.
func (r Request) isFrom(repository string) bool {
	return slices.ContainsFunc(r.addresses(), func(address string) bool {
		return naming.SameRepository(repository, address)
	})
}

// isPullRequest reports whether the request is about a pull request, which requests no ref.
func (r Request) isPullRequest() bool { return r.RefType == postern.RefTypePullRequest }

// isCommit reports whether the ref is a commit id. A ref of unknown type that looks like one is used as one.
func (r Request) isCommit() bool {
	return r.RefType == postern.RefTypeCommit || r.RefType == "" && naming.IsCommitID(r.Ref)
}

// isChart reports whether the request is for a version of a chart in an OCI registry. Only targets that follow that
// chart take it, even if they are named.
func (r Request) isChart() bool { return strings.HasPrefix(r.Repository, naming.OCIScheme) }

// onlyIfFollowed reports whether the request is written only if the target follows it.
func (r Request) onlyIfFollowed() bool { return r.IfFollowed || r.isChart() }

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

// Reasons of a Result. Images also have the reasons of package imageupdate.
const (
	// ReasonRequested: the target did not hold the request before.
	ReasonRequested = "Requested"
	// ReasonAlreadyRequested: the target already held the request; nothing was written.
	ReasonAlreadyRequested = "AlreadyRequested"
	// ReasonNotApplicable: a target of this kind can't hold the request.
	ReasonNotApplicable = "NotApplicable"
	// ReasonCommitNotAccepted: the request is for a commit id, which the target can't use, or which its owner does not
	// accept.
	ReasonCommitNotAccepted = "CommitNotAccepted"
	// ReasonNotFollowed: the request did not name the target, and the target does not follow it.
	ReasonNotFollowed = "NotFollowed"
	// ReasonNotDeployedOn: the owner of the target deploys on other events.
	ReasonNotDeployedOn = "NotDeployedOn"
	// ReasonNotAffected: the target follows the pushed branch, but the push changed no file that concerns it.
	ReasonNotAffected = "NotAffected"
	// ReasonSuperseded: a newer request was, or is, written to the target.
	ReasonSuperseded = "Superseded"
	// ReasonHeld: the target is held; see postern.AnnotationHold.
	ReasonHeld = "Held"
	// ReasonDeliveryHeld: the delivery is held by an annotation of its own.
	ReasonDeliveryHeld = "DeliveryHeld"
	// ReasonRolledBack: the target is held because another client has set an older version by hand.
	ReasonRolledBack = "RolledBack"
)

// Result is the effect, or in a dry run the expected effect, of a request on one target.
type Result struct {
	// Err is why the request could not be written; the other fields are then empty. It satisfies apierrors.IsNotFound
	// if the target does not exist, and IsTransient if a retry may succeed.
	Err error
	// Changes are the changed fields that contain the request. Fields about it (when, by whom, the refresh) are not
	// listed, except the time of a request that changes nothing else.
	Changes []Change
	// Previous is the ref that was in effect before, as far as the target shows it.
	Previous string
	// Held is whether the target holds the request in the end. If not, it is unchanged: it does not want the request,
	// or can't hold it.
	Held bool
	// OnHold is whether the target wants the request, and gets it only when it, or the delivery, is released.
	OnHold bool
	// Reason is one of the reasons above or in package imageupdate.
	Reason string
	// Message explains to users what changed, and what did not although they might expect it.
	Message string
	// UID is the UID of the written object; empty if none was written.
	UID types.UID
}

// failedResults returns an error as the result of each of n requests.
func failedResults(n int, err error) []Result {
	return slices.Repeat([]Result{{Err: err}}, n)
}

// Change is the value of a field before and after. An empty value means that the field is absent.
type Change struct {
	Field, Old, New string
}

// String returns the change in words.
func (c Change) String() string {
	switch {
	case c.Old == "":
		return fmt.Sprintf("%s set to %q", c.Field, c.New)
	case c.New == "":
		return fmt.Sprintf("%s %q removed", c.Field, c.Old)
	}
	return fmt.Sprintf("%s %q → %q", c.Field, c.Old, c.New)
}
