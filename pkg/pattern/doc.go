// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package pattern compiles the regular expressions and semver constraints with which owners of targets select versions.
// The texts are untrusted: a regular expression of a few kilobytes can request gigabytes of memory. Therefore the
// length of each text and the program size of each regular expression are checked before compilation.
//
// Compiled patterns are cached, so that a text is compiled once and not for every decision. The cache is limited in
// bytes, per owner and in total; an owner with many patterns displaces its own first.
//
// The package does not depend on targets, payloads or API clients.
package pattern
