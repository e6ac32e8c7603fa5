// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package vendors reads examples of webhooks that "make vendors" fetches: GitHub's own, and the test data of Go
// libraries for webhooks. Each comes with the headers of its sender, and with what it requests by a reading of its
// fields that shares no code with package payload.
package vendors

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Example is one webhook.
type Example struct {
	// Name is its file, and its place in it.
	Name string
	// Source is the type of sender, or "" for a sender that Postern does not know.
	Source string
	// Header has what the sender adds, without a delivery id.
	Header map[string]string
	Body   []byte
	// Handmade is set if no sender sends the body as it is: it may be refused.
	Handmade bool
	// Want has what it requests, in order: "Branch main", "Tag v1.0.0" or "Image docker.io/acme/shop:1.0.0".
	Want []string
}

// handmade are examples that were abridged or changed by hand, with what is wrong with them.
var handmade = map[string]string{
	"go-playground/gitlab/build-event.json":      "an object has a name twice",
	"go-playground/gogs/pull-request-event.json": "has no sender",
	"go-playground/gogs/release-event.json":      "has no sender",
}

// Load reads all examples below the directory in which "make vendors" puts them.
func Load(dir string) ([]Example, error) {
	var all []Example
	var errs []error
	add := func(examples []Example, err error) {
		if err == nil && len(examples) == 0 {
			err = errors.New("a collection has no examples")
		}
		all = append(all, examples...)
		errs = append(errs, err)
	}
	add(loadOctokit(dir))
	for _, c := range collections {
		add(c.load(dir))
	}
	return all, errors.Join(errs...)
}

// loadOctokit reads GitHub's own examples: a list of events for GitHub.com and for each version of the server.
func loadOctokit(dir string) ([]Example, error) {
	files, err := filepath.Glob(filepath.Join(dir, "octokit", "*", "index.json"))
	if err != nil {
		return nil, err
	}
	var examples []Example
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var events []struct {
			Name     string            `json:"name"`
			Examples []json.RawMessage `json:"examples"`
		}
		if err := json.Unmarshal(content, &events); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		product := filepath.Base(filepath.Dir(file))
		for _, event := range events {
			for i, body := range event.Examples {
				example, err := gitHub(event.Name, body)
				if err != nil {
					return nil, err
				}
				example.Name = fmt.Sprintf("octokit/%s/%s/%d", product, event.Name, i)
				examples = append(examples, example)
			}
		}
	}
	return examples, nil
}

// collection is a directory with one file for each example of one type of sender.
type collection struct {
	dir string
	// read returns the example without its name. event is the name of the file, without its extension.
	read func(event string, body []byte) (Example, error)
}

var collections = []collection{
	{"argo-cd/applicationset", argoCD},
	{"argo-cd/util", argoCD},
	{"go-playground/azuredevops", azureDevOps},
	{"go-playground/bitbucket", bitbucket},
	{"go-playground/bitbucket-server", bitbucketServer},
	{"go-playground/docker", dockerHub},
	{"go-playground/gitea", gitea},
	{"go-playground/github", gitHub},
	{"go-playground/gitlab", gitLab},
	{"go-playground/gogs", gogs},
	{"go-scm/azure/testdata/webhooks", azureDevOps},
	{"go-scm/bitbucket/testdata/webhooks", bitbucket},
	{"go-scm/gitea/testdata/webhooks", gitea},
	{"go-scm/gitee/testdata/webhooks", gitee},
	{"go-scm/github/testdata/webhooks", gitHub},
	{"go-scm/gitlab/testdata/webhooks", gitLab},
	{"go-scm/gogs/testdata/webhooks", gogs},
	{"go-scm/harness/testdata/webhooks", harness},
	{"go-scm/stash/testdata/webhooks", bitbucketServer},
	{"gitlab", gitLab},
}

func (c collection) load(dir string) ([]Example, error) {
	files, err := filepath.Glob(filepath.Join(dir, c.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var examples []Example
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(file)
		example, err := c.read(strings.TrimSuffix(name, ".json"), body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		example.Name = c.dir + "/" + name
		_, example.Handmade = handmade[example.Name]
		examples = append(examples, example)
	}
	return examples, nil
}
