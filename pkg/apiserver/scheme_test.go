// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestScheme_MediaTypes(t *testing.T) {
	var served []string
	for _, info := range (withoutProtobuf{Codecs}).SupportedMediaTypes() {
		served = append(served, info.MediaType)
	}
	slices.Sort(served)
	want := []string{runtime.ContentTypeJSON, runtime.ContentTypeYAML}
	if diff := cmp.Diff(want, served); diff != "" {
		t.Errorf("media types (-want +got):\n%s", diff)
	}
}
