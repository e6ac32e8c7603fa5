// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package target writes what is requested, a git ref or an image, onto the objects
// that act on it: Stoker's GatewaySync and Argo CD's Application.
//
// For each kind a pure function decides what would change and why, as a JSON
// patch whose tests name exactly what was read. A Writer reads, decides, and
// sends that patch until it holds or cannot. A Cache follows the objects, and finds
// those that want what was pushed if nobody named one.
//
// The package must know nothing of payloads, credentials, or of how deliveries
// are stored: it is given a Request and answers with an Outcome.
package target
