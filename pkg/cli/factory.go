// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package cli has what the commands of kubectl-postern share.
package cli

import (
	"errors"
	"fmt"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"postern.dev/postern/pkg/generated/clientset/versioned"
)

// Factory gives a command its streams and, once its flags are parsed, the cluster that they select.
type Factory struct {
	// Flags are kubectl's flags that select a cluster, a user and a namespace.
	Flags *genericclioptions.ConfigFlags
	genericiooptions.IOStreams
}

// Cluster is a cluster as one user reaches it. All its clients have that user's permissions.
type Cluster struct {
	// Config is what the clients were made from.
	Config *rest.Config
	// Namespace is the one of --namespace or, by default, of the context.
	Namespace  string
	Kubernetes kubernetes.Interface
	Postern    versioned.Interface
	// Dynamic reads targets, whose types may not be installed.
	Dynamic dynamic.Interface
	// Flags are those of kubectl that select this cluster and its user, and not the namespace. Commands that are shown
	// to the user need them, too.
	Flags []string
}

// Cluster returns the cluster that the flags select. It sends no request.
func (f *Factory) Cluster() (*Cluster, error) {
	config, err := f.Flags.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	if config.Host == guessedServer && !f.namesServer() {
		return nil, errors.New("no cluster is configured: name a kubeconfig in the variable KUBECONFIG or with " +
			"--kubeconfig, or an address with --server")
	}
	namespace, _, err := f.Flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, err
	}
	c, err := NewCluster(config, namespace)
	if err == nil {
		c.Flags = f.selectingFlags()
	}
	return c, err
}

// guessedServer is the address that client-go assumes if nothing names one.
const guessedServer = "http://localhost:8080"

// namesServer reports whether the kubeconfig or a flag names a kube-apiserver.
func (f *Factory) namesServer() bool {
	config, err := f.Flags.ToRawKubeConfigLoader().RawConfig()
	return err != nil || len(config.Clusters) > 0 || f.Flags.APIServer != nil && *f.Flags.APIServer != ""
}

// selectingFlags returns the given flags that select a cluster and a user. None is a credential.
func (f *Factory) selectingFlags() (flags []string) {
	for _, flag := range []struct {
		name  string
		value *string
	}{
		{"kubeconfig", f.Flags.KubeConfig}, {"context", f.Flags.Context}, {"cluster", f.Flags.ClusterName},
		{"user", f.Flags.AuthInfoName}, {"server", f.Flags.APIServer},
	} {
		if flag.value != nil && *flag.value != "" {
			flags = append(flags, "--"+flag.name+"="+*flag.value)
		}
	}
	return flags
}

// The rate of requests of one command. That of client-go is meant for controllers: it would delay a command by seconds.
const (
	requestsPerSecond = 50
	requestsAtOnce    = 300
)

// NewCluster returns the cluster that config describes. It sends no request.
func NewCluster(config *rest.Config, namespace string) (*Cluster, error) {
	config = rest.CopyConfig(config)
	if config.QPS == 0 {
		config.QPS, config.Burst = requestsPerSecond, requestsAtOnce
	}
	c := &Cluster{Config: config, Namespace: namespace}
	var err error
	if c.Kubernetes, err = kubernetes.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("could not create a client of the cluster: %w", err)
	}
	if c.Postern, err = versioned.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("could not create a client of Postern: %w", err)
	}
	if c.Dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("could not create a client of the targets: %w", err)
	}
	return c, nil
}
