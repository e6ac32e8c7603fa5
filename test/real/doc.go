// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package real tests Postern with the programs that users run next to it: consumers, which act on what Postern writes,
// and senders. The programs poll nothing, so that only Postern can have caused what they do. "make test-real" builds
// them and runs all tests; without it only the tests run that need no other program than git.
package real
