// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package target writes requests, for a git ref or an image, to the objects that act on them: Stoker's GatewaySync and
// Argo CD's Application.
//
// For each kind a pure function decides what changes and why. It returns a JSON patch whose tests name exactly what was
// read. A Writer reads, decides and patches until the target holds the request or can't. A Cache watches the objects,
// and finds the targets of a push that names none.
//
// The package must not depend on payloads, credentials or the storage of deliveries: it gets a Request and returns an
// Outcome.
package target
