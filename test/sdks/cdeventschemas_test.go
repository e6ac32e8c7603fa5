// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package sdks

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	cdevents "github.com/cdevents/sdk-go/pkg/api"
	cloudevents "github.com/cloudevents/sdk-go/v2"

	"postern.dev/postern/pkg/payload"
)

// schema has the keywords of JSON Schema that matter to an event with the required fields alone.
type schema struct {
	Type       any               `json:"type"`
	Format     string            `json:"format"`
	Enum       []string          `json:"enum"`
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
}

// sample returns a value with the required fields.
func (s schema) sample() any {
	switch {
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type == "object" || len(s.Properties) > 0:
		object := map[string]any{}
		for _, name := range s.Required {
			object[name] = s.Properties[name].sample()
		}
		return object
	case s.Type == "array":
		return []any{}
	case s.Format == "date-time":
		return "2026-03-04T09:30:45Z"
	case s.Format == "uri":
		return "https://example.com/team"
	}
	return shopURL // is also a URI reference, and the id of an artifact
}

// Of all events in the published schemas, only a published artifact requests something.
func TestCDEvents_EveryPublishedSchema(t *testing.T) {
	requesting := map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(cdevents.SchemasById)) {
		version, _, _ := strings.Cut(strings.TrimPrefix(id, "https://cdevents.dev/"), "/")
		if strings.Contains(id, "/schema/links/") || strings.HasSuffix(id, "/schema/custom") ||
			strings.HasPrefix(version, "99.") {
			continue // a part of other schemas, of events with other types, or for the tests of the SDK
		}
		var s schema
		if err := json.Unmarshal([]byte(cdevents.SchemasById[id]), &s); err != nil {
			t.Fatal(err)
		}
		event, _ := s.sample().(map[string]any)
		if err := cdevents.CompiledSchemas[id].Validate(event); err != nil {
			t.Fatalf("the sample of %s is not valid: %v", id, err)
		}
		eventType := event["context"].(map[string]any)["type"].(string)
		ce := cloudevents.NewEvent()
		ce.SetID("1")
		ce.SetSource("/ci/build")
		ce.SetType(eventType)
		if err := ce.SetData(cloudevents.ApplicationJSON, event); err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(ce)
		if err != nil {
			t.Fatal(err)
		}
		got, err := payload.Decode(payload.Input{Body: body})
		isPublished := strings.HasPrefix(eventType, "dev.cdevents.artifact.published.")
		switch {
		case err != nil:
			t.Errorf("%s of %s: %v", eventType, version, err)
		case isPublished && len(got.Events) == 1:
			requesting[version[:3]]++
		case isPublished || len(got.Events) > 0 || len(got.Ignored) != 1:
			t.Errorf("%s of %s: got %+v", eventType, version, got)
		}
	}
	for _, version := range []string{"0.3", "0.4", "0.5"} {
		if requesting[version] == 0 {
			t.Errorf("no schema of a published artifact in version %s", version)
		}
	}
}
