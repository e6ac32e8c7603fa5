// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/names"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/utils/ptr"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/apis/postern/validation"
)

// strategy defines what may be stored. Before, the delivery was received and admitted, and the server set its status.
type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
}

func newStrategy(typer runtime.ObjectTyper) strategy {
	return strategy{typer, names.SimpleNameGenerator}
}

func (strategy) NamespaceScoped() bool { return true }

// PrepareForCreate drops blockOwnerDeletion, and managed fields unless the record was applied.
func (strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	dropMetadata(ctx, obj.(*postern.WebhookDelivery))
}

// dropMetadata drops what a record does not keep of the metadata that a client has sent.
func dropMetadata(ctx context.Context, delivery *postern.WebhookDelivery) {
	delivery.ManagedFields = validation.StoredManagedFields(delivery.ManagedFields)
	if clearBlockOwnerDeletion(delivery) {
		warning.AddWarning(ctx, "",
			"metadata.ownerReferences: blockOwnerDeletion is dropped, since no owner waits for the deletion of a "+
				"delivery")
	}
}

// clearBlockOwnerDeletion clears blockOwnerDeletion of all owner references and reports whether one had it. Foreground
// deletion of an owner would wait for the delivery, which the garbage collector can't delete while Postern is down or a
// finalizer keeps it. The kube-apiserver lets only callers set it that may change the finalizers of the owner.
func clearBlockOwnerDeletion(delivery *postern.WebhookDelivery) (found bool) {
	for i := range delivery.OwnerReferences {
		owner := &delivery.OwnerReferences[i]
		found = found || ptr.Deref(owner.BlockOwnerDeletion, false)
		owner.BlockOwnerDeletion = nil
	}
	return found
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	delivery := obj.(*postern.WebhookDelivery)
	errs := validation.ValidateRecord(delivery)
	maxBytes := validation.MaxRecordBytes
	if status := delivery.Status; len(status.Targets) > 0 || status.Progress != nil { // recorded with its outcome
		maxBytes = validation.MaxFinalBytes
	}
	if size, err := validation.EncodedBytes(delivery); err != nil || size > maxBytes {
		errs = append(errs, field.TooLong(nil, "", maxBytes))
	}
	return errs
}

func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

// PrepareForUpdate restores the spec: the server updates only the status.
func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	obj.(*postern.WebhookDelivery).Spec = old.(*postern.WebhookDelivery).Spec
}

// ValidateUpdate also accepts records that could not be created anymore, so that they can be completed.
func (strategy) ValidateUpdate(_ context.Context, obj, _ runtime.Object) field.ErrorList {
	return validation.ValidateDropped(obj.(*postern.WebhookDelivery))
}

func (strategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}
func (strategy) AllowCreateOnUpdate(context.Context) bool      { return false }
func (strategy) AllowUnconditionalUpdate(context.Context) bool { return false }
func (strategy) Canonicalize(runtime.Object)                   {}

// clientStrategy defines what clients may update: the metadata.
type clientStrategy struct{ strategy }

// PrepareForUpdate drops what a record does not keep.
func (clientStrategy) PrepareForUpdate(ctx context.Context, obj, _ runtime.Object) {
	dropMetadata(ctx, obj.(*postern.WebhookDelivery))
}

// ValidateUpdate also rejects what mutating admission has changed.
func (clientStrategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ValidateUpdate(obj.(*postern.WebhookDelivery), old.(*postern.WebhookDelivery))
}

func matchDelivery(label labels.Selector, field fields.Selector) storage.SelectionPredicate {
	return storage.SelectionPredicate{Label: label, Field: field, GetAttrs: getAttrs}
}

func getAttrs(obj runtime.Object) (labels.Set, fields.Set, error) {
	delivery, ok := obj.(*postern.WebhookDelivery)
	if !ok {
		return nil, nil, fmt.Errorf("got a %T where a WebhookDelivery was expected", obj)
	}
	target := postern.TargetReference{}
	if delivery.Spec.Target != nil {
		target = *delivery.Spec.Target
	}
	return delivery.Labels, generic.AddObjectMetaFieldsSet(fields.Set{
		v1alpha1.FieldPhase:      string(delivery.Status.Phase),
		v1alpha1.FieldSource:     delivery.Spec.Source,
		v1alpha1.FieldTargetKind: string(target.Kind),
		v1alpha1.FieldTargetName: target.Name,
	}, &delivery.ObjectMeta, true), nil
}
