// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package sdks decodes what the libraries of others make: events by the SDK of CDEvents, checked against the schemas of
// its specification and sent by the SDK of CloudEvents, and webhooks as GitHub's client for Go knows them.
package sdks
