// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package naming

import (
	"strings"
	"testing"
)

func TestCanonicalRepository_OneAddress(t *testing.T) {
	for want, addresses := range map[string][]string{
		"docker.io/library/nginx": {"docker.io/library/nginx", "index.docker.io/library/nginx",
			"registry-1.docker.io/library/nginx", "registry-1.docker.io/nginx",
			"registry.hub.docker.com/library/nginx"},
		"docker.io/acme/shop":            {"registry-1.docker.io/acme/shop", "docker.io:443/acme/shop"},
		"registry.example.com/acme/shop": {"registry.example.com/acme/shop", "registry.example.com:443/acme/shop"},
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/shop": {
			"123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/shop",
			"123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com/team/shop",
			"123456789012.dkr-ecr.eu-west-1.on.aws/team/shop",
			"123456789012.dkr-ecr-fips.eu-west-1.on.aws/team/shop"},
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com/shop": {
			"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/shop",
			"123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn/shop"},
		"registry.cn-hangzhou.aliyuncs.com/a/b": {"registry.cn-hangzhou.aliyuncs.com/a/b",
			"registry-vpc.cn-hangzhou.aliyuncs.com/a/b", "registry-internal.cn-hangzhou.aliyuncs.com/a/b"},
		"acme-registry.cn-hangzhou.cr.aliyuncs.com/a/b": {"acme-registry.cn-hangzhou.cr.aliyuncs.com/a/b",
			"acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com/a/b"},
		"gcr.io/project/shop":      {"gcr.io/project/shop", "us-docker.pkg.dev/project/gcr.io/shop"},
		"us.gcr.io/project/shop":   {"us-docker.pkg.dev/project/us.gcr.io/shop"},
		"eu.gcr.io/project/a/shop": {"europe-docker.pkg.dev/project/eu.gcr.io/a/shop"},
	} {
		for _, address := range addresses {
			host, path, _ := strings.Cut(address, "/")
			host, path = CanonicalRepository(host, path)
			if got := host + "/" + path; got != want {
				t.Errorf("CanonicalRepository(%s) = %s, want %s", address, got, want)
			}
			if again, _ := CanonicalRepository(host, path); again != host {
				t.Errorf("%s becomes %s", host, again)
			}
		}
	}
}

func TestCanonicalRepository_Distinguishes(t *testing.T) {
	for _, address := range []string{
		"123456789013.dkr-ecr.eu-west-1.on.aws/shop",
		"123456789012.dkr-ecr.eu-west-2.on.aws/shop",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com.example.com/shop",
		"x123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop",
		"registry-vpc.cn-hangzhou.aliyuncs.com.example.com/shop",
		"europe-docker.pkg.dev/project/gcr.io/shop",
		"us-docker.pkg.dev/project/shop",
		"us-docker.pkg.dev/project/gcr.io",
		"docker.io.example.com/library/shop",
		"ghcr.io/acme/shop",
		"registry.example.com:8443/acme/shop",
	} {
		host, path, _ := strings.Cut(address, "/")
		switch host, path = CanonicalRepository(host, path); host + "/" + path {
		case "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop", "registry.cn-hangzhou.aliyuncs.com/shop",
			"gcr.io/project/shop", "docker.io/library/shop", "registry.example.com/acme/shop":
			t.Errorf("CanonicalRepository(%s) = %s/%s", address, host, path)
		}
	}
}
