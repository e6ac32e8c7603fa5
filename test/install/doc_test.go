// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package install tests that the manifests can be installed on a real kube-apiserver, which validates every field, and
// that Postern runs with the installed arguments, environment, files and permissions.
package install
