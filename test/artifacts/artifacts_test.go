// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package artifacts checks the sender set-ups in artifacts/: that they parse, use existing endpoints, and send payloads
// that Postern understands.
package artifacts

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"postern.dev/postern/pkg/payload"
)

const (
	sendersDir     = "../../artifacts/senders"
	oidcDir        = sendersDir + "/oidc"
	eventBridgeDir = "../../artifacts/ecr-eventbridge"
)

func TestSenderArtifacts_AreWellFormed(t *testing.T) {
	for _, path := range senderFiles(t) {
		var content any
		if err := yaml.UnmarshalStrict(read(t, path), &content); err != nil { // JSON is a subset
			t.Errorf("could not read %s: %v", path, err)
		}
		if filepath.Ext(path) == ".json" && !json.Valid(read(t, path)) {
			t.Errorf("%s is YAML, but not JSON", path)
		}
	}
}

// endpoint matches a path of Postern, up to the first expression of the sender.
var endpoint = regexp.MustCompile(`/apis/postern\.dev/[^\s"']*`)

// endpointPaths matches the valid paths. Names of other objects than sources are not checked.
var endpointPaths = regexp.MustCompile(`^/apis/postern\.dev/v1alpha1/namespaces/[^/]+/` +
	`(?:gatewaysyncs/[^/]+|\$\(params\.resource\)/[^/]+|webhooksources/([a-z0-9.-]+))/webhookdeliveries` +
	`(?:\?registry_url=[a-z.]+)?$`)

func TestSenderArtifacts_EndpointsExist(t *testing.T) {
	for _, path := range senderFiles(t) {
		for _, url := range endpoint.FindAllString(string(read(t, path)), -1) {
			if url == "/apis/postern.dev/v1alpha1" {
				continue // the rest is a template
			}
			match := endpointPaths.FindStringSubmatch(url)
			switch {
			case match == nil:
				t.Errorf("%s: no endpoint has the path %s", path, url)
			case match[1] != "" && !slices.Contains(payload.Sources(), match[1]):
				t.Errorf("%s: unknown sender %s", path, match[1])
			}
		}
	}
}

func senderFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(sendersDir + "/*.*")
	ofIssuers, oidcErr := filepath.Glob(oidcDir + "/*.*")
	if err := errors.Join(err, oidcErr); err != nil || len(files) == 0 || len(ofIssuers) == 0 {
		t.Fatalf("files are missing in %s or %s: %v", sendersDir, oidcDir, err)
	}
	return slices.Concat(files, ofIssuers)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
