// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/certs"
	"postern.dev/postern/test/node"
)

const (
	// ingressHost is the host in manifests/overlays/receiver and in artifacts/ingress.
	ingressHost = "webhooks.example.com"
	ingressPort = "8443"
	// ingressSecret is what the sender signs with.
	ingressSecret = "example-secret"
	// forged is an address that a client claims to have.
	forged = "192.0.2.66"
)

// TestIngress delivers to the classic receiver through Traefik, in a cluster that enforces NetworkPolicies, as
// docs/receiver.md says.
func TestIngress(t *testing.T) {
	traefik := filepath.Join(suite.repository, "bin", "network", "traefik")
	if _, err := os.Stat(traefik); err != nil && suite.skip == "" {
		t.Skip("an ingress controller needs bin/network/traefik, which \"make ingress\" builds")
	}
	i := newIngress(t, traefik)
	steps := ingressSteps(t)
	if len(steps) != 3 {
		t.Fatalf("the section about an ingress has %d blocks of commands, want those about certificates, Traefik's "+
			"resources and ingress-nginx", len(steps))
	}
	i.kubectl("label", "namespace", "traefik", "webhooks=enabled")
	certificates, own, annotations := steps[0], steps[1], steps[2]
	i.document(certificates)
	i.awaitRollout()

	t.Run("ingress-nginx", func(t *testing.T) {
		there := i.on(t)
		there.document(annotations)
		there.check("v2.1.0", "v2.2.0")
		there.kubectl("delete", "ingress", "postern-receiver", "--namespace="+system)
	})
	t.Run("Traefik", func(t *testing.T) {
		there := i.on(t)
		there.document(own)
		there.check("v2.3.0", "v2.4.0")
		there.checkRateOfAddress()
	})
	t.Run("rate limit of Postern", func(t *testing.T) { i.on(t).checkRateLimit() })
}

// ingress is a network with an ingress controller in the Pod and the namespace traefik.
type ingress struct {
	*network
	client *http.Client // from outside of the cluster
}

func (i *ingress) on(t *testing.T) *ingress {
	there, n := *i, *i.network
	n.world = i.world.on(t)
	there.network = &n
	return &there
}

func newIngress(t *testing.T, traefik string) *ingress {
	t.Helper()
	n := newNetwork(t)
	n.enforcePolicies()
	n.kubectl("create", "secret", "generic", "postern-webhook-secrets", "--namespace="+namespace,
		"--from-literal=webhook.github-secret="+ingressSecret)
	i := &ingress{network: n}
	i.trustPublicCertificate()

	const image = "localhost/traefik:e2e"
	archive, err := node.ProgramImage(t.Context(), filepath.Join(t.TempDir(), "image"), traefik, image)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.node.ImportImage(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
	n.kubectl("apply", "--server-side", "--filename=bin/network/traefik-crds.yaml")
	n.feed(strings.NewReplacer("IMAGE", image, "PORT", ingressPort).Replace(ingressController), "apply", "--filename=-")
	n.kubectl("wait", "--for=condition=Ready", "pod/traefik", "--namespace=traefik", "--timeout="+patience.String())
	return i
}

// ingressController may read what an ingress controller reads. It believes what clients say of their addresses.
const ingressController = `
apiVersion: v1
kind: Namespace
metadata: {name: traefik}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: traefik, namespace: traefik}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: traefik}
spec: {controller: traefik.io/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: k8s.io/ingress-nginx}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: traefik}
rules:
- {apiGroups: [""], resources: [services, secrets, configmaps, nodes, namespaces], verbs: [get, list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
- {apiGroups: [networking.k8s.io], resources: [ingresses, ingressclasses], verbs: [get, list, watch]}
- {apiGroups: [networking.k8s.io], resources: [ingresses/status], verbs: [update]}
- {apiGroups: [traefik.io], resources: ["*"], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: traefik}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: traefik}
subjects: [{kind: ServiceAccount, name: traefik, namespace: traefik}]
---
apiVersion: v1
kind: Pod
metadata: {name: traefik, namespace: traefik}
spec:
  serviceAccountName: traefik
  containers:
  - name: traefik
    image: IMAGE
    imagePullPolicy: Never
    args:
    - --entrypoints.web.address=:8080
    - --entrypoints.websecure.address=:PORT
    - --entrypoints.websecure.http.tls=true
    - --entrypoints.websecure.forwardedheaders.insecure=true
    - --providers.kubernetesingress.ingressclass=traefik
    - --providers.kubernetesingressnginx=true
    - --providers.kubernetescrd=true
    - --global.checknewversion=false
    - --global.sendanonymoususage=false
    - --log.level=INFO
    ports: [{containerPort: PORT}]
    readinessProbe: {tcpSocket: {port: PORT}, periodSeconds: 1}
`

// ingressSteps returns the blocks of commands in the section of docs/receiver.md.
func ingressSteps(t *testing.T) (steps []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(suite.repository, "docs", "receiver.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Behind an ingress\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, block := range shellBlock.FindAllStringSubmatch(section, -1) {
		steps = append(steps, block[1])
	}
	return steps
}

// document runs commands of the documentation, which name files of the checkout.
func (i *ingress) document(commands string) {
	i.t.Helper()
	i.shell("ln -s " + filepath.Join(suite.repository, "artifacts") + " artifacts\n" + commands)
}

// trustPublicCertificate gives the ingress a certificate for its host, as cert-manager would, and creates the client.
func (i *ingress) trustPublicCertificate() {
	i.t.Helper()
	authority, err := certs.NewAuthority("public")
	if err != nil {
		i.t.Fatal(err)
	}
	ca, _, err := authority.PEM()
	if err != nil {
		i.t.Fatal(err)
	}
	cert, key, err := authority.Issue(&x509.Certificate{
		DNSNames: []string{ingressHost}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		i.t.Fatal(err)
	}
	dir := i.t.TempDir()
	for name, content := range map[string][]byte{"tls.crt": cert, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			i.t.Fatal(err)
		}
	}
	i.kubectl("create", "secret", "tls", "webhooks-example-com-tls", "--namespace="+system,
		"--cert="+filepath.Join(dir, "tls.crt"), "--key="+filepath.Join(dir, "tls.key"))

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	admin, err := i.Admin()
	if err != nil {
		i.t.Fatal(err)
	}
	i.client = &http.Client{
		Timeout: senderTimeout,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return admin.Dial(ctx, network, i.address())
			},
		},
	}
}

