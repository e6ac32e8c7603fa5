// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package naming has the rules for the names of git refs, repositories and images. Decoders of payloads, validation and
// targets share them.
package naming
