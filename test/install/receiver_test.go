// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

func TestReceiver_OverlayDeliversWithMountedSecret(t *testing.T) {
	c := start(t)
	if err := c.InstallPath(t.Context(), "manifests/overlays/receiver"); err != nil {
		t.Fatal(err)
	}
	c.MustKubectl(c.t, "", "create", "secret", "generic", "postern-receiver-secrets", "--namespace="+
		controlplane.Namespace,
		"--from-literal=token=the-token-of-all")
	postern := c.RunPostern(t, controlplane.PosternOptions{})
	c.mustDeliver() // makes sure that Postern has the target in its cache

	for token, want := range map[string]int{"the-token-of-all": http.StatusAccepted,
		"another": http.StatusUnauthorized} {
		code, body := post(t, "https://"+postern.ReceiverAddress()+"/webhook/demo/plant", token, `{"ref": "v2.0.0"}`)
		if code != want {
			t.Errorf("with the token %q got %d, want %d: %s", token, code, want, body)
		}
	}
	got := c.MustKubectl(c.t, "", "get", "gatewaysync/plant", "--namespace=demo",
		`--output=jsonpath={.metadata.annotations.stoker\.io/requested-ref}`)
	if got != "v2.0.0" {
		t.Errorf("the requested ref is %q, want v2.0.0", got)
	}
}

// post sends a webhook with a bearer token. The receiver's certificate is self-signed.
func post(t *testing.T, url, token, body string) (code int, answer string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13},
	}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := testcluster.Sender{Client: client, Token: token}.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return got.Code, string(got.Body)
}
