// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package pattern compiles what owners of targets write to choose versions: regular
// expressions and semver constraints. All of that is hostile until it is compiled:
// a regular expression of a few kilobytes can ask for gigabytes. So each text is
// bounded in length, and a regular expression in the size of its program, before
// anything is compiled.
//
// What is compiled is kept, so that a text is compiled once when it is first seen and
// not for every decision. What is kept is bounded in bytes, for each owner and in all,
// and an owner with many patterns displaces its own first.
//
// The package knows nothing of targets, payloads or API clients.
package pattern
