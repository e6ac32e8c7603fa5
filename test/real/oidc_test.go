// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

const idTokenHeader = "X-Webhook-OIDC-Token"

// provider is a running OpenID provider, which hack/senders.sh builds.
type provider struct {
	dir    string
	url    string
	client *http.Client
}

// startProvider runs a provider that issues tokens with the claims of each client.
func startProvider(t *testing.T, claims map[string]map[string]any) *provider {
	t.Helper()
	p := &provider{dir: t.TempDir()}
	for client, of := range claims {
		data, err := json.Marshal(of)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.dir, client+".json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shared.RunProgram(t, controlplane.ProgramOptions{
		Name: "issuer-" + strings.ToLower(rand.Text()), Path: filepath.Join(checkout(t), "bin", "senders", "issuer"),
		Args: []string{"-dir=" + p.dir},
	})
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, testcluster.Patience, true,
		func(context.Context) (bool, error) {
			address, _ := os.ReadFile(filepath.Join(p.dir, "url")) // it is written last
			p.url = string(address)
			return p.url != "", nil
		})
	if err != nil {
		t.Fatalf("the provider does not serve: %v", err)
	}
	ca, err := os.ReadFile(filepath.Join(p.dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	p.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}
	return p
}

// authority returns the provider's certificate as a value in YAML.
func (p *provider) authority(t *testing.T) string {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(p.dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(string(ca))
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted)
}

// post sends a form and returns the answer.
func (p *provider) post(t *testing.T, path string, form url.Values, client string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != "" {
		req.SetBasicAuth(client, "secret")
	}
	resp, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the provider answered %d: %s (%v)", resp.StatusCode, body, err)
	}
	return body
}

// token gets a token for a client.
func (p *provider) token(t *testing.T, client string) string {
	t.Helper()
	body := p.post(t, "/oauth/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"openid"}}, client)
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		t.Fatalf("the provider issued no token: %s (%v)", body, err)
	}
	return answer.Token
}

// rotate replaces the key of the provider.
func (p *provider) rotate(t *testing.T) { t.Helper(); p.post(t, "/rotate", nil, "") }

// Claims as the vendors document them; pkg/oidc tests more of them.
var vendorClaims = map[string]map[string]any{
	"github-actions": {
		"sub": "repo:example/shop:environment:production", "aud": "postern", "repository": "example/shop",
		"repository_id": "123456789", "repository_owner": "example", "repository_owner_id": "4321",
		"ref": "refs/tags/v2.0.0", "ref_type": "tag", "environment": "production",
	},
	"gitlab-ci": {
		"sub": "project_path:example/shop:ref_type:tag:ref:v2.0.0", "aud": "postern", "project_id": "20",
		"project_path": "example/shop", "namespace_id": "72", "ref": "v2.0.0", "ref_type": "tag",
		"ref_protected": "true",
	},
	"google-pubsub": {
		"sub": "113774264463038321964", "aud": "postern", "email": "postern@example.iam.gserviceaccount.com",
		"email_verified": true,
	},
	"azure": {
		"sub": "99999999-8888-7777-6666-555555555555", "aud": "api://postern",
		"tid": "11111111-2222-3333-4444-555555555555", "oid": "99999999-8888-7777-6666-555555555555",
		"appid": "77777777-6666-5555-4444-333333333333",
	},
}

// firstIssuer matches the URL of the first issuer of a file.
var firstIssuer = regexp.MustCompile(`url: (https://\S+)`)

// trust returns the configuration of a platform, with the provider in its place.
func (p *provider) trust(t *testing.T, file string) string {
	t.Helper()
	config := readRepositoryFile(t, file)
	match := firstIssuer.FindString(config)
	if match == "" {
		t.Fatalf("%s has no issuer", file)
	}
	return strings.Replace(config, match, "url: "+p.url+"\n    certificateAuthority: "+p.authority(t), 1)
}

// The configuration of each platform trusts a real issuer of tokens with the claims of that platform, also after it has
// replaced its key.
func TestOIDC_RealIssuer(t *testing.T) {
	needsPrograms(t)
	c := testcluster.New(t, controlplane.Options{})
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	others := map[string]map[string]any{}
	for name, claims := range vendorClaims {
		others[name] = claims
		other := map[string]any{}
		for claim, value := range claims {
			if text, isText := value.(string); isText && claim != "aud" {
				value = text + "0"
			}
			other[claim] = value
		}
		others["other-"+name] = other
	}
	p := startProvider(t, others)
	c.RunPostern(t, controlplane.PosternOptions{Flags: []string{
		"--oidc-issuer-hosts=" + strings.TrimPrefix(p.url, "https://"), "--oidc-issuer-networks=127.0.0.0/8",
	}})
	for platform := range vendorClaims {
		t.Run(platform, func(t *testing.T) {
			w := &world{&suite{Cluster: c}, c.NewSandbox(t)}
			w.SetWebhookSecrets(map[string]string{"oidc": p.trust(t, "artifacts/senders/oidc/"+platform+".yaml")})
			w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
			w.allowUnauthenticated(allDeliveries)
			record := w.postToken(p, platform, "v2.0.0")
			s := record.Status.Sender
			if s == nil || s.Method != "OIDC" || !strings.HasPrefix(s.Name, "postern:oidc:") {
				t.Errorf("the record has the sender %+v", record.Status.Sender)
			}
			other := w.tryToken(p, "other-"+platform, "v3")
			if other.Code != http.StatusUnauthorized {
				t.Errorf("another identity of the platform: got %d: %s", other.Code, other.Body)
			}
			p.rotate(t)
			w.postToken(p, platform, "v2.0.1")
		})
	}
}

