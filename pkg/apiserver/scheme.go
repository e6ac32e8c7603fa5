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
	// Scheme knows every version of the types that are served.
	Scheme = runtime.NewScheme()
	// Codecs encodes and decodes them.
	Codecs = serializer.NewCodecFactory(Scheme)
)

func init() {
	install.Install(Scheme)
	// The framework decodes options such as ListOptions from the query, and answers with Status, in version v1 of the
	// group without a name.
	unversioned := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(Scheme, unversioned)
	Scheme.AddUnversionedTypes(unversioned,
		&metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
}

// StorageCodec is how deliveries are stored, and how the doors by target and by source answer.
func StorageCodec() runtime.Codec { return Codecs.LegacyCodec(v1alpha1.SchemeGroupVersion) }

// withoutProtobuf is a negotiated serializer that does not offer protobuf, which our types have no encoding for. Offered, it
// would be chosen by those who prefer it, and then fail once the work is done: the namespace controller deletes all
// deliveries of a namespace, and prefers it, and so no namespace of the cluster could be deleted.
type withoutProtobuf struct {
	runtime.NegotiatedSerializer
}

// SupportedMediaTypes leaves protobuf out.
func (s withoutProtobuf) SupportedMediaTypes() []runtime.SerializerInfo {
	return slices.DeleteFunc(slices.Clone(s.NegotiatedSerializer.SupportedMediaTypes()), func(info runtime.SerializerInfo) bool {
		return info.MediaType == runtime.ContentTypeProtobuf
	})
}
