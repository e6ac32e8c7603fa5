// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package naming

import (
	"regexp"
	"strings"
)

// CanonicalRepository returns one host and path for all addresses of the same image repository. Senders report one
// address of a registry, or none, while clusters may pull from another. The host must be in lower case.
//
// The result is a key for comparison, not an address.
func CanonicalRepository(host, path string) (canonicalHost, canonicalPath string) {
	host = strings.TrimSuffix(host, ":443") // of HTTPS, which is the default
	switch host {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		if !strings.Contains(path, "/") {
			path = "library/" + path
		}
		return "docker.io", path
	}
	if location, ok := strings.CutSuffix(host, "-docker.pkg.dev"); ok {
		return canonicalGoogle(location, host, path)
	}
	if strings.HasSuffix(host, ".aliyuncs.com") {
		return aliyunNetwork.ReplaceAllString(host, "${1}registry."), path
	}
	if parts := ecrAddress.FindStringSubmatch(host); parts != nil {
		return parts[1] + ".dkr.ecr." + parts[2] + ".amazonaws.com", path
	}
	return host, path
}

// ecrAddress matches the hosts of a private registry of Amazon ECR: for IPv4 or dual stack, with or without FIPS, in
// any partition. Account and region identify the registry.
//
//	<account>.dkr.ecr.<region>.amazonaws.com, <account>.dkr.ecr-fips.<region>.amazonaws.com
//	<account>.dkr-ecr.<region>.on.aws, <account>.dkr-ecr-fips.<region>.on.aws
//
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html
var ecrAddress = regexp.MustCompile(`^([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.` +
	`(?:on\.aws|on\.amazonwebservices\.com\.cn|amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|` +
	`c2s\.ic\.gov|sc2s\.sgov\.gov|csp\.hci\.ic\.gov|cloud\.adc-e\.uk)$`)

// aliyunNetwork matches the part of an address of Alibaba Cloud Container Registry that depends on the network: the
// internet, a VPC or the classic network. The name of an Enterprise Edition instance precedes it.
// https://www.alibabacloud.com/help/en/acr/user-guide/push-and-pull-images
var aliyunNetwork = regexp.MustCompile(`^((?:[a-z0-9-]+-)?)registry-(?:vpc|internal)\.`)

// canonicalGoogle returns the gcr.io address of a repository of Artifact Registry that replaces Container Registry:
// LOCATION-docker.pkg.dev/PROJECT/gcr.io is at gcr.io/PROJECT.
// https://cloud.google.com/artifact-registry/docs/transition/setup-gcr-repo
func canonicalGoogle(location, host, path string) (canonicalHost, canonicalPath string) {
	project, rest, _ := strings.Cut(path, "/")
	repository, image, _ := strings.Cut(rest, "/")
	locations := map[string]string{"gcr.io": "us", "us.gcr.io": "us", "eu.gcr.io": "europe", "asia.gcr.io": "asia"}
	if image == "" || locations[repository] != location {
		return host, path
	}
	return repository, project + "/" + image
}
