// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"postern.dev/postern/test/controlplane"
)

func TestReceiverOfItsOverlayDeliversByASecretThatIsMountedInIt(t *testing.T) {
	c := start(t)
	if err := c.InstallPath(t.Context(), "manifests/overlays/receiver"); err != nil {
		t.Fatal(err)
	}
	c.mustKubectl("", "create", "secret", "generic", "postern-receiver-secrets", "--namespace="+controlplane.Namespace,
		"--from-literal=token=the-token-of-all")
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	postern, err := c.StartPostern(ctx, controlplane.PosternOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.mustEnd(postern.Kill()) })
	c.mustDeliver() // makes sure that Postern has the target in its cache

	for token, want := range map[string]int{"the-token-of-all": http.StatusAccepted, "another": http.StatusUnauthorized} {
		code, body := post(t, "https://"+postern.ReceiverAddress()+"/webhook/demo/plant", token, `{"ref": "v2.0.0"}`)
		if code != want {
			t.Errorf("with the token %q got %d, want %d: %s", token, code, want, body)
		}
	}
	got := c.mustKubectl("", "get", "gatewaysync/plant", "--namespace=demo",
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
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}
