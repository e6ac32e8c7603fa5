// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/apiserver/filters"
	"postern.dev/postern/pkg/delivery"
)

// Redeliverer repeats a recorded delivery.
type Redeliverer interface {
	Redeliver(
		ctx context.Context, original *postern.WebhookDelivery, sender user.Info, dryRun bool,
	) (*postern.WebhookDelivery, error)
}

// RecordGetter gets the record of a delivery.
type RecordGetter interface {
	Get(ctx context.Context, namespace, name string) (*postern.WebhookDelivery, error)
}

// RedeliverREST serves POST of webhookdeliveries/<name>/redeliver. The request has no body.
type RedeliverREST struct {
	records     RecordGetter
	redeliverer Redeliverer
	encoder     runtime.Encoder
	// authorizer asks the kube-apiserver. The authorization of the request does not cover the target of the record.
	authorizer authorizer.Authorizer
}

var (
	_ rest.Connecter       = &RedeliverREST{}
	_ rest.StorageMetadata = &RedeliverREST{}
)

// NewRedeliverREST returns the storage of the redeliver subresource. authz must not allow a request because it was
// relayed.
func NewRedeliverREST(
	records RecordGetter, redeliverer Redeliverer, encoder runtime.Encoder, authz authorizer.Authorizer,
) *RedeliverREST {
	return &RedeliverREST{records: records, redeliverer: redeliverer, encoder: encoder, authorizer: authz}
}

// New returns an empty delivery, the kind of the subresource.
func (r *RedeliverREST) New() runtime.Object { return &postern.WebhookDelivery{} }

// Destroy does nothing.
func (r *RedeliverREST) Destroy() {}

// ConnectMethods returns the supported HTTP methods.
func (r *RedeliverREST) ConnectMethods() []string { return []string{http.MethodPost} }

// NewConnectOptions returns nil: there are no options.
func (r *RedeliverREST) NewConnectOptions() (runtime.Object, bool, string) { return nil, false, "" }

// ProducesMIMETypes returns the media type for the OpenAPI document.
func (r *RedeliverREST) ProducesMIMETypes(string) []string { return []string{runtime.ContentTypeJSON} }

// ProducesObject returns the response type for the OpenAPI document.
func (r *RedeliverREST) ProducesObject(string) any { return v1alpha1.WebhookDelivery{} }

// Connect returns the handler of one request. Only ctx has the namespace.
func (r *RedeliverREST) Connect(
	ctx context.Context, name string, _ runtime.Object, _ rest.Responder,
) (http.Handler, error) {
	namespace, ok := genericapirequest.NamespaceFrom(ctx)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("a request to redeliver %q has no namespace", name))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		delivered, err := r.redeliver(genericapirequest.WithNamespace(req.Context(), namespace), namespace, name)
		writeResponse(w, r.encoder, http.StatusAccepted, delivered, err)
	}), nil
}

func (r *RedeliverREST) redeliver(ctx context.Context, namespace, name string) (*postern.WebhookDelivery, error) {
	dryRun, err := filters.DryRunFrom(ctx)
	if err != nil {
		return nil, err
	}
	sender, _ := genericapirequest.UserFrom(ctx)
	// Checked before the lookup, so that anonymous callers can't find out which records exist.
	if err := delivery.RequireIdentity(sender, "a delivery is redelivered"); err != nil {
		return nil, err
	}
	original, err := r.records.Get(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	if err := r.authorize(ctx, original, sender); err != nil {
		return nil, err
	}
	delivered, err := r.redeliverer.Redeliver(ctx, original, sender, dryRun)
	return delivery.Advise(original, delivered, err)
}
