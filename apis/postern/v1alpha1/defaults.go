// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/runtime"
)

func addDefaultingFuncs(scheme *runtime.Scheme) error {
	return RegisterDefaults(scheme)
}

// SetDefaults_WebhookDeliverySpec makes an absent list of events an empty one. An admission policy such as
// `object.spec.events.all(e, …)` would otherwise fail, and so refuse, each delivery that asks for nothing.
func SetDefaults_WebhookDeliverySpec(spec *WebhookDeliverySpec) {
	if spec.Events == nil {
		spec.Events = []DeliveryEvent{}
	}
}
