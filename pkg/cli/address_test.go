// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"testing"

	"k8s.io/client-go/rest"
)

func TestServerURL_HasNoCredential(t *testing.T) {
	for host, want := range map[string]string{
		"https://user:password@cluster.example:6443/c": "https://cluster.example:6443/c",
		"https://cluster.example":                      "https://cluster.example",
		"127.0.0.1:8080":                               "http://127.0.0.1:8080",
	} {
		server, err := ServerURL(&rest.Config{Host: host})
		if err != nil || server.String() != want {
			t.Errorf("of %s: got %v, want %s (error %v)", host, server, want, err)
		}
	}
	if _, err := ServerURL(&rest.Config{Host: "https://user:pass word@cluster example"}); err == nil {
		t.Error("a broken address is no error")
	}
}
