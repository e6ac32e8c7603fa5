// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package release makes a release, pushes it to a registry on this machine, and verifies it as its users do, with
// cosign, crane, helm and sha256sum. Only "make test-release" runs it.
package release