// tryToken delivers a ref once with a new token of a client.
func (w *world) tryToken(p *provider, client, ref string) testcluster.Answer {
	w.T.Helper()
	answer, _ := w.try(w.anonymous(), "gatewaysyncs/plant/webhookdeliveries", `{"ref":"`+ref+`"}`,
		map[string]string{idTokenHeader: p.token(w.T, client)})
	return answer
}

// postToken delivers a ref with a new token of a client as curl --retry does, and returns the record.
func (w *world) postToken(p *provider, client, ref string) *v1alpha1.WebhookDelivery {
	w.T.Helper()
	token := p.token(w.T, client)
	start := time.Now()
	var record v1alpha1.WebhookDelivery
	w.Eventually(testcluster.Patience, func() error {
		asked := time.Now()
		answer, _ := w.try(w.anonymous(), "gatewaysyncs/plant/webhookdeliveries", `{"ref":"`+ref+`"}`,
			map[string]string{idTokenHeader: token})
		if took := time.Since(asked); took > 5*time.Second {
			w.T.Errorf("an answer took %s", took)
		}
		if answer.Code != http.StatusAccepted {
			return fmt.Errorf("got %d: %s", answer.Code, answer.Body)
		}
		return json.Unmarshal(answer.Body, &record)
	})
	w.T.Logf("%s: accepted after %s", client, time.Since(start).Round(time.Millisecond))
	stored := &v1alpha1.WebhookDelivery{}
	text := w.MustKubectl(w.T, "", "get", "webhookdelivery", record.Name, "--namespace="+w.Namespace, "--output=json")
	if err := json.Unmarshal([]byte(text), stored); err != nil {
		w.T.Fatal(err)
	}
	return stored
}

// The kube-apiserver authenticates the tokens of two issuers, as docs/oidc.md describes; RBAC limits their users. A
// token of an issuer that only a namespace trusts is answered 401 in Authorization, and accepted in its own header.
func TestOIDC_StructuredAuthentication(t *testing.T) {
	needsPrograms(t)
	gitHub := startProvider(t, vendorClaims)
	gitLab := startProvider(t, vendorClaims)
	other := startProvider(t, vendorClaims)

	config := readRepositoryFile(t, "artifacts/senders/authentication-config.yaml")
	for address, p := range map[string]*provider{
		"https://token.actions.githubusercontent.com": gitHub, "https://gitlab.com": gitLab,
	} {
		by := "url: " + p.url + "\n    certificateAuthority: " + p.authority(t)
		config = strings.Replace(config, "url: "+address, by, 1)
	}
	file := filepath.Join(t.TempDir(), "authentication.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c := testcluster.New(t, controlplane.Options{APIServerFlags: []string{"--authentication-config=" + file}})
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.RunPostern(t, controlplane.PosternOptions{Flags: []string{
		"--oidc-issuer-hosts=" + strings.TrimPrefix(other.url, "https://"), "--oidc-issuer-networks=127.0.0.0/8",
	}})
	w := &world{&suite{Cluster: c}, c.NewSandbox(t)}
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	for name, test := range map[string]struct {
		p      *provider
		client string
		user   string
	}{
		"GitHub": {gitHub, "github-actions", "github-actions:example/shop"},
		"GitLab": {gitLab, "gitlab-ci", "gitlab-ci:example/shop"},
	} {
		w.MustKubectl(t, "", "create", "role", test.client, "--namespace="+w.Namespace, "--verb=create",
			"--resource=gatewaysyncs.postern.dev/webhookdeliveries", "--resource-name=plant")
		w.MustKubectl(t, "", "create", "rolebinding", test.client, "--namespace="+w.Namespace, "--role="+test.client,
			"--user="+test.user)
		record, _ := w.post(w.sender(test.p.token(t, test.client)), "gatewaysyncs/plant/webhookdeliveries",
			`{"ref":"v2.0.0"}`, nil)
		if s := record.Status.Sender; s == nil || s.Name != test.user || s.Method != "User" {
			t.Errorf("%s: the record has the sender %+v, want %s", name, record.Status.Sender, test.user)
		}
		forbidden, _ := w.try(w.sender(test.p.token(t, test.client)), "gatewaysyncs/other/webhookdeliveries",
			`{"ref":"v2.0.0"}`, nil)
		if forbidden.Code != http.StatusForbidden {
			t.Errorf("%s: another target: got %d, want 403", name, forbidden.Code)
		}
	}

	w.SetWebhookSecrets(map[string]string{"oidc": other.trust(t, "artifacts/senders/oidc/google-pubsub.yaml")})
	w.allowUnauthenticated(allDeliveries)
	if record := w.postToken(other, "google-pubsub", "v2.0.1"); record.Status.Sender.Method != "OIDC" {
		t.Errorf("in its own header: the record has the sender %+v", record.Status.Sender)
	}
	refused, _ := w.try(w.sender(other.token(t, "google-pubsub")), "gatewaysyncs/plant/webhookdeliveries",
		`{"ref":"v3"}`, nil)
	if refused.Code != http.StatusUnauthorized {
		t.Errorf("in Authorization: got %d, want 401", refused.Code)
	}
}