func (i *ingress) address() string {
	return net.JoinHostPort(i.podIP("traefik", "traefik"), ingressPort)
}

// reply is what a client of the ingress gets.
type reply struct {
	code   int
	header http.Header
	body   string
}

// release posts a release to the ingress as GitHub does, signed with a secret.
func (i *ingress) release(ctx context.Context, ref, secret string, more http.Header) (reply, error) {
	body := fmt.Sprintf(`{"action": "published", "release": {"tag_name": %q}, "repository": %s}`, ref,
		`{"clone_url": "https://github.com/example/plant.git"}`)
	signature := hmac.New(sha256.New, []byte(secret))
	signature.Write([]byte(body))
	header := http.Header{
		"Content-Type":        {"application/json"},
		"X-Github-Event":      {"release"},
		"X-Github-Delivery":   {"of-" + ref},
		"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(signature.Sum(nil))},
	}
	maps.Copy(header, more)
	return i.send(ctx, body, header)
}

func (i *ingress) send(ctx context.Context, body string, header http.Header) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+ingressHost+"/webhook/demo/plant",
		strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header = header
	response, err := i.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(content)}, err
}

// check delivers the first ref, and the second one with the receiver's CA replaced for some time.
func (i *ingress) check(first, second string) {
	i.t.Helper()
	i.delivers(first)
	i.verifies(second)
	i.trustsNoAddress()
	i.passesBodies()
}

// delivers sends a ref until the ingress has the route and it is accepted.
func (i *ingress) delivers(ref string) {
	i.t.Helper()
	i.eventually("a release is accepted", func(ctx context.Context) error {
		return i.accepted(ctx, ref)
	})
	if got := i.requestedRefs(i.t)["plant"]; got != ref {
		i.t.Errorf("plant was requested to use %q, want %q", got, ref)
	}
	for _, record := range i.records(i.t) {
		if len(record.Spec.Events) != 1 || record.Spec.Events[0].Ref != ref {
			continue
		}
		if record.Status.Phase != v1alpha1.DeliveryApplied || record.Status.Sender.Method != "HMAC" {
			i.t.Errorf("the delivery is %s, by %v, want Applied by its signature", record.Status.Phase,
				record.Status.Sender)
		}
		return
	}
	i.t.Errorf("there is no record of %s", ref)
}

func (i *ingress) accepted(ctx context.Context, ref string) error {
	got, err := i.release(ctx, ref, ingressSecret, nil)
	if err == nil && got.code != http.StatusAccepted {
		err = fmt.Errorf("it is answered %d: %s", got.code, got.body)
	}
	return err
}

// verifies shows that nothing is delivered to a server whose certificate is from another CA.
func (i *ingress) verifies(ref string) {
	i.t.Helper()
	right := i.kubectl("get", "secret", "postern-receiver-ca", "--namespace="+system,
		"--output=jsonpath={.data.ca\\.crt}")
	another, err := certs.NewAuthority("another")
	if err != nil {
		i.t.Fatal(err)
	}
	wrong, _, err := another.PEM()
	if err != nil {
		i.t.Fatal(err)
	}
	i.kubectl("patch", "secret", "postern-receiver-ca", "--namespace="+system,
		fmt.Sprintf(`--patch={"stringData": {"ca.crt": %q}}`, wrong))
	i.eventually("the ingress refuses the receiver's certificate", func(ctx context.Context) error {
		got, err := i.release(ctx, "v0.0.1", "another-secret", nil)
		if err == nil && got.code < http.StatusInternalServerError {
			err = fmt.Errorf("it is answered %d: %s", got.code, got.body)
		}
		return err
	})
	i.kubectl("patch", "secret", "postern-receiver-ca", "--namespace="+system,
		fmt.Sprintf(`--patch={"data": {"ca.crt": %q}}`, right))
	i.delivers(ref)
}

