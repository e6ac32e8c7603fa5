// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"
)

func TestFlags_AndEnvironment(t *testing.T) {
	s, err := parse([]string{"-only", "^(memory|start)$", "-rounds", "3", "-duration", "500ms", "-json", "x.json",
		"-cpuprofile"}, "200")
	if err != nil {
		t.Fatal(err)
	}
	if !s.only.MatchString("memory") || s.only.MatchString("one-target") || s.rounds != 3 ||
		s.duration != 500*time.Millisecond ||
		s.jsonPath != "x.json" || !s.cpuProfile || s.objects != 200 {
		t.Errorf("got %+v", s)
	}
}

func TestFlags_DefaultIsEverything(t *testing.T) {
	s, err := parse(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range measurements() {
		if !s.only.MatchString(m.name) {
			t.Errorf("%s is left out", m.name)
		}
	}
	if s.objects != 10_000 || s.jsonPath != ".local/bench.json" || s.cpuProfile {
		t.Errorf("got %+v", s)
	}
}

func TestFlags_InvalidAreRefused(t *testing.T) {
	for _, test := range []struct {
		args    []string
		objects string
		want    string
	}{
		{nil, "many", "BENCH_OBJECTS"},
		{nil, "0", "above zero"},
		{[]string{"-rounds", "0"}, "", "above zero"},
		{[]string{"-duration", "-1s"}, "", "above zero"},
		{[]string{"-only", "("}, "", "-only"},
		{[]string{"memory"}, "", `"memory"`},
	} {
		if _, err := parse(test.args, test.objects); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q, %q: got %v, want an error with %s", test.args, test.objects, err, test.want)
		}
	}
}

func TestMeasurements_HaveOneKind(t *testing.T) {
	for _, m := range measurements() {
		ways := 0
		for _, has := range []bool{m.inProcess != nil, m.inCluster != nil, m.alone != nil} {
			if has {
				ways++
			}
		}
		if m.name == "" || ways != 1 {
			t.Errorf("measurement %q can be made in %d ways, want 1", m.name, ways)
		}
	}
}

func TestPhase_OfAnswer(t *testing.T) {
	for answer, want := range map[string]string{
		`{"status":{"auditID":"x","phase":"Applied","reason":""}}`: "Applied",
		`{"status":{}}`: "",
		``:              "",
	} {
		if got := phaseIn([]byte(answer)); got != want {
			t.Errorf("%s: got %q, want %q", answer, got, want)
		}
	}
}
