// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fieldcase

import (
	"os"
	"strings"
	"testing"
)

func TestRead_AllCases(t *testing.T) {
	files, err := Files("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, err := Read(file, "test"); err != nil {
			t.Error(err)
		}
	}
}

const valid = `
situation: A push.
reported: ["https://example.com/issues/1"]
expected: It is written.
steps:
- name: push
  deliver: {target: GatewaySync/plant, body: {ref: main}}
  answer: {code: 202, phase: Applied, events: [{ref: main, time: (any)}]}
  state: {GatewaySync/plant: {metadata: {annotations: {stoker.io/requested-ref: main}}}}
`

func TestParse_ReadsCase(t *testing.T) {
	c, err := parse(valid)
	if err != nil {
		t.Fatal(err)
	}
	step := c.Steps[0]
	if string(step.Deliver.Body) != `{"ref":"main"}` || step.Answer.Phase != "Applied" || len(step.Objects) != 1 {
		t.Errorf("got %+v", step)
	}
}

func TestParse_ExampleInContributing(t *testing.T) {
	text, err := os.ReadFile("../../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## Add a field case")
	_, example, found := strings.Cut(section, "```yaml\n")
	example, _, ended := strings.Cut(example, "```")
	if !found || !ended {
		t.Fatal("CONTRIBUTING.md has no example of a field case")
	}
	if _, err := parse(strings.ReplaceAll("\n"+example, "\n   ", "\n")); err != nil {
		t.Error(err)
	}
}

func TestParse_RefusesMistakes(t *testing.T) {
	for _, tt := range []struct{ name, old, replacement, want string }{
		{"unknown field of a case", "situation:", "situations:", "situations"},
		{"unknown field of a step", "  deliver:", "  delivers:", "delivers"},
		{"unknown field of a delivery", "body:", "bodies:", "bodies"},
		{"unknown field of an answer", "phase:", "phrase:", "phrase"},
		{"unknown field of an event", "{ref: main, time: (any)}", "{refs: main}", "refs"},
		{"unknown field of a target", "events: [{ref: main, time: (any)}]", "targets: [{names: a}]", "names"},
		{"repeated field", "expected:", "situation: again\nexpected:", "already set"},
		{"no report", `["https://example.com/issues/1"]`, "[]", "required"},
		{"report without a URL", "https://", "", "not a URL"},
		{"no expectation in words", "It is written.", `""`, "required"},
		{"no steps", valid[strings.Index(valid, "- name"):], "  []", "no steps"},
		{"no answer", "answer: {code: 202,", "answer: {", "code of the answer"},
		{"two actions", "  deliver:", "  delete: GatewaySync/plant\n  deliver:", "is one of"},
		{"two endpoints", "target: GatewaySync/plant,", "target: GatewaySync/plant, source: github,", "one of source"},
		{"two bodies", "body: {ref: main}", "body: {ref: main}, rawBody: a", "one of body"},
		{"no body", ", body: {ref: main}", "", "one of body"},
		{"no secret", "body: {ref: main}", "body: {ref: main}, sign: {}", "one of key"},
		{"redelivery of nothing", "deliver: {target: GatewaySync/plant, body: {ref: main}}", "redeliver: pull",
			"no earlier step"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(valid, tt.old, tt.replacement, 1)
			if text == valid {
				t.Fatalf("the valid case has no %q", tt.old)
			}
			if _, err := parse(text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestSignBody(t *testing.T) {
	for header, want := range map[string]string{
		"":                    "sha256=88aab3ede8d3adf94d26ab90d3bafd4a2083070c3bcce9c014ee04a443847c0b",
		"X-Gitea-Signature":   "88aab3ede8d3adf94d26ab90d3bafd4a2083070c3bcce9c014ee04a443847c0b",
		"X-JFrog-Event-Auth":  "88aab3ede8d3adf94d26ab90d3bafd4a2083070c3bcce9c014ee04a443847c0b",
		"X-Unknown-Signature": "",
	} {
		s := Signature{Header: header}
		if _, got, err := s.SignBody("secret", []byte("hello")); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: got %q, %v, want %q", header, got, err, want)
		}
	}
}
