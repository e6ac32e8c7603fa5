// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

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

// informers keeps a copy of the one Secret and the one APIService. RBAC lets us see no other, so it asks for no other.
type informers struct {
	secret, apiService cache.SharedInformer
}

func newInformers(kube kubernetes.Interface, registration aggregator.Interface, service Service, secretName, apiServiceName string, changed func()) (*informers, error) {
	w := &informers{
		secret:     newInformer(kube.CoreV1().RESTClient(), "secrets", service.Namespace, secretName, &corev1.Secret{}),
		apiService: newInformer(registration.ApiregistrationV1().RESTClient(), "apiservices", "", apiServiceName, &apiregistrationv1.APIService{}),
	}
	for _, informer := range []cache.SharedInformer{w.secret, w.apiService} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { changed() },
			UpdateFunc: func(any, any) { changed() },
			DeleteFunc: func(any) { changed() },
		}); err != nil {
			return nil, fmt.Errorf("could not follow the certificates: %w", err)
		}
	}
	return w, nil
}

func newInformer(client rest.Interface, resource, namespace, name string, example runtime.Object) cache.SharedInformer {
	one := fields.OneTermEqualSelector("metadata.name", name)
	return cache.NewSharedInformer(cache.NewListWatchFromClient(client, resource, namespace, one), example, 0)
}

// run follows both until ctx is done.
func (w *informers) run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { w.secret.RunWithContext(ctx) })
	both.Go(func() { w.apiService.RunWithContext(ctx) })
	both.Wait()
}

// currentSecret returns the Secret, nil if there is none; known is false as long as nobody has told.
func (w *informers) currentSecret() (secret *corev1.Secret, known bool) {
	known = w.secret.HasSynced()
	return singleObject[*corev1.Secret](w.secret), known
}

// currentAPIService returns the APIService, nil if there is none; known is false as long as nobody has told.
func (w *informers) currentAPIService() (apiService *apiregistrationv1.APIService, known bool) {
	known = w.apiService.HasSynced()
	return singleObject[*apiregistrationv1.APIService](w.apiService), known
}

// singleObject returns the one object, which is shared and must not be changed.
func singleObject[T any](informer cache.SharedInformer) (object T) {
	for _, one := range informer.GetStore().List() {
		object, _ = one.(T)
	}
	return object
}
