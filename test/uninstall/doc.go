// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package uninstall proves, with the controllers of Kubernetes that delete things, that Postern can be removed from a
// cluster and leaves nothing behind, and what its absence does to the deletion of namespaces.
package uninstall
