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

// PrepareForCreate drops what has no use in a record: nobody can update it, so it needs no field owners.
func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	obj.(*postern.WebhookDelivery).ManagedFields = nil
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.ValidateRecord(obj.(*postern.WebhookDelivery))
}

func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

// PrepareForUpdate keeps the spec as it was: it can't be changed.
func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	obj.(*postern.WebhookDelivery).Spec = old.(*postern.WebhookDelivery).Spec
}

func (strategy) ValidateUpdate(_ context.Context, obj, _ runtime.Object) field.ErrorList {
	return validation.ValidateRecord(obj.(*postern.WebhookDelivery))
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
