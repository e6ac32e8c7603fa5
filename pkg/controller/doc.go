// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package controller holds what goes on beside requests, as Runnables of controller-runtime's manager. It sees the records
// of deliveries through small interfaces of its own, and must not know how they are served.
package controller
