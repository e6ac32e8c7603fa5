// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package receiver is the classic receiver: the paths, answers and secrets of the webhook receivers of Stoker and of Argo
// CD Image Updater, on a port of its own, for senders that can't reach the kube-apiserver. No kube-apiserver stands before
// it, so it has its own TLS, and every sender is a stranger that proves itself by a webhook secret.
//
// It reads requests and writes answers, and must not know how a webhook is verified, decoded or carried out:
//
//	https://github.com/ia-eknorr/stoker-operator
//	https://argocd-image-updater.readthedocs.io/en/stable/configuration/webhook/
package receiver
