// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// registryBehaviours says of each sender what must hold, by one of its golden payloads.
var registryBehaviours = []struct {
	behaviour string
	payload   string   // testdata/<payload>.json
	images    []string // without digest
	ignored   []string // reasons
	refused   string   // reason
}{
	{behaviour: "the tag counts", payload: "docker.io/full", images: []string{"docker.io/example/shop:1.4.0"}},
	{behaviour: "an official image is named in full", payload: "docker.io/official-image", images: []string{"docker.io/library/nginx:1.4.0"}},
	{behaviour: "a repository never names another registry", payload: "docker.io/repo-name-like-a-host", images: []string{"docker.io/registry.example.com/shop:1.4.0"}},
	{behaviour: "a repository never brings its own tag", payload: "docker.io/repo-name-with-tag", refused: ErrorInvalidImage},
	{behaviour: "a tag never brings a digest", payload: "docker.io/tag-with-digest", refused: ErrorInvalidImage},
	{behaviour: "a signature is not an image", payload: "docker.io/tag-of-a-signature", ignored: []string{IgnoredNotAnImage}},
	{behaviour: "a time as a floating-point number is read", payload: "docker.io/pushed-at-as-float", images: []string{"docker.io/example/shop:1.4.0"}},

	{behaviour: "the event of repositories counts", payload: "ghcr.io/package-full", images: []string{"ghcr.io/example/shop:v1.4.0"}},
	{behaviour: "the event of organizations and apps counts", payload: "ghcr.io/registry-package", images: []string{"ghcr.io/example/shop:v1.4.0"}},
	{behaviour: "an update counts", payload: "ghcr.io/package-updated", images: []string{"ghcr.io/example/shop:v1.4.0"}},
	{behaviour: "the version's digest is never taken for a tag", payload: "ghcr.io/tag-empty", ignored: []string{IgnoredDigestOnly}},
	{behaviour: "names are in lower case", payload: "ghcr.io/owner-in-upper-case", images: []string{"ghcr.io/example/shop:v1.4.0"}},
	{behaviour: "other packages are not images", payload: "ghcr.io/npm-package", ignored: []string{IgnoredNotAnImage}},
	{behaviour: "charts are not images", payload: "ghcr.io/chart", ignored: []string{IgnoredNotAnImage}},
	{behaviour: "a deletion deploys nothing", payload: "ghcr.io/package-deleted", ignored: []string{IgnoredAction}},

	{behaviour: "every resource counts", payload: "harbor/push-of-several", ignored: []string{IgnoredDigestOnly}, images: []string{
		"harbor.example.com/team/shop:1.4.0", "harbor.example.com/team/shop:1.4", "harbor.example.com/team/shop:edge",
	}},
	{behaviour: "a tag that equals the digest is no tag", payload: "harbor/push-without-tag", ignored: []string{IgnoredDigestOnly}},
	{behaviour: "the host is that of resource_url", payload: "harbor/push-with-scheme-and-port", images: []string{"harbor.example.com:8443/team/shop:1.4.0"}},
	{behaviour: "without a host there is no guess", payload: "harbor/resource-url-missing", refused: ErrorInvalidField},
	{behaviour: "a host that is a directory at Docker Hub is none", payload: "harbor/host-that-docker-would-misread", refused: ErrorInvalidImage},
	{behaviour: "a deletion deploys nothing", payload: "harbor/delete", ignored: []string{IgnoredRefDeleted}},
	{behaviour: "a pull deploys nothing", payload: "harbor/pull", ignored: []string{IgnoredEvent}},
	{behaviour: "a CloudEvent counts as the default format does", payload: "harbor/cloudevent-push", images: []string{
		"harbor.example.com/team/shop:1.4.0", "harbor.example.com/team/shop:1.4",
	}},
	{behaviour: "a CloudEvent of a deletion deploys nothing", payload: "harbor/cloudevent-delete", ignored: []string{IgnoredRefDeleted}},

	{behaviour: "every tag counts, in order", payload: "quay.io/several-tags", images: []string{
		"quay.io/example/shop:1.4.0", "quay.io/example/shop:1.4", "quay.io/example/shop:latest",
	}},
	{behaviour: "the host is that of docker_url", payload: "quay.io/own-installation", images: []string{"quay.apps.example.com:8443/example/shop:1.4.0"}},
	{behaviour: "the test is not a push", payload: "quay.io/test", ignored: []string{IgnoredPing}},
	{behaviour: "a push of the tags of the test is one", payload: "quay.io/tags-like-those-of-the-test", images: []string{"quay.io/example/shop:latest", "quay.io/example/shop:foo"}},
	{behaviour: "other notifications deploy nothing", payload: "quay.io/vulnerability-found", ignored: []string{IgnoredEvent}},

	{behaviour: "the host follows from the region", payload: "aliyun-acr/full", images: []string{"registry.cn-hangzhou.aliyuncs.com/team/shop:1.4.0"}},
	{behaviour: "registry_url goes before the region", payload: "aliyun-acr/registry-url", images: []string{"shop-registry.cn-hangzhou.cr.aliyuncs.com/team/shop:1.4.0"}},
	{behaviour: "a region never names another host", payload: "aliyun-acr/region-with-another-host", refused: ErrorInvalidImage},

	{behaviour: "a push counts", payload: "acr/push-full", images: []string{"example.azurecr.io/team/shop:1.4.0"}},
	{behaviour: "an index counts", payload: "acr/push-of-an-index", images: []string{"example.azurecr.io/team/shop:1.4.0"}},
	{behaviour: "a ping is no event", payload: "acr/ping", ignored: []string{IgnoredPing}},
	{behaviour: "a deletion deploys nothing", payload: "acr/delete", ignored: []string{IgnoredRefDeleted}},
	{behaviour: "charts are not images", payload: "acr/chart-push", ignored: []string{IgnoredAction}},
	{behaviour: "a push without a tag deploys nothing", payload: "acr/push-without-tag", ignored: []string{IgnoredDigestOnly}},
	{behaviour: "a host has no path", payload: "acr/host-with-a-path", refused: ErrorInvalidImage},
	{behaviour: "a host has no user", payload: "acr/host-with-a-user", refused: ErrorInvalidImage},

	{behaviour: "a push that succeeded counts", payload: "ecr/push-full", images: []string{"111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop:1.4.0"}},
	{behaviour: "China has a domain of its own", payload: "ecr/push-in-china", images: []string{"111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/team/shop:1.4.0"}},
	{behaviour: "so has the European Sovereign Cloud", payload: "ecr/push-in-the-european-sovereign-cloud", images: []string{"111122223333.dkr.ecr.eusc-de-east-1.amazonaws.eu/team/shop:1.4.0"}},
	{behaviour: "a push that failed deploys nothing", payload: "ecr/push-failed", ignored: []string{IgnoredAction}},
	{behaviour: "a push of unknown success deploys nothing", payload: "ecr/push-result-missing", ignored: []string{IgnoredAction}},
	{behaviour: "a deletion deploys nothing", payload: "ecr/delete", ignored: []string{IgnoredRefDeleted}},
	{behaviour: "charts are not images", payload: "ecr/push-of-a-chart", ignored: []string{IgnoredNotAnImage}},
	{behaviour: "an account never names another host", payload: "ecr/account-with-another-host", refused: ErrorInvalidField},
	{behaviour: "a region never names another host", payload: "ecr/region-with-another-host", refused: ErrorInvalidField},

	{behaviour: "every pushed tag counts, layers don't", payload: "distribution/push-of-an-image-with-layers", ignored: []string{IgnoredNotAnImage, IgnoredNotAnImage, IgnoredAction}, images: []string{
		"registry.example.com:5000/team/shop:1.4.0", "registry.example.com:5000/team/other:2.0.0",
	}},
	{behaviour: "deletions deploy nothing", payload: "distribution/deletes", ignored: []string{IgnoredRefDeleted}},
	{behaviour: "charts are not images", payload: "distribution/push-of-a-chart", ignored: []string{IgnoredNotAnImage}},
	{behaviour: "the host may be that of the target", payload: "distribution/host-of-the-url", images: []string{"registry.example.com:5000/team/shop:1.4.0"}},
	{behaviour: "registry_url goes before the host", payload: "distribution/registry-url", images: []string{"registry.example.com/mirror/team/shop:1.4.0"}},

	{behaviour: "an updated image counts", payload: "zot/updated-full", images: []string{"zot.example.com:5000/team/shop:1.4.0"}},
	{behaviour: "a reference that is the digest is no tag", payload: "zot/updated-without-tag", ignored: []string{IgnoredDigestOnly}},
	{behaviour: "charts are not images", payload: "zot/updated-chart", ignored: []string{IgnoredNotAnImage}},
	{behaviour: "without registry_url there is no guess", payload: "zot/registry-url-missing", refused: ErrorInvalidField},
	{behaviour: "a deletion deploys nothing", payload: "zot/deleted", ignored: []string{IgnoredRefDeleted}},
	{behaviour: "a broken image deploys nothing", payload: "zot/lint-failed", ignored: []string{IgnoredEvent}},

	{behaviour: "an insertion counts", payload: "gar/insert-full", images: []string{"europe-west3-docker.pkg.dev/example/team/shop:1.4.0"}},
	{behaviour: "an insertion without a tag deploys nothing", payload: "gar/insert-without-tag", ignored: []string{IgnoredDigestOnly}},
	{behaviour: "a deletion deploys nothing", payload: "gar/delete-tag", ignored: []string{IgnoredRefDeleted}},
	{behaviour: "an image elsewhere is not Google's to tell of", payload: "gar/image-elsewhere", refused: ErrorInvalidImage},
	{behaviour: "tag and digest are of one image", payload: "gar/tag-and-digest-of-different-images", refused: ErrorInvalidImage},
	{behaviour: "what is within is read strictly", payload: "gar/data-with-a-name-twice", refused: ErrorMalformedBody},

	{behaviour: "a push counts", payload: "jfrog/pushed-full", images: []string{"example.jfrog.io/docker-local/team/shop:1.4.0"}},
	{behaviour: "registry_url stands for host and repository", payload: "jfrog/pushed-registry-url", images: []string{"docker-local.example.com/team/shop:1.4.0"}},
	{behaviour: "without an origin there is no guess", payload: "jfrog/pushed-without-origin", refused: ErrorInvalidField},
	{behaviour: "an OCI repository holds images too", payload: "jfrog/pushed-to-an-oci-repository", images: []string{"example.jfrog.io/docker-local/team/shop:1.4.0"}},
	{behaviour: "other types are not images", payload: "jfrog/pushed-chart", ignored: []string{IgnoredNotAnImage}},
	{behaviour: "the image's name is in the path, not image_name", payload: "jfrog/pushed-without-path", refused: ErrorInvalidField},
	{behaviour: "the test is not a push", payload: "jfrog/test", ignored: []string{IgnoredPing}},
	{behaviour: "a deletion deploys nothing", payload: "jfrog/deleted", ignored: []string{IgnoredRefDeleted}},
	{behaviour: "other artifacts deploy nothing", payload: "jfrog/artifact-deployed", ignored: []string{IgnoredEvent}},

	{behaviour: "a created component counts", payload: "nexus/created-full", images: []string{"nexus.example.com:8082/team/shop:1.4.0"}},
	{behaviour: "an updated component counts", payload: "nexus/updated", images: []string{"nexus.example.com:8082/team/shop:1.4.0"}},
	{behaviour: "a component by its digest is no tag", payload: "nexus/created-by-digest", ignored: []string{IgnoredDigestOnly}},
	{behaviour: "other formats are not images", payload: "nexus/created-chart", ignored: []string{IgnoredNotAnImage}},
	{behaviour: "assets deploy nothing", payload: "nexus/asset", ignored: []string{IgnoredEvent}},
	{behaviour: "a deletion deploys nothing", payload: "nexus/deleted", ignored: []string{IgnoredRefDeleted}},
	{behaviour: "without registry_url there is no guess", payload: "nexus/registry-url-missing", refused: ErrorInvalidField},

	{behaviour: "ECR's events in structured mode count", payload: "cloudevents/ecr-full", images: []string{"111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop:1.4.0"}},
	{behaviour: "ECR's events in binary mode count", payload: "cloudevents/binary", images: []string{"111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop:1.4.0"}},
	{behaviour: "every event of a batch counts", payload: "cloudevents/batch", ignored: []string{IgnoredEvent}, images: []string{
		"111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop:1.4.0", "111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/other:2.0.0",
	}},
	{behaviour: "an empty batch asks for nothing", payload: "cloudevents/batch-empty", ignored: []string{IgnoredEvent}},
	{behaviour: "a batch is read strictly", payload: "cloudevents/batch-with-a-name-twice", refused: ErrorMalformedBody},
	{behaviour: "the subject may name the image", payload: "cloudevents/ecr-subject-alone", images: []string{"111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop:1.4.0"}},
	{behaviour: "ECR's deletions deploy nothing", payload: "cloudevents/ecr-delete", ignored: []string{IgnoredEvent}},
	{behaviour: "any image's push counts", payload: "cloudevents/generic-registry-url", images: []string{"registry.example.com/team/shop:1.4.0"}},
	{behaviour: "the source may be the host", payload: "cloudevents/generic-host-of-the-source", images: []string{"registry.example.com/team/shop:1.4.0"}},
	{behaviour: "any image's deletion deploys nothing", payload: "cloudevents/generic-deleted", ignored: []string{IgnoredEvent}},
	{behaviour: "unpublished is not published", payload: "cloudevents/generic-unpublished", ignored: []string{IgnoredEvent}},
	{behaviour: "charts are not images", payload: "cloudevents/generic-chart", ignored: []string{IgnoredNotAnImage}},
	{behaviour: "data in base64 are read strictly", payload: "cloudevents/data-base64-with-a-name-twice", refused: ErrorMalformedBody},
}

func TestRegistriesBehave(t *testing.T) {
	inputs := map[string]Input{}
	for _, c := range goldenCases(t) {
		inputs[c.name] = c.in
	}
	for _, tt := range registryBehaviours {
		t.Run(tt.payload+": "+tt.behaviour, func(t *testing.T) {
			in, found := inputs[tt.payload]
			if !found {
				t.Fatal("there is no such golden payload")
			}
			got, err := Decode(in)
			if reason := errorReason(t, err); reason != tt.refused {
				t.Errorf("refused for %q, want %q (%v)", reason, tt.refused, err)
			}
			var images, ignored []string
			for _, e := range got.Events {
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
			if diff := cmp.Diff(tt.ignored, ignored); diff != "" {
				t.Errorf("ignored (-want +got):\n%s", diff)
			}
		})
	}
}

func TestECRHostIsInTheDomainOfItsRegion(t *testing.T) {
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