// trustsNoAddress shows that Postern takes the address of the connection for the client's.
func (i *ingress) trustsNoAddress() {
	i.t.Helper()
	got, err := i.release(i.t.Context(), "v0.0.2", "another-secret", http.Header{
		"X-Forwarded-For": {forged}, "X-Real-Ip": {forged}, "Forwarded": {"for=" + forged},
		"X-Forwarded-Host": {forged}, "X-Remote-User": {"admin"}, "X-Remote-Group": {"system:masters"},
	})
	if err != nil || got.code != http.StatusUnauthorized {
		i.t.Errorf("a wrong signature is answered %d: %s, %v, want 401", got.code, got.body, err)
	}
	log := i.kubectl("logs", "postern-0", "--namespace="+system)
	want := fmt.Sprintf(`server="receiver" remote="%s:`, i.podIP("traefik", "traefik"))
	if !strings.Contains(log, want) {
		i.t.Errorf("the log lacks %s", want)
	}
	if strings.Contains(log, forged) {
		i.t.Errorf("the log has the address that a client claims to have:\n%s", log)
	}
}

// passesBodies shows that the ingress passes on what Postern takes, and Postern's answer to what it does not.
func (i *ingress) passesBodies() {
	i.t.Helper()
	const most = 1 << 20
	for size, want := range map[int]struct {
		code int
		text string
	}{
		most:     {http.StatusUnauthorized, "error"},
		most + 1: {http.StatusRequestEntityTooLarge, "--max-payload-bytes"},
	} {
		body := `{"ref": "` + strings.Repeat("x", size-len(`{"ref": ""}`)) + `"}`
		got, err := i.send(i.t.Context(), body, http.Header{"X-Webhook-Token": {"another"}})
		if err != nil || got.code != want.code || !strings.Contains(got.body, want.text) {
			i.t.Errorf("a body of %d bytes is answered %d: %s, %v; want %d with %q", size, got.code, got.body, err,
				want.code, want.text)
		}
	}
}

// checkRateOfAddress shows that a client over the rate of artifacts/ingress does not keep others from delivering.
func (i *ingress) checkRateOfAddress() {
	i.t.Helper()
	refused := false
	for range 100 {
		got, err := i.release(i.t.Context(), "v0.0.3", "another-secret", nil)
		if err != nil {
			i.t.Fatal(err)
		}
		if refused = got.code == http.StatusTooManyRequests; refused {
			i.t.Logf("refused by the ingress: %s", got.body)
			break
		}
	}
	if !refused {
		i.t.Error("the ingress accepts 100 requests of an address at once")
	}
	i.startPod("kargo")
	got, err := i.curlIn(i.t.Context(), "kargo",
		"--resolve", ingressHost+":"+ingressPort+":"+i.podIP("traefik", "traefik"),
		"--header", "Authorization: Bearer example-token", "--data", `{"ref": "v2.5.0"}`,
		"https://"+ingressHost+":"+ingressPort+"/webhook/demo/plant")
	if got != "202" {
		i.t.Errorf("a client with another address is answered %q, %v, want 202", got, err)
	}
}

// checkRateLimit shows that Postern's rate limit is one for all clients, and that its answer reaches them.
func (i *ingress) checkRateLimit() {
	i.t.Helper()
	i.kubectl("annotate", "ingress", "postern-receiver", "--namespace="+system,
		"traefik.ingress.kubernetes.io/router.middlewares-")
	i.kubectl("patch", "configmap", "postern-config", "--namespace="+system, "--type=merge",
		`--patch={"data": {"webhook.ratelimit-allowed": "1/h"}}`)
	i.restart()
	i.eventually("Postern's 429 reaches the client", func(ctx context.Context) error {
		got, err := i.release(ctx, "v2.6.0", ingressSecret, nil)
		switch {
		case err != nil:
			return err
		case got.code != http.StatusTooManyRequests || !strings.Contains(got.body, "--webhook-ratelimit-allowed"):
			return fmt.Errorf("it is answered %d: %s", got.code, got.body)
		case got.header.Get("Retry-After") == "":
			return fmt.Errorf("there is no Retry-After: %v", got.header)
		}
		return nil
	})
	if got := i.requestedRefs(i.t)["plant"]; got != "v2.6.0" {
		i.t.Errorf("plant was requested to use %q, want v2.6.0", got)
	}
}
