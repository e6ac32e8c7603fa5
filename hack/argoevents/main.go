// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command argo-events runs the HTTP triggers of a Sensor for an event, with the code of Argo Events, and prints each
// answer. It does what the Pod of a Sensor does once the event is there: the secrets are files in /argo-events/secrets.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/argoproj/argo-events/pkg/apis/events/v1alpha1"
	"github.com/argoproj/argo-events/pkg/sensors/triggers"
	httptrigger "github.com/argoproj/argo-events/pkg/sensors/triggers/http"
	"github.com/argoproj/argo-events/pkg/shared/logging"
	sharedutil "github.com/argoproj/argo-events/pkg/shared/util"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: argo-events SENSOR.yaml EVENT.json")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(sensorFile, eventFile string) error {
	var sensor v1alpha1.Sensor
	content, err := os.ReadFile(sensorFile)
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(content, &sensor); err != nil {
		return fmt.Errorf("%s: %w", sensorFile, err)
	}
	var event struct {
		Context v1alpha1.EventContext `json:"context"`
		Data    json.RawMessage       `json:"data"`
	}
	if content, err = os.ReadFile(eventFile); err != nil {
		return err
	}
	if err := json.Unmarshal(content, &event); err != nil {
		return fmt.Errorf("%s: %w", eventFile, err)
	}
	events := map[string]*v1alpha1.Event{}
	for _, dependency := range sensor.Spec.Dependencies {
		events[dependency.Name] = &v1alpha1.Event{Context: &event.Context, Data: event.Data}
	}
	var errs []error
	for i := range sensor.Spec.Triggers {
		errs = append(errs, trigger(&sensor, sensor.Spec.Triggers[i].DeepCopy(), events))
	}
	return errors.Join(errs...)
}

// trigger does what triggerOne of a Sensor does: pkg/sensors/listener.go in Argo Events.
func trigger(sensor *v1alpha1.Sensor, t *v1alpha1.Trigger, events map[string]*v1alpha1.Event) error {
	ctx := context.Background()
	if err := triggers.ApplyTemplateParameters(events, t); err != nil {
		return err
	}
	clients := sharedutil.NewStringKeyedMap[*http.Client]()
	impl, err := httptrigger.NewHTTPTrigger(clients, sensor, t, logging.NewArgoEventsLogger())
	if err != nil {
		return err
	}
	resource, err := impl.FetchResource(ctx)
	if err != nil {
		return err
	}
	if resource, err = impl.ApplyResourceParameters(events, resource); err != nil {
		return err
	}
	answer, err := impl.Execute(ctx, events, resource)
	if err != nil {
		return err
	}
	response := answer.(*http.Response)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s\n%s\n", t.Template.Name, response.Status, body)
	return impl.ApplyPolicy(ctx, response)
}
