// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"strings"
	"testing"
)

func TestNamespaces_RoundTrip(t *testing.T) {
	for text, want := range map[string]string{
		"demo":            "demo",
		"b,a":             "a,b",
		" b , a ,b":       "a,b",
		"*":               "*",
		" * ":             "*",
		"team-1,kube-sys": "kube-sys,team-1",
	} {
		got, err := ParseNamespaces(text)
		if err != nil || got.String() != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
			continue
		}
		again, err := ParseNamespaces(got.String())
		if err != nil || again.String() != want {
			t.Errorf("%q, again: got %q, %v", text, again, err)
		}
	}
}

func TestNamespaces_RefusesInvalid(t *testing.T) {
	for text, says := range map[string][]string{
		"":                      {"a namespace name is empty"},
		" ":                     {"a namespace name is empty"},
		"a,":                    {"a namespace name is empty"},
		"a,*":                   {"* means all namespaces"},
		"**":                    {`"**" is not a valid namespace name`},
		"team-*":                {`"team-*" is not a valid namespace name`},
		"Demo":                  {`"Demo" is not a valid namespace name`},
		"a.b":                   {`"a.b" is not a valid namespace name`},
		"a b":                   {`"a b" is not a valid namespace name`},
		strings.Repeat("a", 64): {"is not a valid namespace name"},
		"A,,*": {`"A" is not a valid namespace name`, "a namespace name is empty",
			"* means all namespaces"},
	} {
		got, err := ParseNamespaces(text)
		if err == nil {
			t.Errorf("%q: parsed as %q", text, got)
			continue
		}
		for _, words := range says {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%q: the error does not contain %q: %v", text, words, err)
			}
		}
		if got.Allow("a") || got.Allow("") {
			t.Errorf("%q: the result allows a namespace", text)
		}
	}
}

func TestNamespaces_Allows(t *testing.T) {
	for _, tc := range []struct {
		text, name string
		want       bool
	}{
		{"demo", "demo", true},
		{"demo", "demo2", false},
		{"demo", "", false},
		{"a,b", "b", true},
		{"a,b", "a,b", false},
		{"*", "anything", true},
	} {
		namespaces, err := ParseNamespaces(tc.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := namespaces.Allow(tc.name); got != tc.want {
			t.Errorf("%q allows %q: %t, want %t", tc.text, tc.name, got, tc.want)
		}
	}
	if (Namespaces{}).Allow("demo") {
		t.Error("the zero value allows a namespace")
	}
}
