// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package deliver is the doors by target and by source: the webhookdeliveries subresources of an object and of a type of
// sender, to which a sender POSTs its own payload, byte for byte. It reads requests and writes answers, and must not know
// what happens in between.
package deliver

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/payload"
)

// Deliverer takes a delivery through all stages.
type Deliverer interface {
	Deliver(ctx context.Context, d *postern.WebhookDelivery, in delivery.Request, dryRun bool) (*postern.WebhookDelivery, error)
}

// Address says where a delivery goes: to one target, or to whatever wants what a type of sender pushed.
type Address struct {
	Target *postern.TargetReference
	Source string
}

// TargetAddress addresses the objects of a kind.
func TargetAddress(kind postern.TargetKind) func(string) (Address, error) {
	return func(name string) (Address, error) {
		return Address{Target: &postern.TargetReference{Kind: kind, Name: name}}, nil
	}
}

// SourceAddress addresses the types of sender, of which there are these.
func SourceAddress(sources []string) func(string) (Address, error) {
	return func(name string) (Address, error) {
		if !slices.Contains(sources, name) {
			return Address{}, errSourceNotFound(name)
		}
		return Address{Source: name}, nil
	}
}

// errSourceNotFound repeats only what can't hold a secret.
func errSourceNotFound(name string) error {
	if payload.LooksLikeSource(name) {
		return apierrors.NewNotFound(postern.Resource("webhooksources"), name)
	}
	err := apierrors.NewNotFound(postern.Resource("webhooksources"), "")
	err.ErrStatus.Message = "what the path names can't be a type of sender, since it is long, or has others than lower-case letters, digits, dots and dashes; " +
		"what is in the query begins with ?, as in ?secret=, not with & or an encoded ?"
	return err
}

// selector selects the deliveries to a target, or those of a type of sender, by whatever door they came.
func (a Address) selector() fields.Selector {
	if a.Target == nil {
		return fields.OneTermEqualSelector(v1alpha1.FieldSource, a.Source)
	}
	return fields.AndSelectors(
		fields.OneTermEqualSelector(v1alpha1.FieldTargetKind, string(a.Target.Kind)),
		fields.OneTermEqualSelector(v1alpha1.FieldTargetName, a.Target.Name),
	)
}

// Config is what a door works with. Every field is needed.
type Config struct {
	// Address says where a delivery at the path with that name goes.
	Address func(name string) (Address, error)
	// Deliverer gets what comes in.
	Deliverer Deliverer
	// Deliveries lists what came in.
	Deliveries rest.Lister
	// Encoder writes objects as JSON of the external version.
	Encoder runtime.Encoder
	// MaxPayloadBytes bounds a payload.
	MaxPayloadBytes int64
}

// REST serves POST and GET of <targets>/<name>/webhookdeliveries, and of webhooksources/<type>/webhookdeliveries.
type REST struct {
	Config
}

// This is exactly what is served.
var (
	_ rest.Connecter       = &REST{}
	_ rest.StorageMetadata = &REST{}
)

// NewREST returns a door.
func NewREST(config Config) *REST { return &REST{config} }

// New returns an empty delivery: the kind that the subresource is said to have.
func (r *REST) New() runtime.Object { return &postern.WebhookDelivery{} }

// Destroy has nothing to release.
func (r *REST) Destroy() {}

// ConnectMethods are the HTTP methods that are served.
func (r *REST) ConnectMethods() []string { return []string{http.MethodPost, http.MethodGet} }

// NewConnectOptions says that there are none; what is in the query is read from the request.
func (r *REST) NewConnectOptions() (runtime.Object, bool, string) { return nil, false, "" }

// ProducesMIMETypes is for the API's documentation.
func (r *REST) ProducesMIMETypes(string) []string { return []string{runtime.ContentTypeJSON} }

// ProducesObject is for the API's documentation.
func (r *REST) ProducesObject(verb string) any {
	if verb == http.MethodGet {
		return v1alpha1.WebhookDeliveryList{}
	}
	return v1alpha1.WebhookDelivery{}
}

// Connect returns the handler of one request. The namespace is in ctx, and in no other context.
func (r *REST) Connect(ctx context.Context, name string, _ runtime.Object, _ rest.Responder) (http.Handler, error) {
	namespace, ok := genericapirequest.NamespaceFrom(ctx)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("a request for the deliveries of %q has no namespace", name))
	}
	address, err := r.Address(name)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		// The request's own context also ends when the client leaves; ctx knows the namespace.
		ctx := genericapirequest.WithNamespace(req.Context(), namespace)
		if req.Method == http.MethodGet {
			list, err := r.list(ctx, req, address)
			writeResponse(w, r.Encoder, http.StatusOK, list, err)
			return
		}
		delivered, err := r.deliver(ctx, w, req, address)
		writeResponse(w, r.Encoder, http.StatusAccepted, delivered, err)
	}), nil
}

func (r *REST) list(ctx context.Context, req *http.Request, address Address) (runtime.Object, error) {
	if err := refuseListOptions(req.URL.Query()); err != nil {
		return nil, err
	}
	return r.Deliveries.List(ctx, &internalversion.ListOptions{FieldSelector: address.selector()})
}

func (r *REST) deliver(ctx context.Context, w http.ResponseWriter, req *http.Request, address Address) (runtime.Object, error) {
	dryRun, err := dryRunFrom(ctx)
	if err != nil {
		return nil, err
	}
	body, err := ReadBody(w, req, r.MaxPayloadBytes, PayloadTooLargeMessage(r.MaxPayloadBytes))
	if err != nil {
		return nil, err
	}
	sender, _ := genericapirequest.UserFrom(ctx)
	d := &postern.WebhookDelivery{}
	d.Namespace = genericapirequest.NamespaceValue(ctx)
	d.Spec.Target, d.Spec.Source = address.Target, address.Source
	delivered, err := r.Deliverer.Deliver(ctx, d, delivery.Request{
		Header:      req.Header,
		Body:        body,
		QuerySecret: delivery.QuerySecretFrom(ctx),
		RegistryURL: req.URL.Query().Get("registry_url"),
		User:        sender,
	}, dryRun)
	return delivery.Redact(sender, delivered, err)
}

// ParentREST is the storage of a resource that exists only to have a subresource: the framework installs none without. It
// serves no verb, so that nobody can mistake it for the object whose name it bears.
type ParentREST struct {
	newObject    func() runtime.Object
	singularName string
}

var (
	_ rest.Storage              = &ParentREST{}
	_ rest.Scoper               = &ParentREST{}
	_ rest.SingularNameProvider = &ParentREST{}
)

// NewParentREST returns the parent resource of that singular name, whose kind newObject gives.
func NewParentREST(singularName string, newObject func() runtime.Object) *ParentREST {
	return &ParentREST{newObject: newObject, singularName: singularName}
}

// New returns an empty object.
func (p *ParentREST) New() runtime.Object { return p.newObject() }

// Destroy has nothing to release.
func (p *ParentREST) Destroy() {}

// NamespaceScoped tells that the objects live in namespaces.
func (p *ParentREST) NamespaceScoped() bool { return true }

// GetSingularName returns the singular resource name.
func (p *ParentREST) GetSingularName() string { return p.singularName }
