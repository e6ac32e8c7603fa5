// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package fieldcases runs the field cases in this directory, each in a namespace of its own, through a real
// kube-apiserver. CONTRIBUTING.md says how to add one. Package fieldcase has the format.
package fieldcases

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/fieldcases/fieldcase"
	"postern.dev/postern/test/testcluster"
)

// shared is what all cases use.
var shared *suite

func TestMain(m *testing.M) {
	testcluster.Main(m, func(ctx context.Context) (err error) {
		shared, err = startSuite(ctx)
		return err
	}, func(ctx context.Context) error { return shared.stop(ctx) })
}

// TestFieldCases runs each case as a subtest with the name of its file.
func TestFieldCases(t *testing.T) {
	files, err := fieldcase.Files(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(fieldcase.NameOf(file), func(t *testing.T) {
			t.Parallel()
			shared.run(t, file)
		})
	}
}

// suite is a control plane with Postern.
type suite struct {
	*testcluster.Cluster
	postern *controlplane.Postern
	// client has no credentials, and admin those of an administrator.
	client, admin *http.Client
	// mapper has the kinds that are served.
	mapper meta.RESTMapper
	fence  *fence
}

func startSuite(ctx context.Context) (_ *suite, err error) {
	c, err := testcluster.Start(ctx, controlplane.Options{})
	if err != nil {
		return nil, err
	}
	s := &suite{Cluster: c}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := c.Install(ctx); err != nil {
		return nil, err
	}
	if s.postern, err = c.StartPostern(ctx, controlplane.PosternOptions{}); err != nil {
		return nil, fmt.Errorf("could not start Postern: %w", err)
	}
	anonymous, err := c.AnonymousConfig()
	if err != nil {
		return nil, err
	}
	if s.client, err = rest.HTTPClientFor(anonymous); err != nil {
		return nil, err
	}
	if s.admin, err = rest.HTTPClientFor(c.RESTConfig()); err != nil {
		return nil, err
	}
	groups, err := restmapper.GetAPIGroupResources(s.Kube.Discovery())
	if err != nil {
		return nil, err
	}
	s.mapper = restmapper.NewDiscoveryRESTMapper(groups)
	s.fence, err = newFence(ctx, s)
	return s, err
}

func (s *suite) stop(ctx context.Context) error {
	var err error
	if s.postern != nil {
		err = s.postern.Kill()
	}
	return errors.Join(err, s.Stop(ctx))
}

// sender returns a sender for a namespace. Without a token it is anonymous.
func (s *suite) sender(namespace, token string) testcluster.Sender {
	return testcluster.Sender{
		Client: s.client, Base: s.Address() + testcluster.NamespacePath(namespace), Token: token,
	}
}

// administrator returns the administrator as a sender.
func (s *suite) administrator(namespace string) testcluster.Sender {
	return testcluster.Sender{Client: s.admin, Base: s.Address() + testcluster.NamespacePath(namespace)}
}
