// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"postern.dev/postern/apis/postern/install"
	"postern.dev/postern/apis/postern/v1alpha1"
)

var (
	// Scheme has all versions of the served types.
	Scheme = runtime.NewScheme()
	// Codecs encodes and decodes the types of Scheme.
	Codecs = serializer.NewCodecFactory(Scheme)
)

func init() {
	install.Install(Scheme)
	// The framework decodes options from the query, and encodes Status, in version v1 of the core group.
	unversioned := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(Scheme, unversioned)
	Scheme.AddUnversionedTypes(unversioned,
		&metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
}

// StorageCodec encodes deliveries in the storage and in the responses of the by-target and by-source endpoints.
func StorageCodec() runtime.Codec { return Codecs.LegacyCodec(v1alpha1.SchemeGroupVersion) }

// withoutProtobuf is a negotiated serializer without protobuf, which our types do not support. If it were offered,
// clients that prefer it would fail after their request was executed: the namespace controller deletes all deliveries
// of a namespace and prefers protobuf, so no namespace of the cluster could be deleted.
type withoutProtobuf struct {
	runtime.NegotiatedSerializer
}

// SupportedMediaTypes omits protobuf.
func (s withoutProtobuf) SupportedMediaTypes() []runtime.SerializerInfo {
	types := slices.Clone(s.NegotiatedSerializer.SupportedMediaTypes())
	return slices.DeleteFunc(types, func(info runtime.SerializerInfo) bool {
		return info.MediaType == runtime.ContentTypeProtobuf
	})
}
