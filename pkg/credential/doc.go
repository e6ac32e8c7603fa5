// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package credential authenticates deliveries: it keeps the webhook secrets of every namespace, and implements the
// authentication methods of each type of sender.
//
// It runs before anything else is looked up. So it does not depend on the existence of a target, on the decoding of
// payloads or on the storage of deliveries, and its errors must not reveal any of these to an unauthenticated caller.
//
// # Keys
//
// The secrets of a namespace are the data of one Kubernetes Secret in it, named SecretName:
//
//	gatewaysyncs.<name>.hmac, gatewaysyncs.<name>.token    one GatewaySync
//	applications.<name>.hmac, applications.<name>.token    one Application
//	hmac, token                                            git and generic senders
//	webhook.<source>-secret                                one sender, as HMAC key if it signs, and as token
//	webhook.<source>-registry-url                          the URL of its registry, not a secret; see RegistryURLs
//
// If a target has a key of its own, of either kind, only that key is used for it. This separates the tenants of one
// namespace.
//
// There may also be default secrets under the same keys, except for the keys of single targets. They apply in each
// namespace to attempts for which it has no key of its own: a key there, even one without any secret, replaces them.
//
// A value has secrets as text, one per line and at most 64. All are valid, so that a secret can be rotated without an
// interruption. White space around a secret is ignored. A value without any secret matches nothing but counts as
// configured: it can only reject deliveries, never accept them.
//
// A signing token (whsec_ and base64, as GitLab creates them) is also an HMAC key. Its signatures are made with the
// decoded bytes and are accepted for five minutes only.
package credential
