// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestPerf_SumsCounts(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       float64
	}{
		{"one kind of core", "123456789,,instructions:u,2000123456,100.00,1.23,insn per cycle\n", 123456789},
		{"two kinds of cores", "100,,cpu_core/instructions:u/,1000,60.00,,\n20,,cpu_atom/instructions:u/,700,40.00,,\n",
			120},
		{"only one kind used", "100,,cpu_core/instructions:u/,1000,100.00,,\n" +
			"<not counted>,,cpu_atom/instructions:u/,0,0.00,,\n", 100},
		{"other lines", "# started on Mon\n\nEvents enabled\n7,,instructions:u,10,100.00,,\n3,,cycles:u,10,100.00,,\n",
			7},
		{"no instruction", "0,,instructions:u,10,100.00,,\n", 0},
	} {
		if got, err := parsePerf(test.text); err != nil || got != test.want {
			t.Errorf("%s: got %v, %v; want %v", test.name, got, err, test.want)
		}
	}
}

func TestPerf_NoCountIsError(t *testing.T) {
	for _, text := range []string{
		"",
		"<not supported>,,instructions:u,0,100.00,,\n",
		"<not counted>,,instructions:u,0,0.00,,\n",
		"many,,instructions:u,10,100.00,,\n",
		"3,,cycles:u,10,100.00,,\n",
	} {
		if got, err := parsePerf(text); err == nil {
			t.Errorf("%q: got %v and no error", text, got)
		}
	}
}
