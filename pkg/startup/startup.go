// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package startup runs a server that needs its storage and the kube-apiserver. While one of them is not available, the
// process lives, responds to clients and retries, instead of crashing and restarting in a loop. The package does not
// depend on what the server does.
package startup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/etcd"
)

const (
	// serverDelay is how long startup may take before the startup server responds to clients.
	serverDelay = 3 * time.Second
	// pingTimeout bounds one request for the version of the kube-apiserver.
	pingTimeout = 10 * time.Second
)

// retries has the delays between attempts to use a dependency. The last delay repeats.
var retries = wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.1, Steps: 5, Cap: 15 * time.Second}

// Config configures Run.
type Config struct {
	// Serving configures the port of the server. Run stores the open listener in it.
	Serving *genericoptions.SecureServingOptions
	// Client is the configuration of a client of the kube-apiserver.
	Client *rest.Config
	// Etcd configures the embedded etcd; nil runs none.
	Etcd *etcd.Config
	// FlushLog writes out the log before the process is replaced.
	FlushLog func()
}

// Dependencies are available until the function that is given them returns.
type Dependencies struct {
	// Etcd is the embedded etcd, nil if there is none.
	Etcd *etcd.Server
	// HandOver stops the startup server. Call it before the server accepts connections on the port. It is idempotent.
	HandOver func()
}

// Run opens the port, starts the embedded etcd, waits for the kube-apiserver, and calls serve, which serves until its
// context is done. If startup takes long, a server that reports itself unavailable serves on the port until HandOver.
//
// If the embedded etcd fails, Run waits until its data directory is usable again, ends serve, and then replaces the
// process by a new instance: only the end of the process releases the resources of a failed etcd. Run returns nil if
// ctx ends.
func Run(ctx context.Context, config Config, serve func(context.Context, Dependencies) error) error {
	err := run(ctx, config, serve)
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil: // stopped by a signal during startup
		return nil //nolint:nilerr // the end that was asked for is no failure
	case errors.Is(err, etcd.ErrRestartRequired):
		return reexec(ctx, config.FlushLog)
	}
	return err
}

func run(ctx context.Context, config Config, serve func(context.Context, Dependencies) error) error {
	server := &server{serving: config.Serving}
	if err := server.listen(); err != nil {
		return err
	}
	defer server.handOver()
	defer time.AfterFunc(serverDelay, server.start).Stop()
	serveOnce := func(ctx context.Context, member *etcd.Server) error {
		if err := waitForAPIServer(ctx, config.Client); err != nil {
			return err
		}
		return serve(ctx, Dependencies{Etcd: member, HandOver: server.handOver})
	}
	if config.Etcd == nil {
		return serveOnce(ctx, nil)
	}
	return withStorage(ctx, *config.Etcd, server.start, serveOnce)
}

// waitForAPIServer blocks until the kube-apiserver responds. It returns the error of ctx if ctx ends first.
func waitForAPIServer(ctx context.Context, config *rest.Config) error {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("could not create a client: %w", err)
	}
	return Retry(ctx, "Could not reach the kube-apiserver, retrying", func(ctx context.Context) error {
		return ping(ctx, client.RESTClient())
	})
}

// Retry calls attempt until it returns nil, with the delays of all dependencies. It logs each error with the message.
// It returns the error of ctx if ctx ends first.
func Retry(ctx context.Context, message string, attempt func(context.Context) error) error {
	return retries.DelayFunc().Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		err := attempt(ctx)
		if err != nil && ctx.Err() == nil {
			klog.ErrorS(err, message)
		}
		return err == nil, ctx.Err()
	})
}

// ping returns nil if the kube-apiserver responds, even with a client error other than 429.
func ping(ctx context.Context, client rest.Interface) error {
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
