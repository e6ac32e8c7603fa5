// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

// The senders whose original receiver has a secret for each of them. Such a sender is verified by its own key only;
// hmac and token are for git and generic senders.
const (
	sourceACR         = "acr"
	sourceAliyunACR   = "aliyun-acr"
	sourceCloudEvents = "cloudevents"
	sourceDockerHub   = "docker.io"
	sourceGHCR        = "ghcr.io"
	sourceHarbor      = "harbor"
	sourceQuay        = "quay.io"
)

// The other registries, to which the same applies: what holds a git host's secret need not speak for them.
const (
	sourceDistribution = "distribution"
	sourceECR          = "ecr"
	sourceGAR          = "gar"
	sourceJFrog        = "jfrog"
	sourceNexus        = "nexus"
	sourceZot          = "zot"
)

func hasOnlyOwnKey(source string) bool {
	switch source {
	case sourceACR, sourceAliyunACR, sourceCloudEvents, sourceDockerHub, sourceGHCR, sourceHarbor, sourceQuay,
		sourceDistribution, sourceECR, sourceGAR, sourceJFrog, sourceNexus, sourceZot:
		return true
	}
	return false
}

// mayUseQueryToken reports whether the sender may prove itself by its URL. A query is seen by every log on the way, the
// cluster's audit log included, so it is for those that can set neither a header nor a signature, and for CloudEvents,
// whose senders differ. Google's Pub/Sub (gar) can set none but a token of Google's.
func mayUseQueryToken(source string) bool {
	switch source {
	case sourceAliyunACR, sourceCloudEvents, sourceDockerHub, sourceGAR, sourceQuay:
		return true
	}
	return false
}

const (
	sourceKeyPrefix = "webhook."
	sourceKeySuffix = "-secret"
)

// sourceKey is the key of a sender's own secret. Argo CD Image Updater's keys for registries that are named by their
// host leave out the top-level domain, and are kept.
func sourceKey(source string) string {
	switch source {
	case sourceDockerHub:
		source = "docker"
	case sourceGHCR:
		source = "ghcr"
	case sourceQuay:
		source = "quay"
	}
	return sourceKeyPrefix + source + sourceKeySuffix
}
