// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"strings"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kube-openapi/pkg/aggregator"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"postern.dev/postern/apis/postern"
)

// ownPaths are the paths of our API group. The kube-apiserver serves all others itself, such as /version.
const ownPaths = "/apis/" + postern.GroupName

// KeepOwnPaths drops the paths outside of our API group, and what only they use, from the OpenAPI v2 document. It is a
// post-processor of the built document and returns a new one.
func KeepOwnPaths(document *spec.Swagger) (*spec.Swagger, error) {
	return aggregator.FilterSpecByPathsWithoutSideEffects(document, []string{ownPaths + "/"}), nil
}

// keepOwnDocuments deletes the OpenAPI v3 documents outside of our API group. Call it after PrepareRun.
//
// The kube-apiserver publishes one list of the documents of all servers. It relays a document that two servers have to
// any of them, and the other's digest is in the link: then most requests fail.
// Source: k8s.io/kube-aggregator, pkg/controllers/openapiv3/aggregator/aggregator.go.
func keepOwnDocuments(server *genericapiserver.GenericAPIServer) {
	for _, service := range server.Handler.GoRestfulContainer.RegisteredWebServices() {
		if path := service.RootPath(); path != ownPaths && !strings.HasPrefix(path, ownPaths+"/") {
			server.OpenAPIV3VersionedService.DeleteGroupVersion(strings.TrimPrefix(path, "/"))
		}
	}
}
