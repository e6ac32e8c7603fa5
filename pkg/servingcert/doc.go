// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package servingcert manages Postern's own serving certificates. A Secret has a certificate authority (CA), and the
// APIService's caBundle makes the kube-apiserver trust it. Each replica issues its own leaf certificate, which it keeps
// only in memory. The CA is rotated so that a leaf that is not trusted is never served.
//
// It does not depend on what is served.
package servingcert
