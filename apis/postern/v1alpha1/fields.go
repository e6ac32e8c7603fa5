// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
)

// The fields, besides name and namespace, that `kubectl get webhookdeliveries --field-selector` understands.
const (
	FieldPhase      = "status.phase"
	FieldSource     = "spec.source"
	FieldTargetKind = "spec.target.kind"
	FieldTargetName = "spec.target.name"
)

// addFieldLabels declares the selectable fields. The internal version has the same names, so nothing is renamed.
func addFieldLabels(scheme *runtime.Scheme) error {
	return scheme.AddFieldLabelConversionFunc(SchemeGroupVersion.WithKind("WebhookDelivery"),
		func(label, value string) (string, string, error) {
			switch label {
			case FieldPhase, FieldSource, FieldTargetKind, FieldTargetName:
				return label, value, nil
			}
			// Its error would say that there are no fields but those of the metadata.
			if label, value, err := runtime.DefaultMetaV1FieldSelectorConversion(label, value); err == nil {
				return label, value, nil
			}
			return "", "", fmt.Errorf("%q is not a field that deliveries can be selected by: use metadata.name, metadata.namespace, %s, %s, %s or %s",
				label, FieldPhase, FieldSource, FieldTargetKind, FieldTargetName)
		})
}
