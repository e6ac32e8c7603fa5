// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	repository = "https://github.com/postern-dev/postern"
	// buildType names the description of the parameters below.
	buildType = repository + "/blob/main/docs/releases.md#provenance"
	// localBuilder is the builder of a release that no workflow has made.
	localBuilder = repository + "/blob/main/docs/releases.md#made-elsewhere"
)

// provenance is the predicate https://slsa.dev/provenance/v1: from what and by whom a release was built.
type provenance struct {
	BuildDefinition buildDefinition `json:"buildDefinition"`
	RunDetails      runDetails      `json:"runDetails"`
}

type buildDefinition struct {
	BuildType            string            `json:"buildType"`
	ExternalParameters   map[string]string `json:"externalParameters"`
	InternalParameters   map[string]string `json:"internalParameters"`
	ResolvedDependencies []dependency      `json:"resolvedDependencies"`
}

type dependency struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

type runDetails struct {
	Builder  map[string]string `json:"builder"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// writeProvenance writes the provenance into a directory and returns its path.
func (r *release) writeProvenance(dir string) (string, error) {
	content, err := json.MarshalIndent(r.provenance(os.Getenv), "", " ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "provenance.json")
	return path, os.WriteFile(path, content, 0o600)
}

// provenance takes repository and builder from the variables that GitHub sets in a workflow.
func (r *release) provenance(getenv func(string) string) provenance {
	platforms := make([]string, 0, len(r.platforms))
	for _, platform := range r.platforms {
		platforms = append(platforms, platform.String())
	}
	source := repository
	if fork := getenv("GITHUB_REPOSITORY"); fork != "" {
		source = getenv("GITHUB_SERVER_URL") + "/" + fork
	}
	p := provenance{
		BuildDefinition: buildDefinition{
			BuildType: buildType,
			ExternalParameters: map[string]string{
				"repository": source, "version": r.version, "registry": r.registry,
				"platforms": strings.Join(platforms, " "),
			},
			InternalParameters: map[string]string{"go": runtime.Version()},
			ResolvedDependencies: []dependency{{
				URI: "git+" + source, Digest: map[string]string{"gitCommit": r.revision},
			}},
		},
		RunDetails: runDetails{Builder: map[string]string{"id": localBuilder}},
	}
	if workflow := getenv("GITHUB_WORKFLOW_REF"); workflow != "" {
		p.RunDetails.Builder["id"] = getenv("GITHUB_SERVER_URL") + "/" + workflow
		p.RunDetails.Metadata = map[string]string{
			"invocationId": source + "/actions/runs/" + getenv("GITHUB_RUN_ID") +
				"/attempts/" + getenv("GITHUB_RUN_ATTEMPT"),
		}
	}
	return p
}
