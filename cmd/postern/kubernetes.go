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

// pingTimeout is how long the kube-apiserver may take to tell its version.
const pingTimeout = 10 * time.Second

// clientConfig says how to reach the kube-apiserver, by the flags.
func clientConfig(o *options) (*rest.Config, error) {
	config := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	if err := o.recommended.CoreAPI.ApplyTo(config); err != nil {
		return nil, fmt.Errorf("could not find out how to reach the kube-apiserver: %w", err)
	}
	return config.ClientConfig, nil
}

// waitForAPIServer returns once the kube-apiserver answers. What follows asks it at once and would end if it could not, be
// started again, and end. The error is that of ctx if that ends first.
func waitForAPIServer(ctx context.Context, o *options) error {
	config, err := clientConfig(o)
	if err != nil {
		return err
	}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("could not make a client: %w", err)
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
		klog.ErrorS(err, "The kube-apiserver does not answer, trying again", "in", delay.Round(time.Second))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delay):
		}
	}
}

// pingAPIServer returns nil if there was an answer, even a refusal.
func pingAPIServer(ctx context.Context, client rest.Interface) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err := client.Get().AbsPath("/version").Do(ctx).Error()
	var refusal apierrors.APIStatus
	if errors.As(err, &refusal) {
		if code := refusal.Status().Code; code < http.StatusInternalServerError && code != http.StatusTooManyRequests {
			return nil
		}
	}
	return err
}
