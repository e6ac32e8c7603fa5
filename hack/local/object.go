// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// object is a target of webhooks.
type object struct{ resource, name string }

var (
	plant = object{resource: "gatewaysyncs.stoker.io", name: "plant"}
	shop  = object{resource: "applications.argoproj.io", name: "shop"}
	cart  = object{resource: "applications.argoproj.io", name: "cart"}
	till  = object{resource: "applications.argoproj.io", name: "till"}
)

// fields are the values that Postern may write: annotations, and an Application's targetRevision and images. An empty
// value means absent.
type fields map[string]string

const (
	targetRevision  = "spec.source.targetRevision"
	kustomizeImages = "spec.source.kustomize.images"
	helmParameters  = "spec.source.helm.parameters"
)

// show prints the fields of an object, and compares them with want.
func (p *demoRun) show(ctx context.Context, when string, o object, want fields) error {
	got, err := p.read(ctx, o)
	if err != nil {
		return err
	}
	p.line("%s: %s %s", when, o.resource, o.name)
	for _, name := range slices.Sorted(maps.Keys(got)) {
		p.line("    %s: %s", name, got[name])
	}
	if len(got) == 0 {
		p.line("    (nothing requested yet)")
	}
	for name, value := range want {
		if got[name] != value {
			return fmt.Errorf("%s of %s %s %s the delivery: got %q, want %q", name, o.resource, o.name, when, got[name],
				value)
		}
	}
	return nil
}

func (p *demoRun) read(ctx context.Context, o object) (fields, error) {
	out, err := p.cluster.Kubectl(ctx, "", "get", o.resource, o.name, "--namespace="+namespace, "--output=json")
	if err != nil {
		return nil, err
	}
	var read struct {
		Metadata struct{ Annotations map[string]string }
		Spec     struct {
			Source struct {
				TargetRevision string
				Kustomize      struct{ Images []string }
				Helm           struct {
					Parameters []struct{ Name, Value string }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &read); err != nil {
		return nil, fmt.Errorf("could not parse %s %s: %w", o.resource, o.name, err)
	}
	found := fields{}
	for name, value := range read.Metadata.Annotations {
		if group, _, _ := strings.Cut(name, "/"); slices.Contains([]string{"stoker.io", "postern.dev",
			"argocd.argoproj.io"}, group) {
			found[name] = value
		}
	}
	source := read.Spec.Source
	var parameters []string
	for _, p := range source.Helm.Parameters {
		parameters = append(parameters, p.Name+"="+p.Value)
	}
	sourceFields := fields{
		targetRevision:  source.TargetRevision,
		kustomizeImages: strings.Join(source.Kustomize.Images, ", "),
		helmParameters:  strings.Join(parameters, ", "),
	}
	for name, value := range sourceFields {
		if value != "" {
			found[name] = value
		}
	}
	return found, nil
}
