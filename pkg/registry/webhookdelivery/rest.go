// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/util/dryrun"
	"k8s.io/apiserver/pkg/warning"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/delivery"
)

// Executor records a delivery that was received and admitted, writes its targets and returns the record.
type Executor interface {
	Execute(ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool) (*postern.WebhookDelivery, error)
	// Drain returns when the Store is no longer in use.
	Drain()
}

// REST serves webhookdeliveries. Clients can update only the metadata: a delivery happens once, and only the server
// sets the status.
type REST struct {
	store    *Store
	executor Executor
}

var (
	_ rest.Scoper               = &REST{}
	_ rest.SingularNameProvider = &REST{}
	_ rest.ShortNamesProvider   = &REST{}
	_ rest.Getter               = &REST{}
	_ rest.Lister               = &REST{}
	_ rest.Watcher              = &REST{}
	_ rest.Creater              = &REST{}
	_ rest.Patcher              = &REST{}
	_ rest.GracefulDeleter      = &REST{}
	_ rest.CollectionDeleter    = &REST{}
	_ rest.StorageWithReadiness = &REST{}
)

// NewREST returns the storage of webhookdeliveries.
func NewREST(store *Store, executor Executor) *REST {
	return &REST{store: store, executor: executor}
}

// Create executes the delivery after validating admission. The server's admission chain has already verified, decoded
// and mutated it.
func (r *REST) Create(
	ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions,
) (runtime.Object, error) {
	if validate != nil {
		if err := validate(ctx, obj.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	isDryRun := dryrun.IsDryRun(options.DryRun)
	recorded, err := r.executor.Execute(ctx, obj.(*postern.WebhookDelivery), isDryRun)
	sender, _ := genericapirequest.UserFrom(ctx)
	answer, err := delivery.Redact(sender, recorded, err)
	if err != nil && answer == nil {
		return nil, err
	}
	if text := delivery.Warning(answer); text != "" && !isDryRun {
		warning.AddWarning(ctx, "", text)
	}
	// The object exists, and its status has the error. An error response would make clients create the object again,
	// which fails under the same name.
	return answer, nil
}

// New returns an empty delivery.
func (r *REST) New() runtime.Object { return r.store.store.New() }

// NewList returns an empty list of deliveries.
func (r *REST) NewList() runtime.Object { return r.store.store.NewList() }

// Destroy waits for pending writes and releases the storage.
func (r *REST) Destroy() {
	r.executor.Drain()
	r.store.store.Destroy()
}

// NamespaceScoped returns true.
func (r *REST) NamespaceScoped() bool { return true }

// GetSingularName returns the singular resource name.
func (r *REST) GetSingularName() string { return r.store.store.GetSingularName() }

// ShortNames returns the abbreviations for kubectl.
func (r *REST) ShortNames() []string { return []string{"whd"} }

// Get returns one delivery.
func (r *REST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	return r.store.store.Get(ctx, name, options)
}

// List returns the deliveries of one or all namespaces.
func (r *REST) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	return r.store.store.List(ctx, options)
}

// Watch watches deliveries.
func (r *REST) Watch(ctx context.Context, options *internalversion.ListOptions) (watch.Interface, error) {
	return r.store.store.Watch(ctx, options)
}

// Update changes the metadata of a record. With forceAllowCreate, for server-side apply, it executes a delivery that
// does not exist.
func (r *REST) Update(
	ctx context.Context, name string, object rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc,
	updateValidation rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions,
) (updated runtime.Object, created bool, err error) {
	updated, err = r.store.UpdateMetadata(ctx, name, object, updateValidation, options)
	if !forceAllowCreate || !apierrors.IsNotFound(err) {
		return updated, false, err
	}
	applied, err := object.UpdatedObject(ctx, r.New()) // runs mutating admission of the create
	if err != nil {
		return nil, false, err
	}
	rest.WipeObjectMetaSystemFields(applied.(*postern.WebhookDelivery))
	updated, err = r.Create(ctx, applied, createValidation, &metav1.CreateOptions{
		DryRun: options.DryRun, FieldManager: options.FieldManager, FieldValidation: options.FieldValidation})
	return updated, err == nil, err
}

// Delete deletes the record of a delivery; its target is not changed.
func (r *REST) Delete(
	ctx context.Context, name string, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions,
) (runtime.Object, bool, error) {
	return r.store.store.Delete(ctx, name, validate, options)
}

// DeleteCollection deletes the records selected by listOptions.
func (r *REST) DeleteCollection(
	ctx context.Context, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions,
	listOptions *internalversion.ListOptions,
) (runtime.Object, error) {
	return r.store.store.DeleteCollection(ctx, validate, options, listOptions)
}

// ConvertToTable returns the columns for kubectl get.
func (r *REST) ConvertToTable(ctx context.Context, obj, options runtime.Object) (*metav1.Table, error) {
	return r.store.store.ConvertToTable(ctx, obj, options)
}

// ReadinessCheck returns an error until lists and watches can be served.
func (r *REST) ReadinessCheck() error { return r.store.ReadinessCheck() }
