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

// strategy says what may be stored. By the time it is asked, a delivery was received and admitted, and its status is
// the server's own.
type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
}

func newStrategy(typer runtime.ObjectTyper) strategy {
	return strategy{typer, names.SimpleNameGenerator}
}

func (strategy) NamespaceScoped() bool { return true }

// PrepareForCreate drops what has no use in a record: it is never updated by a client, so it needs no field owners, and no owner is to
// wait for it.
func (strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	delivery := obj.(*postern.WebhookDelivery)
	delivery.ManagedFields = nil
	if clearBlockOwnerDeletion(delivery) {
		warning.AddWarning(ctx, "", "metadata.ownerReferences: blockOwnerDeletion is dropped, since no owner waits for the deletion of a delivery")
	}
}

// clearBlockOwnerDeletion takes blockOwnerDeletion off all owner references, and reports whether there was one that had it. An owner
// that is deleted in the foreground waits for those, which the garbage collector can't delete while Postern is down.
func clearBlockOwnerDeletion(delivery *postern.WebhookDelivery) (blocked bool) {
	for i := range delivery.OwnerReferences {
		owner := &delivery.OwnerReferences[i]
		blocked = blocked || ptr.Deref(owner.BlockOwnerDeletion, false)
		owner.BlockOwnerDeletion = nil
	}
	return blocked
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	delivery := obj.(*postern.WebhookDelivery)
	errs := validation.ValidateRecord(delivery)
	if size, err := validation.EncodedBytes(delivery); err != nil || size > validation.MaxRecordBytes {
		errs = append(errs, field.TooLong(nil, "", validation.MaxRecordBytes))
	}
	return errs
}

func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

// PrepareForUpdate keeps the spec as it was: it can't be changed, and so needs not be checked again.
func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	obj.(*postern.WebhookDelivery).Spec = old.(*postern.WebhookDelivery).Spec
}

// ValidateUpdate lets a record be ended that would not be made any more.
func (strategy) ValidateUpdate(_ context.Context, obj, _ runtime.Object) field.ErrorList {
	return validation.ValidateDropped(obj.(*postern.WebhookDelivery))
}

func (strategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}
func (strategy) AllowCreateOnUpdate(context.Context) bool      { return false }
func (strategy) AllowUnconditionalUpdate(context.Context) bool { return false }
func (strategy) Canonicalize(runtime.Object)                   {}

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
