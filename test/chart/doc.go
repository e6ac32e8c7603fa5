// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package chart tests that the Helm chart rejects invalid values and can be installed, upgraded and uninstalled with
// Helm in a real cluster, and that the kustomize manifests install the same objects.
package chart
