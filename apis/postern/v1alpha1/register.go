// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group that Postern serves.
const GroupName = "postern.dev"

// SchemeGroupVersion is this version of the group.
var SchemeGroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

var (
	// SchemeBuilder has the functions that AddToScheme calls; generated code adds to it.
	SchemeBuilder      = runtime.NewSchemeBuilder(addKnownTypes, addDefaultingFuncs, addFieldLabels)
	localSchemeBuilder = &SchemeBuilder
	// AddToScheme registers the types of this version, their defaults, conversions and field selectors.
	AddToScheme = localSchemeBuilder.AddToScheme
)

// Resource returns the group resource of a resource name.
func Resource(resource string) schema.GroupResource {
	return SchemeGroupVersion.WithResource(resource).GroupResource()
}

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(SchemeGroupVersion,
		&WebhookDelivery{},
		&WebhookDeliveryList{},
		&WebhookSource{},
		&WebhookSourceList{},
		&GatewaySync{},
		&Application{},
		&ApplicationSet{},
	)
	metav1.AddToGroupVersion(scheme, SchemeGroupVersion)
	return nil
}
