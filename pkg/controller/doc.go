// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package controller contains the background work of the server, as Runnables of controller-runtime's manager. It
// accesses deliveries through small interfaces of its own, and must not depend on how they are served.
//
// RetryController is a Reconciler in a controller of controller-runtime. Only two pieces differ from the usual:
//   - Its queue is a fairQueue. The workers of a controller take the next item from any namespace, so the targets of
//     one namespace that hang could occupy all of them.
//   - It waits for its informer by itself. A controller gives up after a timeout, but the storage may fail for longer.
//
// Leader does not use the leader election of the manager, which ends the process when it loses the lease.
package controller
