// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package chart tests that the Helm chart installs the same objects as the kustomize manifests, rejects invalid values,
// and can be installed, upgraded and uninstalled with Helm in a real cluster.
package chart
