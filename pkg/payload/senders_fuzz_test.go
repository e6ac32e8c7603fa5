// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each decoder has its own target, so that every decoder gets its share of the fuzzing time.

func FuzzACR(f *testing.F)             { fuzzDecoder(f, "acr") }
func FuzzAliyunACR(f *testing.F)       { fuzzDecoder(f, "aliyun-acr") }
func FuzzArgoCD(f *testing.F)          { fuzzDecoder(f, "argocd") }
func FuzzAzureDevOps(f *testing.F)     { fuzzDecoder(f, "azure-devops") }
func FuzzBitbucket(f *testing.F)       { fuzzDecoder(f, "bitbucket") }
func FuzzBitbucketServer(f *testing.F) { fuzzDecoder(f, "bitbucket-server") }
func FuzzCloudEvents(f *testing.F)     { fuzzDecoder(f, "cloudevents") }
func FuzzDistribution(f *testing.F)    { fuzzDecoder(f, "distribution") }
func FuzzDockerHub(f *testing.F)       { fuzzDecoder(f, "docker.io") }
func FuzzECR(f *testing.F)             { fuzzDecoder(f, "ecr") }
func FuzzGAR(f *testing.F)             { fuzzDecoder(f, "gar") }
func FuzzGeneric(f *testing.F)         { fuzzDecoder(f, "generic") }
func FuzzGHCR(f *testing.F)            { fuzzDecoder(f, "ghcr.io") }
func FuzzGitea(f *testing.F)           { fuzzDecoder(f, "gitea") }
func FuzzGiteaPackages(f *testing.F)   { fuzzDecoder(f, "gitea-packages") }
func FuzzGitHub(f *testing.F)          { fuzzDecoder(f, "github") }
func FuzzGitLab(f *testing.F)          { fuzzDecoder(f, "gitlab") }
func FuzzHarbor(f *testing.F)          { fuzzDecoder(f, "harbor") }
func FuzzJFrog(f *testing.F)           { fuzzDecoder(f, "jfrog") }
func FuzzKargo(f *testing.F)           { fuzzDecoder(f, "kargo") }
func FuzzNexus(f *testing.F)           { fuzzDecoder(f, "nexus") }
func FuzzQuay(f *testing.F)            { fuzzDecoder(f, "quay.io") }
func FuzzZot(f *testing.F)             { fuzzDecoder(f, "zot") }

func TestFuzz_EverySenderHasOneTarget(t *testing.T) {
	target := regexp.MustCompile(`(?m)^func Fuzz\w+\(f \*testing\.F\) +\{ fuzzDecoder\(f, "(.+)"\) \}$`)
	var fuzzed []string
	for _, match := range target.FindAllSubmatch(readFile(t, "senders_fuzz_test.go"), -1) {
		fuzzed = append(fuzzed, string(match[1]))
	}
	slices.Sort(fuzzed)
	if diff := cmp.Diff(Sources(), fuzzed); diff != "" {
		t.Errorf("senders with a fuzz target (-want +got):\n%s", diff)
	}
}
