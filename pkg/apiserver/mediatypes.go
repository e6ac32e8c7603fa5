// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
)

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
