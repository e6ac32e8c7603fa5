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

// watchTerminationPeriod is how long the watches of all clients together may take to end with the server.
const watchTerminationPeriod = 10 * time.Second

// genericConfig applies the flags to what every API server needs.
func genericConfig(o *options) (*genericapiserver.RecommendedConfig, error) {
	// With this feature an anonymous request over HTTP/2 closes the connection, which is the kube-apiserver's one for
	// all callers. It protects servers that strangers reach; only the kube-apiserver is to reach this one.
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(map[string]bool{
		string(genericfeatures.UnauthenticatedHTTP2DOSMitigation): false,
	}); err != nil {
		return nil, fmt.Errorf("could not set a feature gate: %w", err)
	}

	config := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	config.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	config.FeatureGate = utilfeature.DefaultFeatureGate
	config.MaxRequestsInFlight, config.MaxMutatingRequestsInFlight = o.limits.maxRequestsInFlight, o.limits.maxMutatingRequestsInFlight
	config.ShutdownDelayDuration = o.shutdownDelay
	// Or the end would wait a minute for every open watch, and some controller of a cluster watches all that is served.
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
