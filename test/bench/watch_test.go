// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWatch_UntilCallerHasEnough(t *testing.T) {
	const events = `{"type":"ADDED","object":{"metadata":{"name":"a"}}}
{"type":"BOOKMARK","object":{"metadata":{"annotations":{"k8s.io/initial-events-end":"true"}}}}
{"type":"MODIFIED","object":{"metadata":{"name":"a"}}}
`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/objects" {
			http.Error(w, "no such path", http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, events)
	}))
	t.Cleanup(server.Close)
	c := &client{host: server.URL, http: server.Client()}
	var got []string
	seen := func(event []byte) bool {
		got = append(got, stringIn(event, "type")+" "+stringIn(event, "name"))
		return !bytes.Contains(event, initialEventsEnd)
	}
	if err := c.watch(t.Context(), "/objects", http.Header{}, seen); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"ADDED a", "BOOKMARK "}, got); diff != "" {
		t.Error(diff)
	}
	always := func([]byte) bool { return true }
	if err := c.watch(t.Context(), "/objects", http.Header{}, always); err == nil {
		t.Error("no error though the watch has ended early")
	}
	if err := c.watch(t.Context(), "/others", http.Header{}, always); err == nil ||
		!strings.Contains(err.Error(), "no such path") {
		t.Errorf("got %v, want the refusal", err)
	}
}
