// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// registryBehaviors lists the expected behavior of each sender for its golden payloads.
var registryBehaviors = []struct {
	behavior string
	payload  string   // testdata/<payload>.json
	images   []string // without digest
	charts   []string // oci://repository and version
	ignored  []string // reasons
	refused  string   // reason
}{
	{behavior: "the tag counts", payload: "docker.io/full", images: []string{"docker.io/example/shop:1.4.0"}},
	{behavior: "an official image is named in full", payload: "docker.io/official-image",
		images: []string{"docker.io/library/nginx:1.4.0"}},
	{behavior: "a repository never names another registry", payload: "docker.io/repo-name-like-a-host",
		images: []string{"docker.io/registry.example.com/shop:1.4.0"}},
	{behavior: "a repository never brings its own tag", payload: "docker.io/repo-name-with-tag",
		refused: ErrorInvalidImage},
	{behavior: "a tag never brings a digest", payload: "docker.io/tag-with-digest", refused: ErrorInvalidImage},
	{behavior: "a signature is not an image", payload: "docker.io/tag-of-a-signature",
		ignored: []string{IgnoredNotAnImage}},
	{behavior: "registry_url names a mirror", payload: "docker.io/registry-url",
		images: []string{"mirror.example.com/hub/example/shop:1.4.0"}},
	{behavior: "the name may have two parts", payload: "docker.io/namespace-and-name",
		images: []string{"docker.io/example/shop:1.4.0"}},
	{behavior: "a time as a floating-point number is read", payload: "docker.io/pushed-at-as-float",
		images: []string{"docker.io/example/shop:1.4.0"}},

	{behavior: "the event of repositories counts", payload: "ghcr.io/package-full",
		images: []string{"ghcr.io/example/shop:v1.4.0"}},
	{behavior: "the event of organizations and apps counts", payload: "ghcr.io/registry-package",
		images: []string{"ghcr.io/example/shop:v1.4.0"}},
	{behavior: "an update counts", payload: "ghcr.io/package-updated", images: []string{"ghcr.io/example/shop:v1.4.0"}},
	{behavior: "the version's digest is never taken for a tag", payload: "ghcr.io/tag-empty",
		ignored: []string{IgnoredDigestOnly}},
	{behavior: "names are in lower case", payload: "ghcr.io/owner-in-upper-case",
		images: []string{"ghcr.io/example/shop:v1.4.0"}},
	{behavior: "other packages are not images", payload: "ghcr.io/npm-package", ignored: []string{IgnoredNotAnImage}},
	{behavior: "charts are not images", payload: "ghcr.io/chart",
		charts: []string{"oci://ghcr.io/example/shop v1.4.0"}},
	{behavior: "a deletion deploys nothing", payload: "ghcr.io/package-deleted", ignored: []string{IgnoredAction}},

	{behavior: "every resource counts", payload: "harbor/push-of-several", ignored: []string{IgnoredDigestOnly},
		images: []string{
			"harbor.example.com/team/shop:1.4.0", "harbor.example.com/team/shop:1.4",
			"harbor.example.com/team/shop:edge",
		}},
	{behavior: "a tag that equals the digest is not a tag", payload: "harbor/push-without-tag",
		ignored: []string{IgnoredDigestOnly}},
	{behavior: "the host comes from resource_url", payload: "harbor/push-with-scheme-and-port",
		images: []string{"harbor.example.com:8443/team/shop:1.4.0"}},
	{behavior: "without a host there is no guess", payload: "harbor/resource-url-missing", refused: ErrorInvalidField},
	{behavior: "a host that is a directory at Docker Hub is none", payload: "harbor/host-that-docker-would-misread",
		refused: ErrorInvalidImage},
	{behavior: "a deletion deploys nothing", payload: "harbor/delete", ignored: []string{IgnoredRefDeleted}},
	{behavior: "a pull deploys nothing", payload: "harbor/pull", ignored: []string{IgnoredEvent}},
	{behavior: "a replicated image counts in its destination", payload: "harbor/replication-of-an-image",
		images: []string{"edge.example.com/team/shop:1.4.0"}, ignored: []string{IgnoredDigestOnly}},
	{behavior: "a replicated image without a tag deploys nothing", payload: "harbor/replication-without-tag",
		ignored: []string{IgnoredDigestOnly}},
	{behavior: "a replicated chart is not an image", payload: "harbor/replication-of-a-chart",
		charts: []string{"oci://edge.example.com/team/shop 1.4.0"}},
	{behavior: "other replicated artifacts are not images", payload: "harbor/replication-of-another-type",
		ignored: []string{IgnoredNotAnImage}},
	{behavior: "without a destination there is no guess", payload: "harbor/replication-without-endpoint",
		refused: ErrorInvalidField},
	{behavior: "registry_url names the host", payload: "harbor/registry-url",
		images: []string{"pull.example.com/mirror/team/shop:1.4.0"}},
	{behavior: "a CloudEvent counts as the default format does", payload: "harbor/cloudevent-push", images: []string{
		"harbor.example.com/team/shop:1.4.0", "harbor.example.com/team/shop:1.4",
	}},
	{behavior: "a CloudEvent of a deletion deploys nothing", payload: "harbor/cloudevent-delete",
		ignored: []string{IgnoredRefDeleted}},

	{behavior: "every tag counts, in order", payload: "quay.io/several-tags", images: []string{
		"quay.io/example/shop:1.4.0", "quay.io/example/shop:1.4", "quay.io/example/shop:latest",
	}},
	{behavior: "the host comes from docker_url", payload: "quay.io/own-installation",
		images: []string{"quay.apps.example.com:8443/example/shop:1.4.0"}},
	{behavior: "registry_url goes before docker_url", payload: "quay.io/registry-url",
		images: []string{"quay.example.com/example/shop:1.4.0"}},
	{behavior: "a signature with a prefix is not an image", payload: "quay.io/signature-with-a-prefix",
		ignored: []string{IgnoredNotAnImage}},
	{behavior: "the test is not a push", payload: "quay.io/test", ignored: []string{IgnoredPing}},
	{behavior: "a push of the tags of the test is one", payload: "quay.io/tags-like-those-of-the-test",
		images: []string{"quay.io/example/shop:latest", "quay.io/example/shop:foo"}},
	{behavior: "other notifications deploy nothing", payload: "quay.io/vulnerability-found",
		ignored: []string{IgnoredEvent}},

	{behavior: "the host follows from the region", payload: "aliyun-acr/full",
		images: []string{"registry.cn-hangzhou.aliyuncs.com/team/shop:1.4.0"}},
	{behavior: "registry_url goes before the region", payload: "aliyun-acr/registry-url",
		images: []string{"shop-registry.cn-hangzhou.cr.aliyuncs.com/team/shop:1.4.0"}},
	{behavior: "a region never names another host", payload: "aliyun-acr/region-with-another-host",
		refused: ErrorInvalidImage},

	{behavior: "a push counts", payload: "acr/push-full", images: []string{"example.azurecr.io/team/shop:1.4.0"}},
	{behavior: "an index counts", payload: "acr/push-of-an-index",
		images: []string{"example.azurecr.io/team/shop:1.4.0"}},
	{behavior: "a ping is not an event", payload: "acr/ping", ignored: []string{IgnoredPing}},
	{behavior: "a deletion deploys nothing", payload: "acr/delete", ignored: []string{IgnoredRefDeleted}},
	{behavior: "charts are not images", payload: "acr/chart-push", ignored: []string{IgnoredAction}},
	{behavior: "a push without a tag deploys nothing", payload: "acr/push-without-tag",
		ignored: []string{IgnoredDigestOnly}},
	{behavior: "registry_url goes before the host", payload: "acr/registry-url",
		images: []string{"acr.example.com/team/shop:1.4.0"}},
	{behavior: "a host has no path", payload: "acr/host-with-a-path", refused: ErrorInvalidImage},
	{behavior: "a host has no user", payload: "acr/host-with-a-user", refused: ErrorInvalidImage},

	{behavior: "a push that succeeded counts", payload: "ecr/push-full",
		images: []string{"111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop:1.4.0"}},
	{behavior: "China has a domain of its own", payload: "ecr/push-in-china",
		images: []string{"111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/team/shop:1.4.0"}},
	{behavior: "so has the European Sovereign Cloud", payload: "ecr/push-in-the-european-sovereign-cloud",
		images: []string{"111122223333.dkr.ecr.eusc-de-east-1.amazonaws.eu/team/shop:1.4.0"}},
	{behavior: "a push that failed deploys nothing", payload: "ecr/push-failed", ignored: []string{IgnoredAction}},
	{behavior: "a push of unknown success deploys nothing", payload: "ecr/push-result-missing",
		ignored: []string{IgnoredAction}},
	{behavior: "a deletion deploys nothing", payload: "ecr/delete", ignored: []string{IgnoredRefDeleted}},
	{behavior: "charts are not images", payload: "ecr/push-of-a-chart",
		charts: []string{"oci://111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop 1.4.0"}},
	{behavior: "a replicated image counts in its destination", payload: "ecr/replication",
		images: []string{"111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop:1.4.0"}},
	{behavior: "a replication that failed deploys nothing", payload: "ecr/replication-failed",
		ignored: []string{IgnoredAction}},
	{behavior: "registry_url goes before the computed host", payload: "ecr/registry-url",
		images: []string{"111122223333.dkr-ecr.eu-west-1.on.aws/team/shop:1.4.0"}},
	{behavior: "an account never names another host", payload: "ecr/account-with-another-host",
		refused: ErrorInvalidField},
	{behavior: "a region never names another host", payload: "ecr/region-with-another-host",
		refused: ErrorInvalidField},

	{behavior: "every pushed tag counts, layers don't", payload: "distribution/push-of-an-image-with-layers",
		ignored: []string{IgnoredNotAnImage, IgnoredNotAnImage, IgnoredAction}, images: []string{
			"registry.example.com:5000/team/shop:1.4.0", "registry.example.com:5000/team/other:2.0.0",
		}},
	{behavior: "deletions deploy nothing", payload: "distribution/deletes", ignored: []string{IgnoredRefDeleted}},
	{behavior: "charts are not images", payload: "distribution/push-of-a-chart",
		charts: []string{"oci://registry.example.com:5000/team/shop 1.4.0"}},
	{behavior: "the host may come from the target", payload: "distribution/host-of-the-url",
		images: []string{"registry.example.com:5000/team/shop:1.4.0"}},
	{behavior: "registry_url goes before the host", payload: "distribution/registry-url",
		images: []string{"registry.example.com/mirror/team/shop:1.4.0"}},

	{behavior: "an updated image counts", payload: "zot/updated-full",
		images: []string{"zot.example.com:5000/team/shop:1.4.0"}},
	{behavior: "a digest as the reference is not a tag", payload: "zot/updated-without-tag",
		ignored: []string{IgnoredDigestOnly}},
	{behavior: "charts are not images", payload: "zot/updated-chart",
		charts: []string{"oci://zot.example.com:5000/team/shop 1.4.0"}},
	{behavior: "without registry_url there is no guess", payload: "zot/registry-url-missing",
		refused: ErrorInvalidField},
	{behavior: "a deletion deploys nothing", payload: "zot/deleted", ignored: []string{IgnoredRefDeleted}},
	{behavior: "a broken image deploys nothing", payload: "zot/lint-failed", ignored: []string{IgnoredEvent}},

	{behavior: "an insertion counts", payload: "gar/insert-full",
		images: []string{"europe-west3-docker.pkg.dev/example/team/shop:1.4.0"}},
	{behavior: "an insertion without a tag deploys nothing", payload: "gar/insert-without-tag",
		ignored: []string{IgnoredDigestOnly}},
	{behavior: "a deletion deploys nothing", payload: "gar/delete-tag", ignored: []string{IgnoredRefDeleted}},
	{behavior: "an image outside Google's registries is refused", payload: "gar/image-elsewhere",
		refused: ErrorInvalidImage},
	{behavior: "tag and digest are of one image", payload: "gar/tag-and-digest-of-different-images",
		refused: ErrorInvalidImage},
	{behavior: "what is within is read strictly", payload: "gar/data-with-a-name-twice", refused: ErrorMalformedBody},

	{behavior: "a push counts", payload: "jfrog/pushed-full",
		images: []string{"example.jfrog.io/docker-local/team/shop:1.4.0"}},
	{behavior: "registry_url stands for host and repository", payload: "jfrog/pushed-registry-url",
		images: []string{"docker-local.example.com/team/shop:1.4.0"}},
	{behavior: "without an origin there is no guess", payload: "jfrog/pushed-without-origin",
		refused: ErrorInvalidField},
	{behavior: "an OCI repository may contain images", payload: "jfrog/pushed-to-an-oci-repository",
		images: []string{"example.jfrog.io/docker-local/team/shop:1.4.0"}},
	{behavior: "other types are not images", payload: "jfrog/pushed-chart", ignored: []string{IgnoredNotAnImage}},
	{behavior: "the image's name is in the path, not image_name", payload: "jfrog/pushed-without-path",
		refused: ErrorInvalidField},
	{behavior: "the test is not a push", payload: "jfrog/test", ignored: []string{IgnoredPing}},
	{behavior: "a deletion deploys nothing", payload: "jfrog/deleted", ignored: []string{IgnoredRefDeleted}},
	{behavior: "other artifacts deploy nothing", payload: "jfrog/artifact-deployed", ignored: []string{IgnoredEvent}},

	{behavior: "a created component counts", payload: "nexus/created-full",
		images: []string{"nexus.example.com:8082/team/shop:1.4.0"}},
	{behavior: "an updated component counts", payload: "nexus/updated",
		images: []string{"nexus.example.com:8082/team/shop:1.4.0"}},
	{behavior: "a digest as the version is not a tag", payload: "nexus/created-by-digest",
		ignored: []string{IgnoredDigestOnly}},
	{behavior: "other formats are not images", payload: "nexus/created-chart", ignored: []string{IgnoredNotAnImage}},
	{behavior: "assets deploy nothing", payload: "nexus/asset", ignored: []string{IgnoredEvent}},
	{behavior: "a deletion deploys nothing", payload: "nexus/deleted", ignored: []string{IgnoredRefDeleted}},
	{behavior: "without registry_url there is no guess", payload: "nexus/registry-url-missing",
		refused: ErrorInvalidField},

	{behavior: "ECR's events in structured mode count", payload: "cloudevents/ecr-full",
		images: []string{"111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop:1.4.0"}},
	{behavior: "ECR's events in binary mode count", payload: "cloudevents/binary",
		images: []string{"111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop:1.4.0"}},
	{behavior: "every event of a batch counts", payload: "cloudevents/batch", ignored: []string{IgnoredEvent},
		images: []string{
			"111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop:1.4.0",
			"111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/other:2.0.0",
		}},
	{behavior: "an empty batch asks for nothing", payload: "cloudevents/batch-empty", ignored: []string{IgnoredEvent}},
	{behavior: "a batch is read strictly", payload: "cloudevents/batch-with-a-name-twice", refused: ErrorMalformedBody},
	{behavior: "the subject may name the image", payload: "cloudevents/ecr-subject-alone",
		images: []string{"111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop:1.4.0"}},
	{behavior: "ECR's deletions deploy nothing", payload: "cloudevents/ecr-delete", ignored: []string{IgnoredEvent}},
	{behavior: "any image's push counts", payload: "cloudevents/generic-registry-url",
		images: []string{"registry.example.com/team/shop:1.4.0"}},
	{behavior: "the source may be the host", payload: "cloudevents/generic-host-of-the-source",
		images: []string{"registry.example.com/team/shop:1.4.0"}},
	{behavior: "any image's deletion deploys nothing", payload: "cloudevents/generic-deleted",
		ignored: []string{IgnoredEvent}},
	{behavior: "unpublished is not published", payload: "cloudevents/generic-unpublished",
		ignored: []string{IgnoredEvent}},
	{behavior: "charts are not images", payload: "cloudevents/generic-chart",
		charts: []string{"oci://registry.example.com/team/shop 1.4.0"}},
	{behavior: "Azure's events count", payload: "cloudevents/azure-image-pushed",
		images: []string{"example.azurecr.io/team/shop:1.4.0"}},
	{behavior: "Azure's deletions deploy nothing", payload: "cloudevents/azure-image-deleted",
		ignored: []string{IgnoredEvent}},
	{behavior: "Azure's charts are not images", payload: "cloudevents/azure-chart-pushed",
		ignored: []string{IgnoredEvent}},
	{behavior: "a tag counts without an odd digest", payload: "cloudevents/digest-odd",
		images: []string{"registry.example.com/team/shop:1.4.0"}, ignored: []string{IgnoredDigest}},
	{behavior: "registry_url names the host", payload: "cloudevents/registry-url",
		images: []string{"registry.example.com/mirror/team/shop:1.4.0"}},
	{behavior: "data in base64 are read strictly", payload: "cloudevents/data-base64-with-a-name-twice",
		refused: ErrorMalformedBody},
}

