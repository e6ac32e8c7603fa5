// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package receiver implements the classic receiver: the paths, responses and secrets of the webhook receivers of Stoker
// and of Argo CD Image Updater, on a separate port, for senders that can't reach the kube-apiserver. It serves its own
// TLS, and every sender is anonymous to the cluster and authenticates by a webhook secret.
//
// It reads requests and writes responses. It must not depend on how a webhook is verified, decoded or executed.
//
//	https://github.com/knorrlabs/stoker-operator
//	https://argocd-image-updater.readthedocs.io/en/stable/configuration/webhook/
package receiver
