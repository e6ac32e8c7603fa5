// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package certificate gives Postern serving certificates of its own. A Secret holds a certificate authority, the
// APIService's caBundle makes the kube-apiserver trust it, and each replica signs for itself a leaf that only it holds, in
// memory. The authority is renewed in such an order that at no time a leaf is served that is not trusted.
//
// It must not know what is served.
package certificate