func TestRegistries_Decode(t *testing.T) {
	inputs := map[string]Input{}
	for _, c := range goldenCases(t) {
		inputs[c.name] = c.in
	}
	for _, tt := range registryBehaviors {
		t.Run(tt.payload+": "+tt.behavior, func(t *testing.T) {
			in, found := inputs[tt.payload]
			if !found {
				t.Fatal("no such golden payload")
			}
			got, err := Decode(in)
			if reason := errorReason(t, err); reason != tt.refused {
				t.Errorf("refused for %q, want %q (%v)", reason, tt.refused, err)
			}
			var images, charts, ignored []string
			for _, e := range got.Events {
				if e.Image == nil {
					charts = append(charts, e.Repository+" "+e.Ref)
					continue
				}
				image := *e.Image
				image.Digest = ""
				images = append(images, image.String())
			}
			for _, i := range got.Ignored {
				ignored = append(ignored, i.Reason)
			}
			if diff := cmp.Diff(tt.images, images); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.charts, charts); diff != "" {
				t.Errorf("charts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.ignored, ignored); diff != "" {
				t.Errorf("ignored (-want +got):\n%s", diff)
			}
		})
	}
}

func TestECR_HostIsInRegion(t *testing.T) {
	for region, want := range map[string]string{
		"eu-central-1":   "111122223333.dkr.ecr.eu-central-1.amazonaws.com",
		"us-gov-west-1":  "111122223333.dkr.ecr.us-gov-west-1.amazonaws.com",
		"cn-north-1":     "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn",
		"eusc-de-east-1": "111122223333.dkr.ecr.eusc-de-east-1.amazonaws.eu",
		"us-iso-east-1":  "111122223333.dkr.ecr.us-iso-east-1.c2s.ic.gov",
		"us-isob-east-1": "111122223333.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
		"us-isof-east-1": "111122223333.dkr.ecr.us-isof-east-1.csp.hci.ic.gov",
		"eu-isoe-west-1": "111122223333.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk",
	} {
		if got := ecrHost("111122223333", region); got != want {
			t.Errorf("%s: got %s, want %s", region, got, want)
		}
	}
}
