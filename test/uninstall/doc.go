// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package uninstall tests, with Kubernetes' deletion controllers, that Postern can be removed from a cluster without
// leftovers, and how its absence affects the deletion of namespaces.
package uninstall
