// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/runtime"
)

func addDefaultingFuncs(scheme *runtime.Scheme) error {
	return RegisterDefaults(scheme)
}

// SetDefaults_WebhookDeliverySpec replaces nil Events by an empty list. Otherwise an admission policy such as
// `object.spec.events.all(e, …)` would fail, and so reject every delivery that requests nothing.
func SetDefaults_WebhookDeliverySpec(spec *WebhookDeliverySpec) {
	if spec.Events == nil {
		spec.Events = []DeliveryEvent{}
	}
}
