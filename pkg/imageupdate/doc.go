// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package imageupdate decides how a pushed image changes an Application, according to the owner's configuration for
// Argo CD Image Updater (https://argocd-image-updater.readthedocs.io): annotations or ImageUpdater objects.
//
// Image Updater lists all tags of a registry and picks one. Here the pushed tag is the only candidate, and no registry
// is queried: the package decides whether that tag may replace the image in use. docs/image-updates.md compares both
// and lists the differences.
//
// ConfigFor finds the configuration, Decide evaluates one image, and PlanFor evaluates a whole Application and returns
// the changes to write. All are pure functions and safe for concurrent use; none modifies its arguments. Patterns are
// compiled and cached by package pattern. The package must not depend on API clients, payloads, patches or storage.
package imageupdate
