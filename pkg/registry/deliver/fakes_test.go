// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/install"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/apiserver/filters"
	"postern.dev/postern/pkg/delivery"
)

const limit = 16

// testEndpoint is the endpoint of the GatewaySync plant in the namespace demo, at the URL of a server.
type testEndpoint struct {
	url       string
	deliverer *fakeDeliverer
	lister    *fakeLister
}

func newTestEndpoint(t *testing.T) *testEndpoint {
	t.Helper()
	return newTestEndpointTo(t, TargetAddress(postern.TargetGatewaySync), "plant")
}

// newTestEndpointTo returns the endpoint of a name resolved by address.
func newTestEndpointTo(t *testing.T, address func(string) (Address, error), name string) *testEndpoint {
	t.Helper()
	scheme := runtime.NewScheme()
	install.Install(scheme)
	d := &testEndpoint{deliverer: &fakeDeliverer{}, lister: &fakeLister{}}
	storage := NewREST(Config{
		Address: address, Deliverer: d.deliverer, Deliveries: d.lister, MaxPayloadBytes: limit,
		Encoder: serializer.NewCodecFactory(scheme).LegacyCodec(v1alpha1.SchemeGroupVersion),
	})
	handler, err := storage.Connect(genericapirequest.WithNamespace(t.Context(), "demo"), name, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(asFiltersDo(filters.WithDryRun(handler)))
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

// asFiltersDo sets the context of a request like the filters do, without the namespace. It also wraps the writer like
// they do, so that net/http does not notice oversized bodies.
func asFiltersDo(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ctx := genericapirequest.WithUser(req.Context(),
			&user.DefaultInfo{Name: "ci", Groups: []string{user.AllAuthenticated}})
		ctx = genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{Subresource: "webhookdeliveries"})
		next.ServeHTTP(struct{ http.ResponseWriter }{w}, req.WithContext(delivery.WithQuerySecret(ctx, "s3cret")))
	})
}

// fakeDeliverer returns err, or the delivery as applied.
type fakeDeliverer struct {
	err error

	called    bool
	delivered *postern.WebhookDelivery
	in        delivery.Request
	dryRun    bool
}

func (f *fakeDeliverer) Deliver(
	_ context.Context, r *delivery.Request,
) (*postern.WebhookDelivery, error) {
	d := r.Delivery
	f.called, f.delivered, f.in, f.dryRun = true, d.DeepCopy(), *r, r.DryRun
	f.in.Delivery, f.in.DryRun = nil, false
	if f.err != nil {
		return nil, f.err
	}
	d.Name, d.Spec.Events, d.Status.Phase = "generic-x", []postern.DeliveryEvent{}, postern.DeliveryApplied
	return d, nil
}

// fakeLister returns err, or one delivery in the requested namespace.
type fakeLister struct {
	rest.Lister
	err error

	selector string
}

func (f *fakeLister) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	f.selector = options.FieldSelector.String()
	if f.err != nil {
		return nil, f.err
	}
	d := postern.WebhookDelivery{}
	d.Namespace, d.Name, d.Spec.Events = genericapirequest.NamespaceValue(ctx), "github-x", []postern.DeliveryEvent{}
	return &postern.WebhookDeliveryList{Items: []postern.WebhookDelivery{d}}, nil
}
