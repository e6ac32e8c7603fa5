// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseStrict_RefusesAmbiguous(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"name twice", `{"a":1,"a":2}`, `the body has the name "a" twice in one object`},
		{"name twice, far apart", `{"a":1,"b":{"a":1},"c":[{"a":1}],"a":2}`,
			`the body has the name "a" twice in one object`},
		{"name twice, nested", `{"x":[1,{"y":{"a":1,"b":2,"a":3}}]}`, `the body has the name "a" twice in one object`},
		{"name twice, in a second object", `{"x":[{"a":1},{"a":1,"a":1}]}`,
			`the body has the name "a" twice in one object`},
		{"name twice, escaped", `{"a":1,"\u0061":2}`, `the body has the name "a" twice in one object`},
		{"name twice, escaped otherwise", `{"\/":1,"/":2}`, `the body has the name "/" twice in one object`},
		{"name twice, empty", `{"":1,"":2}`, `the body has the name "" twice in one object`},
		{"not UTF-8", "{\"a\":\"\xff\"}", `the body is not UTF-8: send JSON in UTF-8, not compressed`},
		{"name not UTF-8", "{\"\xff\":1,\"\xfe\":2}", `the body is not UTF-8: send JSON in UTF-8, not compressed`},
		{"UTF-8 of a surrogate", "{\"a\":\"\xed\xa0\x80\"}",
			`the body is not UTF-8: send JSON in UTF-8, not compressed`},
		{"high surrogate alone", `{"a":"\ud83d"}`,
			`the body has a string with half of a surrogate pair, \ud83d: it is not Unicode`},
		{"high surrogate before text", `{"a":"\uD83Dx12345"}`,
			`the body has a string with half of a surrogate pair, \uD83D: it is not Unicode`},
		{"high surrogate twice", `{"a":"\ud83d\ud83d"}`,
			`the body has a string with half of a surrogate pair, \ud83d: it is not Unicode`},
		{"low surrogate alone", `{"a":"\ude00"}`,
			`the body has a string with half of a surrogate pair, \ude00: it is not Unicode`},
		{"high surrogate in a name", `{"\ud83d":1}`,
			`the body has a string with half of a surrogate pair, \ud83d: it is not Unicode`},
		{"second value", `{"a":1}{"a":2}`,
			`the body is not JSON: invalid character '{' after top-level value, at byte 8`},
		{"cut off", `{"a":`, `the body is not JSON: unexpected end of JSON input, at byte 5`},
		{"comment", `{"a":1} // one`, `the body is not JSON: invalid character '/' after top-level value, at byte 9`},
		{"trailing comma", `{"a":1,}`,
			`the body is not JSON: invalid character '}' looking for beginning of object key string, at byte 8`},
		{"byte order mark", "\ufeff{}",
			`the body is not JSON: invalid character 'ï' looking for beginning of value, at byte 1`},
		{"NUL", "{\"a\":1}\x00", `the body is not JSON: invalid character '\x00' after top-level value, at byte 8`},
		{"array", `[]`, `the body must be a JSON object: wrap it in one`},
		{"string", `"ref"`, `the body must be a JSON object: wrap it in one`},
		{"null", `null`, `the body must be a JSON object: wrap it in one`},
		{"empty", ``, `the body is empty: send a JSON object`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseStrict([]byte(tt.body))
			if reason := errorReason(t, err); reason != ErrorMalformedBody || err.Error() != tt.want {
				t.Errorf("%s: %s: %v, want %s: %s", tt.body, reason, err, ErrorMalformedBody, tt.want)
			}
		})
	}
}

