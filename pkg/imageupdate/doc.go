// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package imageupdate decides what a pushed image changes in an Application,
// under the configuration that its owner wrote for Argo CD Image Updater
// (https://argocd-image-updater.readthedocs.io): annotations, or ImageUpdater
// objects.
//
// Image Updater asks a registry for all tags and picks one. Here the pushed tag
// is the only candidate, so that no registry is asked: the question is whether
// that tag may replace what is in use. docs/image-updates.md sets the two side by
// side, and says where they differ.
//
// ConfigFor finds the configuration, Decide judges one image by it, and PlanFor
// does so for a whole Application and says what to write. All are pure functions
// and safe for concurrent use; none modifies what it is given. What owners wrote is
// compiled by package pattern, which keeps it. The package must know nothing of API
// clients, payloads, patches, or of how anything is stored.
package imageupdate
