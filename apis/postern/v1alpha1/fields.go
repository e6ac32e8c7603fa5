// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
)

// The fields, in addition to name and namespace, that `kubectl get webhookdeliveries --field-selector` supports.
const (
	FieldPhase      = "status.phase"
	FieldSource     = "spec.source"
	FieldTargetKind = "spec.target.kind"
	FieldTargetName = "spec.target.name"
)

// addFieldLabels registers the selectable fields. They have the same names in the internal version.
func addFieldLabels(scheme *runtime.Scheme) error {
	return scheme.AddFieldLabelConversionFunc(SchemeGroupVersion.WithKind("WebhookDelivery"),
		func(label, value string) (string, string, error) {
			switch label {
			case FieldPhase, FieldSource, FieldTargetKind, FieldTargetName:
				return label, value, nil
			}
			// The error of this function is not returned: it would list only the metadata fields.
			if label, value, err := runtime.DefaultMetaV1FieldSelectorConversion(label, value); err == nil {
				return label, value, nil
			}
			return "", "", fmt.Errorf(
				"%q is not a selectable field of deliveries: use metadata.name, metadata.namespace, %s, %s, %s or %s",
				label, FieldPhase, FieldSource, FieldTargetKind, FieldTargetName)
		})
}
