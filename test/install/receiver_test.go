// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	certutil "k8s.io/client-go/util/cert"

	"postern.dev/postern/pkg/receiver"
	"postern.dev/postern/test/controlplane"
)

// origin is where a variable comes from.
type origin struct{ ConfigMap, Secret, Key string }

func TestTheReceiversVariablesComeFromTheirKeys(t *testing.T) {
	c := installReceiver(t)
	want := map[string]origin{}
	for _, setting := range receiver.Settings() {
		if setting.ConfigMapKey != "" {
			want[setting.Env] = origin{ConfigMap: "postern-config", Key: setting.ConfigMapKey}
		}
		if setting.SecretKey != "" {
			want[setting.Env] = origin{Secret: "postern-receiver-secrets", Key: setting.SecretKey}
		}
	}
	got := map[string]origin{}
	for _, variable := range c.container().Env {
		from := variable.ValueFrom
		switch {
		case from == nil:
		case from.ConfigMapKeyRef != nil:
			got[variable.Name] = origin{ConfigMap: from.ConfigMapKeyRef.Name, Key: from.ConfigMapKeyRef.Key}
			c.mustBeOptional(variable.Name, from.ConfigMapKeyRef.Optional)
		case from.SecretKeyRef != nil:
			got[variable.Name] = origin{Secret: from.SecretKeyRef.Name, Key: from.SecretKeyRef.Key}
			c.mustBeOptional(variable.Name, from.SecretKeyRef.Optional)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheReceiverIsSetUpByItsConfigMapAndItsSecrets(t *testing.T) {
	c := installReceiver(t)
	dir := t.TempDir()
	cert, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"tls.crt": cert, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inSystem := "--namespace=" + controlplane.Namespace
	c.mustKubectl("", "patch", "configmap/postern-config", inSystem, "--type=merge",
		`--patch={"data": {"tls.min-version": "1.2", "tls.max-version": "1.2", "tls.ciphers": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "webhook.ratelimit-allowed": "1000/s"}}`)
	c.mustKubectl("", "create", "secret", "tls", "postern-receiver-tls", inSystem, "--cert="+filepath.Join(dir, "tls.crt"), "--key="+filepath.Join(dir, "tls.key"))
	c.mustKubectl("", "create", "secret", "generic", "postern-receiver-secrets", inSystem, "--from-literal=hmac=of-all", "--from-literal=token=")
	c.mustKubectl("", "create", "namespace", "demo")
	c.mustKubectl("", "apply", "--filename=artifacts/examples/gatewaysync.yaml")
	postern, err := c.StartPostern(t.Context(), controlplane.PosternOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.mustEnd(postern.Kill()) })

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	const body = `{"ref": "v1.4.0"}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+postern.ReceiverAddress()+"/webhook/demo/plant", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte("of-all"))
	_, _ = io.WriteString(mac, body)
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusAccepted {
		t.Errorf("got %d: %s", resp.StatusCode, answer)
	}
	got := fmt.Sprint(tls.VersionName(resp.TLS.Version), " ", tls.CipherSuiteName(resp.TLS.CipherSuite))
	if want := "TLS 1.2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"; got != want {
		t.Errorf("spoken was %s, want %s", got, want)
	}
}

// installReceiver installs Postern with the classic receiver.
func installReceiver(t *testing.T) *cluster {
	t.Helper()
	c := start(t)
	rendered, err := c.Render(t.Context(), "manifests/overlays/receiver")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.InstallFrom(t.Context(), rendered); err != nil {
		t.Fatal(err)
	}
	return c
}

// container is Postern's.
func (c *cluster) container() corev1.Container { return c.installed().Spec.Template.Spec.Containers[0] }

func (c *cluster) mustBeOptional(variable string, optional *bool) {
	c.t.Helper()
	if optional == nil || !*optional {
		c.t.Errorf("without the key for %s no Pod can start", variable)
	}
}
