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

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
)

// fieldManager is the owner of the fields that Postern writes, in managedFields.
const fieldManager = "postern"

// endpoint accesses one kind on the API server. It has no method that sends a whole object.
type endpoint struct {
	kind     postern.TargetKind
	resource string
	client   rest.Interface
}

func newEndpoints(cfg *rest.Config, kinds []postern.TargetKind) (map[postern.TargetKind]endpoint, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		stokerv1alpha1.AddToScheme, argov1alpha1.AddToScheme, iuv1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("could not register the types of targets: %w", err)
		}
	}
	codecs := serializer.NewCodecFactory(scheme).WithoutConversion()

	endpoints := map[postern.TargetKind]endpoint{}
	for _, kind := range kinds {
		resource, _, err := apiOf(kind)
		if err != nil {
			return nil, err
		}
		version := resource.GroupVersion()
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
		client, err := rest.RESTClientFor(kindConfig)
		if err != nil {
			return nil, fmt.Errorf("could not make a client for %s: %w", kind, err)
		}
		endpoints[kind] = endpoint{kind: kind, resource: resource.Resource, client: client}
	}
	return endpoints, nil
}

// get reads an object, and returns the document as received, too. It does not retry.
func (e endpoint) get(ctx context.Context, key postern.TargetKey) (obj runtime.Object, document []byte, err error) {
	if _, obj, err = apiOf(key.Kind); err != nil {
		return nil, nil, err
	}
	result := e.client.Get().
		Namespace(key.Namespace).
		Resource(e.resource).
		Name(key.Name).
		MaxRetries(0).
		Do(ctx)
	if err := result.Into(obj); err != nil {
		return nil, nil, err
	}
	document, err = result.Raw()
	return obj, document, err
}

// patch sends a JSON patch and returns the patched object. With dryRun the API server does everything, including
// admission, except to store the object. It does not retry.
func (e endpoint) patch(ctx context.Context, key postern.TargetKey, patch []byte, dryRun bool) (runtime.Object, error) {
	_, obj, err := apiOf(key.Kind)
	if err != nil {
		return nil, err
	}
	options := &metav1.PatchOptions{FieldManager: fieldManager}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	err = e.client.Patch(types.JSONPatchType).
		Namespace(key.Namespace).
		Resource(e.resource).
		Name(key.Name).
		VersionedParams(options, metav1.ParameterCodec).
		Body(patch).
		MaxRetries(0).
		Do(ctx).
		Into(obj)
	return obj, err
}

// listWatch lists and watches the objects of all namespaces.
func (e endpoint) listWatch() cache.ListerWatcher {
	return cache.NewListWatchFromClient(e.client, e.resource, metav1.NamespaceAll, fields.Everything())
}
