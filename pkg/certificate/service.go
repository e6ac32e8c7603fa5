// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

// Service names the Service that leads to Postern.
type Service struct {
	Namespace, Name string
}

// ServerName is the name that the kube-apiserver demands of the certificate of an aggregated API server.
//
// Source: BuildTransportConfig in k8s.io/kube-aggregator, pkg/controllers/status/remote/remote_available_controller.go.
func (s Service) ServerName() string { return s.Name + "." + s.Namespace + ".svc" }

// dnsNames are all names that a leaf is good for: that one, what Pods call it in most clusters, and the own machine.
func (s Service) dnsNames() []string {
	return []string{s.ServerName(), s.ServerName() + ".cluster.local", "localhost"}
}
