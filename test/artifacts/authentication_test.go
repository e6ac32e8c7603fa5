// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// The kube-apiserver decodes its file with the same scheme, and does not start if the same validation fails.
func TestAuthenticationConfiguration_IsAccepted(t *testing.T) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder()
	var config apiserver.AuthenticationConfiguration
	if err := runtime.DecodeInto(decoder, read(t, sendersDir+"/authentication-config.yaml"), &config); err != nil {
		t.Fatal(err)
	}
	compiler := authenticationcel.NewCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if errs := validation.ValidateAuthenticationConfiguration(compiler, &config, nil); len(errs) > 0 {
		t.Error(errs.ToAggregate())
	}
	if len(config.JWT) != 3 {
		t.Errorf("got %d issuers, want GitHub, GitLab and Google", len(config.JWT))
	}
}
