// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package credential decides whether a delivery may be believed: it keeps the webhook secrets of every namespace, and
// knows how each kind of sender proves that it holds one.
//
// It runs before anything else is looked up, so it must not know whether a target exists, how a payload is decoded, or
// where deliveries are stored; and what it answers must not let a stranger find out.
//
// # Keys
//
// The secrets of a namespace are the data of one Kubernetes Secret in it, named SecretName:
//
//	gatewaysyncs.<name>.hmac, gatewaysyncs.<name>.token    one GatewaySync
//	applications.<name>.hmac, applications.<name>.token    one Application
//	hmac, token                                            git and generic senders
//	webhook.<source>-secret                                one sender, as HMAC key if it signs, and as token
//	webhook.<source>-registry-url                          no secret: where that sender's registry is; see RegistryURLs
//
// A target with a key of its own, of either kind, is tried against nothing else, so that tenants of one namespace can
// be kept apart.
//
// There may also be default secrets under the same keys, but for those of single targets. They count in each namespace for
// the attempts that none of its own keys is for: a key there, even one without any secret, replaces them.
//
// A value holds secrets as text, one a line and 64 at most; each is valid, so that a secret can be rotated without a
// gap. White space around a secret is not part of it. A value without any secret matches nothing, but counts as
// configured: it closes the door, and never opens it.
//
// A signing token (whsec_ and base64, as GitLab makes them) is an HMAC key like any other, but signatures by it are made
// with the bytes in it, and are believed for five minutes only.
package credential
