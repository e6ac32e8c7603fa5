// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReceiver_GetsPayloadOfObject(t *testing.T) {
	var mu sync.Mutex
	var got []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(req.Body)
		got = append(got, req.Method+" "+req.URL.String()+" "+req.Header.Get("Content-Type")+" "+
			req.Header.Get("X-Token")+" "+string(body))
		w.WriteHeader(map[int]int{1: http.StatusAccepted, 2: http.StatusNoContent,
			3: http.StatusInternalServerError}[len(got)])
	}))
	t.Cleanup(server.Close)
	client, err := newReceiverClient()
	if err != nil {
		t.Fatal(err)
	}
	peer := &receiver{url: server.URL + "/hooks/{namespace}?app={name}", header: http.Header{"X-Token": {"secret"}}}
	do := new(cluster).receive(client, peer, objects{kinds()[0], 100, 2})
	for number, want := range []struct {
		answer string
		ok     bool
	}{{"202", true}, {"204", true}, {"500", false}} {
		if answer, ok := do(t.Context(), number); answer != want.answer || ok != want.ok {
			t.Errorf("request %d: got %s, %v; want %v", number, answer, ok, want)
		}
	}
	server.Close()
	if answer, ok := do(t.Context(), 3); answer != noAnswer || ok {
		t.Errorf("without a server: got %s, %v", answer, ok)
	}
	want := []string{
		`POST /hooks/bench?app=shop-100 application/json secret {"ref":"v1.1"}`,
		`POST /hooks/bench?app=shop-101 application/json secret {"ref":"v1.2"}`,
		`POST /hooks/bench?app=shop-100 application/json secret {"ref":"v1.3"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReceiver_KeepsContentType(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		got = req.Header.Get("Content-Type")
	}))
	t.Cleanup(server.Close)
	client, err := newReceiverClient()
	if err != nil {
		t.Fatal(err)
	}
	peer := &receiver{url: server.URL, header: http.Header{"Content-Type": {"application/cloudevents+json"}}}
	if _, ok := new(cluster).receive(client, peer, objects{kinds()[0], 0, 1})(t.Context(), 0); !ok {
		t.Error("200 is no success")
	}
	if got != "application/cloudevents+json" {
		t.Errorf("got the content type %q", got)
	}
}
