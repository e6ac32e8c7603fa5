// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/apiserver"
)

// pingTimeout bounds one request for the version of the kube-apiserver.
const pingTimeout = 10 * time.Second

// clientConfig returns the client configuration for the kube-apiserver.
func clientConfig(o *options) (*rest.Config, error) {
	config := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	if err := o.recommended.CoreAPI.ApplyTo(config); err != nil {
		return nil, fmt.Errorf("could not configure the client of the kube-apiserver: %w", err)
	}
	return config.ClientConfig, nil
}

// waitForAPIServer blocks until the kube-apiserver responds. Without it, the next steps would fail and the process
// would crash and restart in a loop. It returns the error of ctx if ctx ends first.
func waitForAPIServer(ctx context.Context, o *options) error {
	config, err := clientConfig(o)
	if err != nil {
		return err
	}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("could not create a client: %w", err)
	}
	backoff := storageBackoff()
	for {
		err := pingAPIServer(ctx, client.RESTClient())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			return nil
		}
		delay := backoff.Step()
		klog.ErrorS(err, "Could not reach the kube-apiserver, retrying", "retryIn", delay.Round(time.Second))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delay):
		}
	}
}

// pingAPIServer returns nil if the kube-apiserver responds, even with a client error other than 429.
func pingAPIServer(ctx context.Context, client rest.Interface) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err := client.Get().AbsPath("/version").Do(ctx).Error()
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		if code := status.Status().Code; code < http.StatusInternalServerError && code != http.StatusTooManyRequests {
			return nil
		}
	}
	return err
}
