// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// +k8s:deepcopy-gen=package
// +groupName=postern.dev

// Package postern is the internal version of the postern.dev API. The server works with it, and every external version
// converts to and from it. It does not depend on how deliveries are executed, stored or served.
package postern
