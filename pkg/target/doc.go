// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package target writes a requested ref onto the objects that act on it:
// Stoker's GatewaySync and Argo CD's Application.
//
// For each kind a pure function decides what would change and why, as a JSON
// patch whose tests name exactly what was read. A Writer reads, decides, and
// sends that patch until it holds or cannot.
//
// The package must know nothing of payloads, credentials, or of how deliveries
// are stored: it is given a Request and answers with an Outcome.
package target
