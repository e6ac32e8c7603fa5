// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// +k8s:deepcopy-gen=package
// +groupName=postern.dev

// Package postern holds the internal version of the postern.dev API: the one that the server works with and that
// every external version converts to and from. It must not know how a delivery is carried out, stored or served.
package postern
