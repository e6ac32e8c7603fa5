// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"
	"testing"
)

func TestExtractValue(t *testing.T) {
	const few = 10
	tests := []struct{ name, text, value, rest, err string }{
		{"a payload", ` {"kind":"D","spec":{"payload": {"a":[1,2]} ,"x":1}} `, `{"a":[1,2]}`,
			`{"kind":"D","spec":{"payload": {} ,"x":1}}`, ""},
		{"a payload that is not an object", `{"spec":{"payload":"a}"}}`, `"a}"`, `{"spec":{"payload":{}}}`, ""},
		{"a payload with many values", `{"spec":{"payload":` + listOf(1000, "0") + `}}`, listOf(1000, "0"),
			`{"spec":{"payload":{}}}`, ""},
		{"an escaped name", `{"spec":{"\u0070ayload":1}}`, `1`, `{"spec":{"\u0070ayload":{}}}`, ""},
		{"null", `{"spec":{"payload":null}}`, ``, `{"spec":{"payload":null}}`, ""},
		{"none", `{"spec":{"ref":"main"}}`, ``, `{"spec":{"ref":"main"}}`, ""},
		{"no object within", `{"spec":"payload"}`, ``, `{"spec":"payload"}`, ""},
		{"no object", `[{"spec":{"payload":1}}]`, ``, `[{"spec":{"payload":1}}]`, ""},
		{"no JSON", `{"spec":{"payload":1}`, ``, `{"spec":{"payload":1}`, "the body is not JSON"},
		{"not UTF-8", "{\"spec\":{\"payload\":\"\xff\"}}", ``, "{\"spec\":{\"payload\":\"\xff\"}}",
			"the body is not UTF-8"},
		{"space", "\n", ``, "\n", ""},
		{"nothing", ``, ``, ``, ""},
		{"two payloads", `{"spec":{"payload":1,"payload":2}}`, ``, `{"spec":{"payload":1,"payload":2}}`,
			`the body has the name "payload" twice in one object`},
		{"too much besides it", `{"x":` + listOf(few, "{}") + `}`, ``, `{"x":` + listOf(few, "{}") + `}`,
			"the object has 13 names and values besides the payload, but at most 10 are read"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := test.text + "and more"
			value, rest, err := ExtractValue([]byte(text)[:len(test.text)], few, "spec", "payload")
			if string(value) != test.value || string(rest) != test.rest {
				t.Errorf("got %s and %s, want %s and %s", value, rest, test.value, test.rest)
			}
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error = %v, want %q", err, test.err)
			}
		})
	}
}
