// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCurl_ShowsRequestWithoutToken(t *testing.T) {
	w := webhook{
		path:   "/apis/here",
		header: http.Header{"X-Github-Event": {"release"}, "Authorization": {"Bearer secret"}},
		body:   "{}\n",
	}
	want := `curl --cacert ca.crt \
  --header 'Authorization: Bearer ***' \
  --header 'X-Github-Event: release' \
  --data-binary '{}' \
  https://127.0.0.1:6443/apis/here`
	if diff := cmp.Diff(want, w.asCurl("https://127.0.0.1:6443")); diff != "" {
		t.Errorf("curl command (-want +got):\n%s", diff)
	}
}

func TestCurl_HidesQuerySecret(t *testing.T) {
	w := webhook{path: "/apis/here", querySecret: "tell nobody", body: "{}"}
	want := `curl --cacert ca.crt \
  --data-binary '{}' \
  'https://127.0.0.1:6443/apis/here?secret=***'`
	if diff := cmp.Diff(want, w.asCurl("https://127.0.0.1:6443")); diff != "" {
		t.Errorf("curl command (-want +got):\n%s", diff)
	}
}

func TestCommand_UnknownIsError(t *testing.T) {
	for _, args := range [][]string{nil, {"sideways"}} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%q: got no error", args)
		}
	}
}
