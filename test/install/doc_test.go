// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package install proves that what is shipped in manifests can be installed: on a real kube-apiserver, which validates
// every field, and with Postern run by the arguments, the environment, the files and the permissions that are installed.
package install
