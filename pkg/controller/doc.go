// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package controller contains the background work of the server, as Runnables of controller-runtime's manager. It
// accesses deliveries through small interfaces of its own, and must not depend on how they are served.
package controller
