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

	"postern.dev/postern/apis/postern"
)

// fuzzDecoder fuzzes the decoder of a sender. It claims the sender, so that no other decoder is chosen. It varies the
// bodies and, if the golden cases have them, headers and registry_url.
func fuzzDecoder(f *testing.F, source string) {
	all := goldenCases(f)
	own := slices.DeleteFunc(slices.Clone(all), func(c goldenCase) bool { return filepath.Dir(c.name) != source })
	seeds := own
	if source == postern.SourceGeneric { // events of other senders with a "ref" must not be decoded as generic requests
		seeds = all
	}
	fuzzDecode(f, source, envelopeOf(own), seeds)
}

// FuzzDetect sets no claim: the sender is detected by headers or by the shape of the body.
func FuzzDetect(f *testing.F) {
	all := goldenCases(f)
	fuzzDecode(f, "", envelopeOf(all), all)
}

func fuzzDecode(f *testing.F, source string, names envelope, seeds []goldenCase) {
	if len(names) == 0 { // do not waste half of the time on unused headers
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

// envelope lists the inputs other than the body: headers and registry_url. Their values are fuzzed as one text, one
// line per name, so that names do not vary. Multiple values of a header are separated by carriage returns, which no
// value contains.
type envelope []string

const envelopeRegistryURL = "registry_url"

// envelopeOf returns the inputs that Decode reads and at least one case has.
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

// write sets the values in the input. A header without a value is omitted.
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

func TestFuzz_SeedsAreGoldenCases(t *testing.T) {
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
