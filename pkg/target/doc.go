// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package target writes requests, for a git ref or an image, to the objects that act on them: Stoker's GatewaySync and
// Argo CD's Application.
//
// A targetKind decides what changes and why, without side effects. It returns a JSON patch whose tests name exactly
// what was read. A Writer reads, decides and patches until the target holds the request or can't. A Cache watches the
// objects, and finds the targets of a push that names none.
//
// The way of a request: Writer.Write, batcher.do, in a goroutine batcher.writeNext, Writer.writeBatch, Writer.write
// (retries), writeAttempt.try (reads, decides, patches), client.patch.
//
// The package must not depend on payloads, credentials or the storage of deliveries: it gets a Request and returns a
// Result.
package target
