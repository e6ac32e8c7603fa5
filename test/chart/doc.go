// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package chart proves that the Helm chart installs what the kustomize manifests do, refuses values that cannot work, and
// can be installed, upgraded and uninstalled with Helm in a real cluster.
package chart
