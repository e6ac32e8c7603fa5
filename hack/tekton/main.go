// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command tekton prints what Tekton makes of a TaskRun, with Tekton's code: the steps that it runs, with variables
// substituted, as "tekton steps TASK.yaml TASKRUN.yaml"; and the CloudEvent that it sends, as "tekton event
// TASKRUN.yaml".
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/reconciler/events/cloudevent"
	"github.com/tektoncd/pipeline/pkg/reconciler/taskrun/resources"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx := context.Background()
	var output any
	switch {
	case len(args) == 3 && args[0] == "steps":
		var task v1.Task
		var taskRun v1.TaskRun
		if err := read(args[1], &task); err != nil {
			return err
		}
		if err := read(args[2], &taskRun); err != nil {
			return err
		}
		task.SetDefaults(ctx)
		if err := task.Validate(ctx); err != nil {
			return fmt.Errorf("%s: %w", args[1], err)
		}
		taskRun.SetDefaults(ctx)
		if err := taskRun.Validate(ctx); err != nil {
			return fmt.Errorf("%s: %w", args[2], err)
		}
		spec := resources.ApplyParameters(&task.Spec, &taskRun, task.Spec.Params...)
		output = resources.ApplyContexts(spec, task.Name, &taskRun).Steps
	case len(args) == 2 && args[0] == "event":
		var taskRun v1.TaskRun
		if err := read(args[1], &taskRun); err != nil {
			return err
		}
		event, err := cloudevent.EventForObjectWithCondition(ctx, &taskRun)
		if err != nil {
			return err
		}
		output = event
	default:
		return fmt.Errorf("usage: tekton steps TASK.yaml TASKRUN.yaml, or tekton event TASKRUN.yaml")
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(output)
}

func read(file string, into any) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(content, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
