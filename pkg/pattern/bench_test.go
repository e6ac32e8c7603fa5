// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"strings"
	"testing"
)

// BenchmarkRegexp is what a decision pays for an expression that was compiled before.
func BenchmarkRegexp(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Regexp("demo", `^v?[0-9]+\.[0-9]+\.[0-9]+$`); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompileLargestRegexp is what the largest expressions that are taken cost
// once, and what one that is refused does.
func BenchmarkCompileLargestRegexp(b *testing.B) {
	for name, text := range map[string]string{
		"Large": "^(a|b){330}$", "Classes": `^\pL{12}$`, "Refused": strings.Repeat("a{1000}", 146),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = compileRegexp(text)
			}
		})
	}
}
