// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package payload decodes the headers and body of a webhook into the events that its sender requests.
//
// It consists of pure functions, keeps no state, and is safe for concurrent use. It does not depend on Kubernetes,
// storage, targets or credentials. Its input is untrusted until Decode has returned it as an Event.
//
// Every sender has one file, one line in the table in senders.go, and golden payloads in testdata.
package payload
