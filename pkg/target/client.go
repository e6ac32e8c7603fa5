// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/apis/postern"
)

// fieldManager is the owner of the fields that Postern writes, in managedFields.
const fieldManager = "postern"

// client accesses one kind on the API server. It has no method that sends a whole object, and does not retry.
type client struct {
	*resource
	rest rest.Interface
}

// newClients returns a client for each resource, by kind.
func newClients(cfg *rest.Config, resources []*resource) (map[postern.TargetKind]client, error) {
	scheme := runtime.NewScheme()
	codecs := serializer.NewCodecFactory(scheme).WithoutConversion()
	clients := map[postern.TargetKind]client{}
	for _, r := range resources {
		if err := r.addToScheme(scheme); err != nil {
			return nil, fmt.Errorf("could not register the types of %s: %w", r.kind, err)
		}
		version := r.GroupVersion()
		kindConfig := rest.CopyConfig(cfg)
		kindConfig.APIPath = "/apis"
		kindConfig.ContentConfig = rest.ContentConfig{
			ContentType:          runtime.ContentTypeJSON, // custom resources have no protobuf
			GroupVersion:         &version,
			NegotiatedSerializer: codecs,
		}
		// API Priority and Fairness limits us. A client-side limit would only add latency.
		kindConfig.QPS, kindConfig.RateLimiter = -1, nil
		// Compressing watches costs both sides more than it saves on the network of a cluster.
		kindConfig.DisableCompression = true
		restClient, err := rest.RESTClientFor(kindConfig)
		if err != nil {
			return nil, fmt.Errorf("could not make a client for %s: %w", r.kind, err)
		}
		clients[r.kind] = client{r, restClient}
	}
	return clients, nil
}

// get reads an object, and returns the document as received, too.
func (c client) get(ctx context.Context, key postern.TargetKey) (obj object, document []byte, err error) {
	result := c.rest.Get().Namespace(key.Namespace).Resource(c.Resource).Name(key.Name).MaxRetries(0).Do(ctx)
	obj = c.newObject()
	if err := result.Into(obj); err != nil {
		return nil, nil, err
	}
	document, err = result.Raw()
	return obj, document, err
}

// patch sends a JSON patch and returns the patched object. With dryRun the API server does everything, including
// admission, except to store the object.
func (c client) patch(ctx context.Context, key postern.TargetKey, patch []byte, dryRun bool) (object, error) {
	options := &metav1.PatchOptions{FieldManager: fieldManager}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	obj := c.newObject()
	err := c.rest.Patch(types.JSONPatchType).Namespace(key.Namespace).Resource(c.Resource).Name(key.Name).
		VersionedParams(options, metav1.ParameterCodec).Body(patch).MaxRetries(0).Do(ctx).Into(obj)
	return obj, err
}

// listWatch lists and watches the objects of all namespaces.
func (c client) listWatch() cache.ListerWatcher {
	return cache.NewListWatchFromClient(c.rest, c.Resource, metav1.NamespaceAll, fields.Everything())
}
