// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

// The registries for which Argo CD Image Updater has one secret each. They are verified only with their own key; hmac
// and token are for git and generic senders.
const (
	sourceACR         = "acr"
	sourceAliyunACR   = "aliyun-acr"
	sourceCloudEvents = "cloudevents"
	sourceDockerHub   = "docker.io"
	sourceGHCR        = "ghcr.io"
	sourceHarbor      = "harbor"
	sourceQuay        = "quay.io"
)

// The other registries. The secret of a git host must not authenticate them either.
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

// mayUseQueryToken reports whether the sender may authenticate by its URL. Proxies' logs and the cluster's audit log
// have the query, so it is only for senders that can set neither a header nor a signature, and for CloudEvents, whose
// senders differ. Google's Pub/Sub (gar) can set no token but Google's.
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

// sourceKey returns the key of a sender's own secret. As in Argo CD Image Updater, the keys of registries that are
// named by their host omit the top-level domain.
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
