// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package payload turns the headers and body of a webhook into the events that its sender asks for.
//
// It is a set of pure functions: it knows nothing of Kubernetes, storage, targets or credentials, keeps no state, and is
// safe for concurrent use. Whatever it is given is hostile until Decode has returned it as an Event.
//
// Every sender has one file, one line in the table in senders.go, and golden payloads below testdata.
package payload
