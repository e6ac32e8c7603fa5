// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
)

// informers caches the one Secret and the one APIService. RBAC allows no others, so the watches select these by name.
type informers struct {
	secret, apiService cache.SharedInformer
}

func newInformers(kube kubernetes.Interface, registration aggregator.Interface, service Service, secretName,
	apiServiceName string, changed func()) (*informers, error) {
	w := &informers{
		secret: newInformer(kube.CoreV1().RESTClient(), "secrets", service.Namespace, secretName, &corev1.Secret{}),
		apiService: newInformer(registration.ApiregistrationV1().RESTClient(), "apiservices", "", apiServiceName,
			&apiregistrationv1.APIService{}),
	}
	for _, informer := range []cache.SharedInformer{w.secret, w.apiService} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { changed() },
			UpdateFunc: func(any, any) { changed() },
			DeleteFunc: func(any) { changed() },
		}); err != nil {
			return nil, fmt.Errorf("could not watch the certificates: %w", err)
		}
	}
	return w, nil
}

func newInformer(client rest.Interface, resource, namespace, name string, example runtime.Object) cache.SharedInformer {
	one := fields.OneTermEqualSelector("metadata.name", name)
	return cache.NewSharedInformer(cache.NewListWatchFromClient(client, resource, namespace, one), example, 0)
}

// run runs both informers until ctx is done.
func (w *informers) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { w.secret.RunWithContext(ctx) })
	wg.Go(func() { w.apiService.RunWithContext(ctx) })
	wg.Wait()
}

// currentSecret returns the Secret, or nil if it does not exist. known is false until the informer has synced.
func (w *informers) currentSecret() (secret *corev1.Secret, known bool) {
	known = w.secret.HasSynced()
	return singleObject[*corev1.Secret](w.secret), known
}

// currentAPIService returns the APIService, or nil if it does not exist. known is false until the informer has synced.
func (w *informers) currentAPIService() (apiService *apiregistrationv1.APIService, known bool) {
	known = w.apiService.HasSynced()
	return singleObject[*apiregistrationv1.APIService](w.apiService), known
}

// singleObject returns the object in the cache, which is shared and must not be modified.
func singleObject[T any](informer cache.SharedInformer) (object T) {
	for _, one := range informer.GetStore().List() {
		object, _ = one.(T)
	}
	return object
}
