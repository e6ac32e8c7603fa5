// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/apitesting/roundtrip"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"

	"postern.dev/postern/apis/postern/fuzzer"
	"postern.dev/postern/apis/postern/v1alpha1"
)

func TestRoundTrip_BetweenVersions(t *testing.T) {
	roundtrip.RoundTripTestForAPIGroup(t, Install, fuzzer.Funcs)
}

// Admission policies evaluate untyped objects.
func TestRoundTrip_Unstructured(t *testing.T) {
	scheme := runtime.NewScheme()
	Install(scheme)
	onlyExternal := sets.New[schema.GroupVersionKind]()
	for _, kind := range []string{"CreateOptions", "UpdateOptions", "PatchOptions"} {
		onlyExternal.Insert(v1alpha1.SchemeGroupVersion.WithKind(kind))
	}
	roundtrip.RoundtripToUnstructured(t, scheme, fuzzer.Funcs, nil, onlyExternal)
}
