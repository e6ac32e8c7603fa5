// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package docs follows the documentation literally. Every block of shell in README.md and below docs is run, page by
// page and in order, in a real control plane with Postern behind it; what a page shows to be printed must be printed; and
// every manifest must be one that the kube-apiserver takes.
//
// A page is written for a reader who has the namespace demo with the GatewaySync plant and the Application shop, kubectl
// as an administrator, and a checkout of this repository around; who comes from Argo CD Image Updater has its Secret, too.
// A block that can't be run here stands after an HTML comment that says why:
//
//	<!-- not run: needs a cloud -->
//
// A page that takes the control plane apart, or makes admission policies, has one of its own, and a page that installs
// Postern one without, by the comments
//
//	<!-- own control plane -->
//	<!-- empty control plane -->
//
// There "kubectl rollout status" has what the page installed be run, as a node would.
//
// A block of text that directly follows a block of shell shows what that prints, or the end of it. In it … stands for what
// is left out; ages, times and generated names may differ.
package docs
