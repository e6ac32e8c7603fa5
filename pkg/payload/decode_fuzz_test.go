// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fuzzDecoder fuzzes the decoder of a sender, whose name is claimed so that no other decoder is chosen. What varies are
// the bodies, and what else its golden cases have.
func fuzzDecoder(f *testing.F, source string) {
	all := goldenCases(f)
	own := slices.DeleteFunc(slices.Clone(all), func(c goldenCase) bool { return filepath.Dir(c.name) != source })
	seeds := own
	if source == SourceGeneric { // what others send with a "ref" in it must never pass for its own
		seeds = all
	}
	fuzzDecode(f, source, envelopeOf(own), seeds)
}

// FuzzDetect claims nothing: the sender is found by the headers, or by the shape of the body.
func FuzzDetect(f *testing.F) {
	all := goldenCases(f)
	fuzzDecode(f, "", envelopeOf(all), all)
}

func fuzzDecode(f *testing.F, source string, names envelope, seeds []goldenCase) {
	if len(names) == 0 { // or half of the time would go to changing what nobody reads
		for _, c := range seeds {
			f.Add(c.in.Body)
		}
		f.Fuzz(func(t *testing.T, body []byte) { checkDecode(t, Input{Source: source, Body: body}) })
		return
	}
	for _, c := range seeds {
		f.Add(names.read(c.in), c.in.Body)
		f.Add("", c.in.Body)
	}
	f.Fuzz(func(t *testing.T, values string, body []byte) {
		in := Input{Source: source, Body: body}
		names.write(values, &in)
		checkDecode(t, in)
	})
}

// envelope names what requests have besides a body: headers, and registry_url in the URL. The values are fuzzed as one
// text with a line for each, so that nothing is spent on changing the names. Several values of one header stand in its
// line with carriage returns between them, since no value has any.
type envelope []string

const envelopeRegistryURL = "registry_url"

// envelopeOf returns what Decode reads and any of the cases has.
func envelopeOf(cases []goldenCase) envelope {
	var names envelope
	for _, name := range slices.Concat(identifyingHeaders, []string{"X-Request-Id"}) {
		if slices.ContainsFunc(cases, func(c goldenCase) bool { return c.in.Header.Get(name) != "" }) {
			names = append(names, name)
		}
	}
	if slices.ContainsFunc(cases, func(c goldenCase) bool { return c.in.RegistryURL != "" }) {
		names = append(names, envelopeRegistryURL)
	}
	return names
}

func (e envelope) read(in Input) string {
	values := make([]string, len(e))
	for i, name := range e {
		if name == envelopeRegistryURL {
			values[i] = in.RegistryURL
		} else {
			values[i] = strings.Join(in.Header.Values(name), "\r")
		}
	}
	return strings.Join(values, "\n")
}

// write sets the values in the input, which has none yet. A header without a value is left out.
func (e envelope) write(text string, in *Input) {
	in.Header = http.Header{}
	for i, line := range strings.SplitN(text, "\n", len(e)) {
		if e[i] == envelopeRegistryURL {
			in.RegistryURL = line
			continue
		}
		for value := range strings.SplitSeq(line, "\r") {
			if value != "" {
				in.Header.Add(e[i], value)
			}
		}
	}
}

func TestFuzzTargetsBeginWithTheGoldenCases(t *testing.T) {
	cases := goldenCases(t)
	names := envelopeOf(cases)
	for _, c := range cases {
		got := Input{Body: c.in.Body}
		names.write(names.read(c.in), &got)
		gotDecoded, gotErr := Decode(got)
		decoded, err := Decode(c.in)
		if diff := cmp.Diff(outcomeOf(t, decoded, err), outcomeOf(t, gotDecoded, gotErr)); diff != "" {
			t.Errorf("%s (-golden +seed):\n%s", c.name, diff)
		}
	}
}