func TestParseStrict_AcceptsUnambiguous(t *testing.T) {
	for _, body := range []string{
		`{}`,
		` { } `,
		`{"a":{"a":{"a":[{"a":1},{"a":2}]}}}`,
		`{"a":1,"A":2}`,
		`{"a":"\ud83d\ude00 \\ud83d \" \\\\ \u0000"}`,
		`{"a,b":"}","c]":"{\"c]\":1}"}`,
		`{"\ud83d\ude00":1,"\\":2}`,
		`{"a":[],"b":[[]],"c":{},"d":[{},[]]}`,
		`{"a":-1.5e+10,"b":true,"c":null}`,
	} {
		if _, err := parseStrict([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestParseStrict_BoundsNesting(t *testing.T) {
	nested := func(levels int) []byte { // including the outermost object
		return []byte(`{"a":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`)
	}
	nestedObjects := func(levels int) []byte {
		return []byte(strings.Repeat(`{"a":`, levels) + `1` + strings.Repeat("}", levels))
	}
	for _, build := range []func(int) []byte{nested, nestedObjects} {
		if _, err := parseStrict(build(maxDepth)); err != nil {
			t.Errorf("%d levels: %v", maxDepth, err)
		}
		for _, levels := range []int{maxDepth + 1, 10_001, 100_000, 1_000_000} {
			if _, err := parseStrict(build(levels)); errorReason(t, err) != ErrorMalformedBody {
				t.Errorf("%d levels: error = %v, want %s", levels, err, ErrorMalformedBody)
			}
		}
	}
}

func TestParseStrict_UsesLittleMemory(t *testing.T) {
	var names strings.Builder
	for i := range 90_000 {
		fmt.Fprintf(&names, `,"%08x":"%04x"`, i, i)
	}
	bodies := map[string][]byte{
		"many members":       []byte(`{"ref":"main"` + names.String() + `}`),
		"many inner members": []byte(`{"ref":"main","x":{"ref":1` + names.String() + `}}`),
		"many empty objects": []byte(`{"ref":"main","x":[{}` + strings.Repeat(`,{"":0}`, 15_000) + `]}`),
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := parseStrict(body); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 2*uint64(len(body)) {
				t.Errorf("allocated %d bytes for a body of %d", allocated, len(body))
			}
		})
	}
}

func TestParseStrict_FindIsExact(t *testing.T) {
	obj, err := parseStrict([]byte(`{ "a" : { "b" : { "c" : [1, 2] }, "B": 3 } , "d": "x,y}" ,"e":null, ` +
		`"\u0066":false }`))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path string
		want string
	}{
		{"a", `{ "b" : { "c" : [1, 2] }, "B": 3 }`},
		{"a/b/c", `[1, 2]`},
		{"a/B", `3`},
		{"d", `"x,y}"`},
		{"e", `null`},
		{"f", `false`},
		{"A", ``},
		{"b", ``},
		{"a/x", ``},
		{"d/x", ``},
		{"a/b/c/0", ``},
	}
	for _, tt := range tests {
		if got := string(obj.find(strings.Split(tt.path, "/")...)); got != tt.want {
			t.Errorf("find(%s) = %s, want %s", tt.path, got, tt.want)
		}
	}
}

// ambiguous is a slow and simple alternative implementation of the checks of parseStrict on valid JSON.
func ambiguous(text []byte) bool {
	return hasDuplicateName(text) || hasLoneSurrogate(text)
}

func hasDuplicateName(text []byte) bool {
	type level struct {
		seen     map[string]bool // nil in an array
		wantName bool
	}
	levels := []level{{}}
	for token := range tokens(text) {
		top := &levels[len(levels)-1]
		if name, ok := token.(string); ok && top.wantName {
			if top.seen[name] {
				return true
			}
			top.seen[name] = true
			top.wantName = false
			continue
		}
		top.wantName = top.seen != nil // for the string after this value
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{map[string]bool{}, true})
		case json.Delim('['):
			levels = append(levels, level{})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
	}
	return false
}

// hasLoneSurrogate uses encoding/json, which decodes half of a pair as U+FFFD. U+FFFD in the text is replaced first.
func hasLoneSurrogate(text []byte) bool {
	text = regexp.MustCompile(`\x{FFFD}|\\u[fF]{3}[dD]`).ReplaceAll(text, []byte(`\u0041`))
	for token := range tokens(text) {
		if s, ok := token.(string); ok && strings.Contains(s, "\uFFFD") {
			return true
		}
	}
	return false
}

func tokens(text []byte) iter.Seq[json.Token] {
	return func(yield func(json.Token) bool) {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		for {
			token, err := decoder.Token()
			if err != nil || !yield(token) {
				return
			}
		}
	}
}

func FuzzParseStrict(f *testing.F) {
	for _, c := range goldenCases(f) {
		f.Add(c.in.Body)
	}
	f.Add([]byte(`{"a":"\ud83d\ude00","b":"\ud83d","\u0061":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		obj, err := parseStrict(body)
		text := bytes.Trim(body, jsonSpace)
		wellFormed := utf8.Valid(text) && json.Valid(text) && text[0] == '{'
		switch {
		case !wellFormed && err == nil:
			t.Fatal("accepted a text that is not a JSON object in UTF-8")
		case wellFormed && bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("[")) <= maxDepth:
			if want := ambiguous(text); want != (err != nil) {
				t.Fatalf("error = %v, ambiguous: %t", err, want)
			}
		}
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if len(want) != len(obj.members) {
			t.Fatalf("%d members, want %d", len(obj.members), len(want))
		}
		for name, value := range want {
			if got := obj.find(name); !bytes.Equal(got, value) {
				t.Fatalf("find(%q) = %s, want %s", name, got, value)
			}
		}
	})
}
