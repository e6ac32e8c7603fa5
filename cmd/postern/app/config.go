// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericfeatures "k8s.io/apiserver/pkg/features"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"postern.dev/postern/cmd/postern/app/options"
	"postern.dev/postern/pkg/apiserver"
	posternopenapi "postern.dev/postern/pkg/generated/openapi"
	"postern.dev/postern/pkg/startup"
	"postern.dev/postern/pkg/version"
)

// clientConfig returns the configuration of a client of the kube-apiserver.
func clientConfig(o *options.Options) (*rest.Config, error) {
	config := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	if err := o.Recommended.CoreAPI.ApplyTo(config); err != nil {
		return nil, fmt.Errorf("could not configure the client of the kube-apiserver: %w", err)
	}
	return config.ClientConfig, nil
}

// servesMutatingPolicies reports whether the kube-apiserver serves MutatingAdmissionPolicies. It retries until it knows
// or ctx ends.
func servesMutatingPolicies(ctx context.Context, o *options.Options) (served bool, err error) {
	config, err := clientConfig(o)
	if err != nil {
		return false, err
	}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return false, fmt.Errorf("could not create a client: %w", err)
	}
	err = startup.Retry(ctx, "Could not discover what the kube-apiserver serves, retrying",
		func(ctx context.Context) (err error) {
			served, err = apiserver.ServesMutatingPolicies(ctx, client)
			return err
		})
	return served, err
}

// genericConfig returns the configuration of the generic API server.
func genericConfig(o *options.Options, mutatingPolicies bool) (*genericapiserver.RecommendedConfig, error) {
	// With this feature an anonymous HTTP/2 request closes the connection, which the kube-apiserver shares among all
	// callers. It protects servers that unauthenticated clients reach; only the kube-apiserver reaches this one.
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(map[string]bool{
		string(genericfeatures.UnauthenticatedHTTP2DOSMitigation): false,
	}); err != nil {
		return nil, fmt.Errorf("could not set a feature gate: %w", err)
	}

	config := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	// Without Set, ApplyTo logs a warning about feature gates, for which there are no flags.
	if err := errors.Join(o.ServerRun.ComponentGlobalsRegistry.Set(), o.ServerRun.ApplyTo(&config.Config)); err != nil {
		return nil, fmt.Errorf("could not apply the flags: %w", err)
	}
	namer := openapi.NewDefinitionNamer(apiserver.Scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(posternopenapi.GetOpenAPIDefinitions, namer)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(posternopenapi.GetOpenAPIDefinitions, namer)
	config.OpenAPIConfig.Info.Title, config.OpenAPIV3Config.Info.Title = "Postern", "Postern"
	config.OpenAPIConfig.PostProcessSpec = apiserver.KeepOwnPaths

	o.Recommended.Admission.Plugins = apiserver.AdmissionPlugins(mutatingPolicies)
	if err := o.Recommended.ApplyTo(config); err != nil {
		return nil, fmt.Errorf("could not apply the flags: %w", err)
	}
	config.ClientConfig.UserAgent = version.Get().UserAgent()
	return config, nil
}
