// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericfeatures "k8s.io/apiserver/pkg/features"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"

	"postern.dev/postern/pkg/apiserver"
	posternopenapi "postern.dev/postern/pkg/generated/openapi"
	"postern.dev/postern/pkg/version"
)

// watchTerminationPeriod bounds how long open watches delay the shutdown.
const watchTerminationPeriod = 10 * time.Second

// genericConfig returns the configuration of the generic API server.
func genericConfig(o *options) (*genericapiserver.RecommendedConfig, error) {
	// With this feature an anonymous HTTP/2 request closes the connection, which the kube-apiserver shares among all
	// callers. It protects servers that unauthenticated clients reach; only the kube-apiserver reaches this one.
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(map[string]bool{
		string(genericfeatures.UnauthenticatedHTTP2DOSMitigation): false,
	}); err != nil {
		return nil, fmt.Errorf("could not set a feature gate: %w", err)
	}

	config := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	config.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	config.FeatureGate = utilfeature.DefaultFeatureGate
	config.MaxRequestsInFlight, config.MaxMutatingRequestsInFlight = o.limits.maxRequestsInFlight,
		o.limits.maxMutatingRequestsInFlight
	config.ShutdownDelayDuration = o.shutdownDelay
	// Otherwise shutdown waits up to a minute for open watches (the garbage collector watches every resource).
	config.ShutdownWatchTerminationGracePeriod = watchTerminationPeriod

	namer := openapi.NewDefinitionNamer(apiserver.Scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(posternopenapi.GetOpenAPIDefinitions, namer)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(posternopenapi.GetOpenAPIDefinitions, namer)
	config.OpenAPIConfig.Info.Title, config.OpenAPIV3Config.Info.Title = "Postern", "Postern"
	config.OpenAPIV3Config.PostProcessSpec = apiserver.DescribeFieldValidation

	if err := o.recommended.ApplyTo(config); err != nil {
		return nil, fmt.Errorf("could not apply the flags: %w", err)
	}
	config.ClientConfig.UserAgent = version.Get().UserAgent()
	return config, nil
}
