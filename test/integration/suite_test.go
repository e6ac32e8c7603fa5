// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"postern.dev/postern/pkg/generated/clientset/versioned"
	"postern.dev/postern/test/controlplane"
)

// suite is a control plane with Postern, and the administrator's clients.
type suite struct {
	*controlplane.ControlPlane
	postern *controlplane.Postern
	// path is the installation; empty means manifests/base, or the path in POSTERN_INSTALL.
	path string

	kube       kubernetes.Interface
	objects    dynamic.Interface
	deliveries versioned.Interface
}

func startSuite(ctx context.Context, path string, options controlplane.PosternOptions) (*suite, error) {
	cp, err := controlplane.Start(ctx, controlplane.Options{})
	if err != nil {
		return nil, err
	}
	s := &suite{ControlPlane: cp, path: path}
	if err := s.install(ctx, options); err != nil {
		return nil, errors.Join(err, s.stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *suite) install(ctx context.Context, options controlplane.PosternOptions) (err error) {
	config := s.RESTConfig()
	if s.kube, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if s.objects, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	if s.deliveries, err = versioned.NewForConfig(config); err != nil {
		return err
	}
	install := s.Install
	if s.path != "" {
		install = func(ctx context.Context) error { return s.InstallPath(ctx, s.path) }
	}
	if err := install(ctx); err != nil {
		return err
	}
	if s.postern, err = s.StartPostern(ctx, options); err != nil {
		return fmt.Errorf("could not start Postern: %w", err)
	}
	return nil
}

func (s *suite) stop(ctx context.Context) error {
	var err error
	if s.postern != nil {
		err = s.postern.Kill()
	}
	return errors.Join(err, s.Stop(ctx))
}
