// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package deliver implements the by-target and by-source endpoints: the webhookdeliveries subresources of a target and
// of a type of sender, to which a sender POSTs its own payload, byte for byte. It reads requests and writes responses.
// It must not depend on how a delivery is executed.
package deliver

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/apiserver/filters"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/payload"
)

// Deliverer runs a delivery through all stages.
type Deliverer interface {
	Deliver(ctx context.Context, r *delivery.Request) (*postern.WebhookDelivery, error)
}

// Address is the destination of a delivery: one target, or all targets that follow what a type of sender pushed.
type Address struct {
	Target *postern.TargetReference
	Source string
}

// TargetAddress returns a function that addresses objects of a kind by name.
func TargetAddress(kind postern.TargetKind) func(string) (Address, error) {
	return func(name string) (Address, error) {
		return Address{Target: &postern.TargetReference{Kind: kind, Name: name}}, nil
	}
}

// SourceAddress returns a function that addresses the given types of sender by name.
func SourceAddress(sources []string) func(string) (Address, error) {
	return func(name string) (Address, error) {
		if !slices.Contains(sources, name) {
			return Address{}, errSourceNotFound(name)
		}
		return Address{Source: name}, nil
	}
}

// errSourceNotFound repeats name only if it can't contain a secret.
func errSourceNotFound(name string) error {
	if payload.LooksLikeSource(name) {
		return apierrors.NewNotFound(postern.Resource("webhooksources"), name)
	}
	err := apierrors.NewNotFound(postern.Resource("webhooksources"), "")
	err.ErrStatus.Message = "the name in the path can't be a type of sender: it is too long, or has characters other " +
		"than lower-case letters, digits, dots and dashes; " +
		"a query begins with ?, as in ?secret=, not with & or an encoded ?"
	return err
}

// selector selects the deliveries to a target, or from a type of sender, of all endpoints.
func (a Address) selector() fields.Selector {
	if a.Target == nil {
		return fields.OneTermEqualSelector(v1alpha1.FieldSource, a.Source)
	}
	return fields.AndSelectors(
		fields.OneTermEqualSelector(v1alpha1.FieldTargetKind, string(a.Target.Kind)),
		fields.OneTermEqualSelector(v1alpha1.FieldTargetName, a.Target.Name),
	)
}

// Config is the configuration of an endpoint. All fields are required.
type Config struct {
	// Address returns the destination of deliveries by the name in the path.
	Address func(name string) (Address, error)
	// Deliverer executes deliveries.
	Deliverer Deliverer
	// Deliveries lists recorded deliveries.
	Deliveries rest.Lister
	// Encoder encodes objects as JSON of the external version.
	Encoder runtime.Encoder
	// MaxPayloadBytes bounds a payload.
	MaxPayloadBytes int64
}

// REST serves POST and GET of <targets>/<name>/webhookdeliveries, and of webhooksources/<type>/webhookdeliveries.
type REST struct {
	Config
}

var (
	_ rest.Connecter       = &REST{}
	_ rest.StorageMetadata = &REST{}
)

// NewREST returns the storage of an endpoint.
func NewREST(config Config) *REST { return &REST{config} }

// New returns an empty delivery, the kind of the subresource.
func (r *REST) New() runtime.Object { return &postern.WebhookDelivery{} }

// Destroy does nothing.
func (r *REST) Destroy() {}

// ConnectMethods returns the supported HTTP methods.
func (r *REST) ConnectMethods() []string { return []string{http.MethodPost, http.MethodGet} }

// NewConnectOptions returns nil; the query is read from the request.
func (r *REST) NewConnectOptions() (runtime.Object, bool, string) { return nil, false, "" }

// ProducesMIMETypes returns the media type for the OpenAPI document.
func (r *REST) ProducesMIMETypes(string) []string { return []string{runtime.ContentTypeJSON} }

// ProducesObject returns the response type for the OpenAPI document.
func (r *REST) ProducesObject(verb string) any {
	if verb == http.MethodGet {
		return v1alpha1.WebhookDeliveryList{}
	}
	return v1alpha1.WebhookDelivery{}
}

// Connect returns the handler of one request. Only ctx has the namespace.
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
		// Unlike ctx, the request's context is canceled when the client leaves.
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

func (r *REST) deliver(
	ctx context.Context, w http.ResponseWriter, req *http.Request, address Address,
) (runtime.Object, error) {
	dryRun, err := filters.DryRunFrom(ctx)
	if err != nil {
		return nil, err
	}
	body, err := filters.ReadBody(w, req, r.MaxPayloadBytes, filters.PayloadTooLargeMessage(r.MaxPayloadBytes))
	if err != nil {
		return nil, err
	}
	sender, _ := genericapirequest.UserFrom(ctx)
	d := &postern.WebhookDelivery{}
	d.Namespace = genericapirequest.NamespaceValue(ctx)
	d.Spec.Target, d.Spec.Source = address.Target, address.Source
	delivered, err := r.Deliverer.Deliver(ctx, &delivery.Request{
		Delivery:    d,
		Header:      req.Header,
		Body:        body,
		QuerySecret: delivery.QuerySecretFrom(ctx),
		RegistryURL: req.URL.Query().Get("registry_url"),
		User:        sender,
		DryRun:      dryRun,
	})
	delivered, err = delivery.Redact(sender, delivered, err)
	return delivery.Advise(d, delivered, err)
}

// ParentREST is the storage of a resource without verbs. It exists because the framework installs no subresource
// without a parent. Without verbs, clients can't mistake it for the object with the same name.
type ParentREST struct {
	newObject    func() runtime.Object
	singularName string
}

var (
	_ rest.Storage              = &ParentREST{}
	_ rest.Scoper               = &ParentREST{}
	_ rest.SingularNameProvider = &ParentREST{}
)

// NewParentREST returns a parent resource with that singular name and the kind of newObject.
func NewParentREST(singularName string, newObject func() runtime.Object) *ParentREST {
	return &ParentREST{newObject: newObject, singularName: singularName}
}

// New returns an empty object.
func (p *ParentREST) New() runtime.Object { return p.newObject() }

// Destroy does nothing.
func (p *ParentREST) Destroy() {}

// NamespaceScoped returns true.
func (p *ParentREST) NamespaceScoped() bool { return true }

// GetSingularName returns the singular resource name.
func (p *ParentREST) GetSingularName() string { return p.singularName }

// writeResponse writes an object or an error as JSON and ignores the Accept header: the framework's responder would
// negotiate after the delivery was executed and could answer it with a 406.
func writeResponse(w http.ResponseWriter, encoder runtime.Encoder, code int, obj runtime.Object, err error) {
	var body bytes.Buffer
	if err == nil {
		err = encoder.Encode(obj, &body)
	}
	if err != nil {
		filters.WriteError(w, err)
		return
	}
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	w.WriteHeader(code)
	if _, err := w.Write(body.Bytes()); err != nil {
		klog.V(2).InfoS("Could not send a response", "err", err)
	}
}

// refuseListOptions rejects selectors and watches instead of ignoring them.
func refuseListOptions(query url.Values) error {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if name != "pretty" && name != "timeout" {
			return apierrors.NewBadRequest(fmt.Sprintf(
				"this path lists all deliveries of one target or source and does not support %s: to select or watch, "+
					"use webhookdeliveries with a fieldSelector on %s or %s",
				name, v1alpha1.FieldTargetName, v1alpha1.FieldSource))
		}
	}
	return nil
}
