// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// allocated returns the number of bytes that decoding allocates in total. It measures again if they exceed most,
// because other goroutines may allocate during one run.
func allocated(in Input, most int64) int64 {
	least := int64(1 << 62)
	for range 2 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = Decode(in)
		runtime.ReadMemStats(&after)
		if least = min(least, int64(after.TotalAlloc-before.TotalAlloc)); least <= most {
			break
		}
	}
	return least
}

// worstCaseFunc is called with the name of each expensive input and the input.
type worstCaseFunc func(name string, in Input)

// generate inserts the most expensive content at each place of a real payload: an array with as many items as fit, an
// object with as many names, or a string of maximum length.
func (w worstCaseFunc) generate(c goldenCase, size int) {
	add := func(what string, body []byte) {
		in := c.in
		in.Body = body
		in.RegistryURL = "registry.example.com/team"
		w(c.name+": "+what, in)
	}
	for i := 0; i < len(c.in.Body); i++ {
		start, body := i, c.in.Body
		room := size - len(body)
		insert := func(what string, at int, item func(i int) string) {
			var filling bytes.Buffer
			for i := 0; filling.Len() < room; i++ {
				filling.WriteString(item(i))
			}
			add(fmt.Sprintf("%s at %d", what, at), bytes.Join([][]byte{body[:at], filling.Bytes(), body[at:]}, nil))
		}
		always := func(item string) func(int) string { return func(int) string { return item } }
		switch body[i] {
		case '{':
			insert("names", i+1, func(i int) string { return fmt.Sprintf(`"%x":0,`, i) })
			insert("escaped names", i+1, func(i int) string { return fmt.Sprintf(`"\n%x":0,`, i) })
		case '[':
			first := body[skipSpace(body, i+1):]
			first = first[:skipValue(first, 0)]
			// Insert after the first item, which may identify the sender.
			at := len(body) - len(body[skipSpace(body, i+1):]) + len(first)
			if len(first) == 0 {
				continue
			}
			for _, item := range []string{",{}", ",null", `,""`, ",0", ",[]", "," + string(first)} {
				insert("items "+item[:min(len(item), 10)], at, always(item))
				most := bytes.Repeat([]byte(item), maxListItems-countElements(body[i:]))
				add("maximum number of items "+item[:min(len(item), 10)],
					bytes.Join([][]byte{body[:at], most, body[at:]}, nil))
			}
		case '"':
			i = stringEnd(body, start) - 1
			for _, text := range []string{"a", `\n`, "/"} {
				insert("text of "+text, start+1, always(text))
			}
		}
	}
}

// forEachWorstCase calls w with the most expensive inputs of each sender, in bodies of about the given size.
func forEachWorstCase(tb testing.TB, size int, w worstCaseFunc) {
	largest := map[string]goldenCase{}
	for _, c := range goldenCases(tb) {
		decoded, err := Decode(c.in)
		if err != nil || len(decoded.Events) == 0 || len(c.in.Body) > 8<<10 || filepath.Ext(c.file()) == ".form" ||
			c.in.Body[0] == 'p' {
			continue
		}
		kind := filepath.Dir(c.name) + decoded.Events[0].Event
		if len(largest[kind].in.Body) < len(c.in.Body) {
			largest[kind] = c
		}
	}
	for _, c := range largest {
		w.generate(c, size)
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	payload := "payload=" + url.QueryEscape(`{"ref":"main"}`)
	for name, body := range map[string]string{
		"fields":         payload + strings.Repeat("&a", size/2),
		"escaped fields": payload + strings.Repeat("&%41=%41", size/8),
		"escapes":        payload + strings.Repeat("%20", size/3),
		"field names":    payload + "&" + strings.Repeat("%41", size/3),
	} {
		w("form: "+name, Input{Header: form, Body: []byte(body)})
	}
	w("header", Input{
		Header: http.Header{"Content-Type": {"application/json" + strings.Repeat(";a", size/2)}},
		Body:   bytes.Repeat([]byte(" "), size),
	})
}

func TestDecodeCost_IsUpperBound(t *testing.T) {
	if raceDetector {
		t.Skip("the standard library allocates more with the race detector")
	}
	sources := map[string]bool{}
	forEachWorstCase(t, 16<<10, func(name string, in Input) {
		source, _, _ := strings.Cut(name, "/")
		sources[source] = true
		most := MaxDecodeCost(int64(len(in.Body)))
		if got := allocated(in, most); got > most {
			t.Errorf("%s: decoding %d bytes allocates %d bytes, more than %d", name, len(in.Body), got, most)
		}
	})
	for _, source := range Sources() {
		if !sources[source] {
			t.Errorf("no input for %s", source)
		}
	}
}

// FuzzDecodeCost looks for a body of any sender that exceeds MaxDecodeCost.
func FuzzDecodeCost(f *testing.F) {
	for _, c := range goldenCases(f) {
		f.Add("", c.in.Body)
		f.Add(filepath.Dir(c.name), c.in.Body)
	}
	f.Fuzz(func(t *testing.T, source string, body []byte) {
		most := MaxDecodeCost(int64(len(body)))
		if got := allocated(Input{Source: source, Body: body}, most); got > most {
			t.Errorf("decoding %d bytes allocates %d bytes, more than %d", len(body), got, most)
		}
	})
}
