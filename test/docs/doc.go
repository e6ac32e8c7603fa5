// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package docs runs the documentation. Each block of shell in README.md and below docs is run, page by page and in
// order, in a real control plane with Postern. The output must be what the page shows, and the kube-apiserver must
// accept each manifest.
//
// A page may assume the namespace demo with the GatewaySync plant and the Application shop, kubectl as an
// administrator, and a checkout of this repository as the working directory. The Secret of Argo CD Image Updater
// exists, too. An HTML comment with the reason precedes a block that can't be run here:
//
//	<!-- not run: needs a cloud -->
//
// The blocks of a section run in place of a link to it that is followed by a comment:
//
//	[Prepare](credentials.md#prepare)<!-- run -->
//
// A page that takes the control plane apart or creates admission policies gets its own control plane, and a page that
// installs Postern gets one without, by the comments
//
//	<!-- own control plane -->
//	<!-- empty control plane -->
//
// There "kubectl rollout status" runs what the page installed, as a node would.
//
// A block of text directly after a block of shell shows its output, or the end of it. In it … stands for omitted text;
// ages, times and generated names may differ.
package docs
