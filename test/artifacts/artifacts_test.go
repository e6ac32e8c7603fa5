// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package artifacts checks the set-ups of senders in artifacts/: that they can be read, that they call doors that exist, and
// that Postern understands what they send.
package artifacts

import (
	"encoding/json"
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
	eventBridgeDir = "../../artifacts/ecr-eventbridge"
)

func TestEverySenderSetUpIsWellFormed(t *testing.T) {
	for _, path := range senderFiles(t) {
		var content any
		if err := yaml.UnmarshalStrict(read(t, path), &content); err != nil { // of which JSON is a part
			t.Errorf("could not read %s: %v", path, err)
		}
		if filepath.Ext(path) == ".json" && !json.Valid(read(t, path)) {
			t.Errorf("%s is YAML, but not JSON", path)
		}
	}
}

// door is a path of Postern's, up to where a sender's own expressions may begin.
var door = regexp.MustCompile(`/apis/postern\.dev/[^\s"']*`)

// doorPaths are the ways in which a path goes on. Of the names of what is not a source nothing is known here.
var doorPaths = regexp.MustCompile(`^/apis/postern\.dev/v1alpha1/namespaces/[^/]+/` +
	`(?:gatewaysyncs/[^/]+|\$\(params\.resource\)/[^/]+|webhooksources/([a-z0-9.-]+))/webhookdeliveries(?:\?registry_url=[a-z.]+)?$`)

func TestSenderSetUpsCallDoorsThatExist(t *testing.T) {
	for _, path := range senderFiles(t) {
		for _, url := range door.FindAllString(string(read(t, path)), -1) {
			if url == "/apis/postern.dev/v1alpha1" {
				continue // the rest is in a template
			}
			match := doorPaths.FindStringSubmatch(url)
			switch {
			case match == nil:
				t.Errorf("%s: no door has the path %s", path, url)
			case match[1] != "" && !slices.Contains(payload.Sources(), match[1]):
				t.Errorf("%s: no sender is called %s", path, match[1])
			}
		}
	}
}

func senderFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(sendersDir + "/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", sendersDir, err)
	}
	return files
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
