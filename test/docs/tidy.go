// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// tidier removes everything that a page created, so that the next page starts from the same state. It replaces the
// namespace controller, which does not run here.
type tidier struct {
	discovery discovery.DiscoveryInterface
	objects   metadata.Interface
	kube      kubernetes.Interface
	// before are the cluster-scoped objects that existed before the first page.
	before sets.Set[string]
}

func newTidier(ctx context.Context, config *rest.Config) (*tidier, error) {
	t := &tidier{}
	var err error
	if t.discovery, err = discovery.NewDiscoveryClientForConfig(config); err != nil {
		return nil, err
	}
	if t.objects, err = metadata.NewForConfig(config); err != nil {
		return nil, err
	}
	if t.kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	t.before = sets.New[string]()
	err = t.eachClusterObject(ctx, func(resource schema.GroupVersionResource, name string) error {
		t.before.Insert(key(resource, name))
		return nil
	})
	return t, err
}

func key(resource schema.GroupVersionResource, name string) string {
	return resource.GroupResource().String() + "/" + name
}

// tidy deletes all other cluster-scoped objects, and namespaces with their content.
func (t *tidier) tidy(ctx context.Context) error {
	return t.eachClusterObject(ctx, func(resource schema.GroupVersionResource, name string) error {
		if t.before.Has(key(resource, name)) {
			return nil
		}
		if resource.Group == admissionregistrationv1.GroupName {
			return fmt.Errorf("%s would still affect the next page for a while: give this page its own control plane",
				key(resource, name))
		}
		err := t.objects.Resource(resource).Delete(ctx, name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("could not delete %s: %w", key(resource, name), err)
		}
		if resource.GroupResource() == corev1.Resource("namespaces") {
			return t.emptyNamespace(ctx, name)
		}
		return nil
	})
}

// emptyNamespace deletes everything in a terminating namespace, and then finalizes it.
func (t *tidier) emptyNamespace(ctx context.Context, name string) error {
	resources, err := t.resources(true, "deletecollection")
	if err != nil {
		return err
	}
	for _, resource := range resources {
		err := t.objects.Resource(resource).Namespace(name).DeleteCollection(ctx, metav1.DeleteOptions{},
			metav1.ListOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("could not delete the %s in %s: %w", resource.Resource, name, err)
		}
	}
	_, err = t.kube.CoreV1().Namespaces().Finalize(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
		metav1.UpdateOptions{})
	return err
}

func (t *tidier) eachClusterObject(ctx context.Context, do func(schema.GroupVersionResource, string) error) error {
	resources, err := t.resources(false, "delete", "list")
	if err != nil {
		return err
	}
	var errs []error
	for _, resource := range resources {
		list, err := t.objects.Resource(resource).List(ctx, metav1.ListOptions{})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, item := range list.Items {
			errs = append(errs, do(resource, item.Name))
		}
	}
	return errors.Join(errs...)
}

// resources returns the served resources that support all of the verbs.
func (t *tidier) resources(namespaced bool, verbs ...string) ([]schema.GroupVersionResource, error) {
	lists, err := discovery.ServerPreferredResources(t.discovery)
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) { // a page may have stopped Postern
		return nil, err
	}
	var found []schema.GroupVersionResource
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			lacks := func(verb string) bool { return !slices.Contains(resource.Verbs, verb) }
			if resource.Namespaced == namespaced && !slices.ContainsFunc(verbs, lacks) {
				found = append(found, version.WithResource(resource.Name))
			}
		}
	}
	return found, nil
}
