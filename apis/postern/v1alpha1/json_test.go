// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJSON_KeepsAnyValue(t *testing.T) {
	for _, value := range []string{
		`{"a":[1,2,{"b":null}]}`, `[]`, `{}`, `"text"`, `""`, `-1.50e3`, `12345678901234567890`, `true`, `false`,
	} {
		var spec WebhookDeliverySpec
		in := `{"payload":` + value + `,"events":[]}`
		if err := json.Unmarshal([]byte(in), &spec); err != nil {
			t.Errorf("%s: %v", value, err)
			continue
		}
		if spec.Payload == nil || string(spec.Payload.Raw) != value {
			t.Errorf("decoded %s as %v", value, spec.Payload)
		}
		out, err := json.Marshal(spec)
		if err != nil {
			t.Errorf("%s: %v", value, err)
		}
		if diff := cmp.Diff(in, string(out)); diff != "" {
			t.Errorf("encoded (-want +got):\n%s", diff)
		}
	}
}

func TestJSON_NullIsEmpty(t *testing.T) {
	var spec WebhookDeliverySpec
	if err := json.Unmarshal([]byte(`{"payload":null}`), &spec); err != nil {
		t.Fatal(err)
	}
	if spec.Payload != nil {
		t.Errorf("decoded a payload of null as %q", spec.Payload.Raw)
	}
	value := JSON{Raw: []byte(`"before"`)}
	if err := json.Unmarshal([]byte(`null`), &value); err != nil {
		t.Fatal(err)
	}
	if value.Raw != nil {
		t.Errorf("decoded null as %q", value.Raw)
	}
	for _, empty := range []JSON{{}, {Raw: []byte{}}} {
		if out, err := json.Marshal(empty); err != nil || string(out) != "null" {
			t.Errorf("encoded an empty value as %s, error %v", out, err)
		}
	}
}

func TestJSON_InvalidIsNotEncoded(t *testing.T) {
	if out, err := json.Marshal(JSON{Raw: []byte(`{"a":`)}); err == nil {
		t.Errorf("encoded as %s", out)
	}
}

// Decoders reuse their buffers.
func TestJSON_CopiesItsInput(t *testing.T) {
	in := []byte(`{"ref":"main"}`)
	var value JSON
	if err := value.UnmarshalJSON(in); err != nil {
		t.Fatal(err)
	}
	copy(in, "overwritten")
	if got := string(value.Raw); got != `{"ref":"main"}` {
		t.Errorf("got %s", got)
	}
	var none *JSON
	if none.UnmarshalJSON(in) == nil {
		t.Error("decoded into nil")
	}
}
