// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

func TestFlags_DefaultIsEverythingBelowMinutes(t *testing.T) {
	s, err := parse(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range measurements(s) {
		if want := m.name != "wide" && m.name != "long"; s.wants(m) != want {
			t.Errorf("%s is selected: %v, want %v", m.name, !want, want)
		}
	}
	if s.objects != 10_000 || s.jsonPath != ".local/bench.json" || s.cpuProfile {
		t.Errorf("got %+v", s)
	}
}

func TestFlags_OnlySelects(t *testing.T) {
	s, err := parse([]string{"-only", "^(long|idle)$"}, "300")
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]int{}
	for _, m := range measurements(s) {
		if s.wants(m) {
			objects[m.name] = m.objects
		}
	}
	if diff := cmp.Diff(map[string]int{"idle": 300, "long": 0}, objects); diff != "" {
		t.Error(diff)
	}
}

func TestFlags_Peers(t *testing.T) {
	s, err := parse([]string{
		"-peer-header", "a=Authorization: Bearer x:y=z", "-peer", "b=https://b.example/hook?ref=1",
		"-peer", "a=http://127.0.0.1:8080/{namespace}/{name}", "-peer-header", "a=X-Event:push",
		"-peer-command", "b=A=1; exec b",
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	want := peers{
		{name: "a", url: "http://127.0.0.1:8080/{namespace}/{name}",
			header: http.Header{"Authorization": {"Bearer x:y=z"}, "X-Event": {"push"}}},
		{name: "b", url: "https://b.example/hook?ref=1", header: http.Header{}, command: "A=1; exec b"},
	}
	if diff := cmp.Diff(want, s.peers, cmp.AllowUnexported(receiver{})); diff != "" {
		t.Error(diff)
	}
	var addresses []string
	for _, peer := range s.peers {
		address, err := peer.address()
		if err != nil {
			t.Error(err)
		}
		addresses = append(addresses, address)
	}
	if diff := cmp.Diff([]string{"127.0.0.1:8080", "b.example:443"}, addresses); diff != "" {
		t.Error(diff)
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
		{[]string{"-peer", "http://127.0.0.1/"}, "", "NAME=VALUE"},
		{[]string{"-peer", "a=127.0.0.1:80"}, "", "-peer"},
		{[]string{"-peer", "a=ftp://127.0.0.1/"}, "", "no URL of http"},
		{[]string{"-peer", "a=http://a", "-peer-header", "a=Bearer"}, "", "Header: value"},
		{[]string{"-peer", "a=http://a", "-peer-header", "b=X: y"}, "", "no -peer b="},
	} {
		if _, err := parse(test.args, test.objects); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q, %q: got %v, want an error with %s", test.args, test.objects, err, test.want)
		}
	}
}

func TestMeasurements_HaveOneKind(t *testing.T) {
	for _, m := range measurements(settings{}) {
		if m.name == "" || (m.inProcess != nil) == (m.inCluster != nil) {
			t.Errorf("measurement %q is not made in one way", m.name)
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
