// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package e2e runs the shipped image in clusters with real nodes: as installed by kustomize and by the chart, while it
// is updated, killed and moved, and while its node or what it stands on fails. "make e2e" runs it, and prints what
// senders noticed.
package e2e
