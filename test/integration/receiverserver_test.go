// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	certutil "k8s.io/client-go/util/cert"

	"postern.dev/postern/test/controlplane"
)

// receiverClient returns a client of the receiver that trusts the certificates.
func receiverClient(t *testing.T, trusted *x509.CertPool) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// receiverAnswer posts to the receiver, or gets if there is no body, and returns the code and body of the answer.
func receiverAnswer(ctx context.Context, client *http.Client, url, body string, header map[string]string) (int, string,
	error) {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

// writeCertificate writes a certificate valid since an hour ago, and returns a pool that trusts it.
func writeCertificate(t *testing.T, certFile, keyFile string, validity time.Duration) *x509.CertPool {
	t.Helper()
	cert, key, err := certutil.GenerateSelfSignedCertKeyWithOptions(certutil.SelfSignedCertKeyOptions{Host: "127.0.0.1",
		MaxAge: validity})
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, certFile, string(cert))
	mustWrite(t, keyFile, string(key))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

func mustWrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// shownByReceiver returns the receiver's certificate without verifying it.
func (s *suite) shownByReceiver(versions ...uint16) (*x509.Certificate, error) {
	client := &tls.Config{InsecureSkipVerify: true}
	if len(versions) > 0 {
		client.MinVersion, client.MaxVersion = versions[0], versions[0]
	}
	conn, err := tls.Dial("tcp", s.postern.ReceiverAddress(), client)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

func TestReceiver_TLSAndChangedFiles(t *testing.T) {
	dir := t.TempDir()
	hmacFile, certFile, keyFile := filepath.Join(dir, "hmac"), filepath.Join(dir, "tls.crt"),
		filepath.Join(dir, "tls.key")
	first, second := newSecret(), newSecret()
	mustWrite(t, hmacFile, first+"\n")
	s := newSuite(t, "--enable-webhook", "--webhook-namespaces=*", "--hmac-secret-file="+hmacFile,
		"--docker-webhook-secret="+newSecret(),
		"--webhook-tls-cert-file="+certFile, "--webhook-tls-private-key-file="+keyFile)
	w := s.newWorld(t)
	w.gatewaySync("web")

	own, err := s.shownByReceiver()
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(own)
	client, base := receiverClient(t, trusted), "https://"+s.postern.ReceiverAddress()
	if code, body, err := receiverAnswer(t.Context(), client, base+"/healthz", "", nil); err != nil ||
		code != http.StatusOK || body != "OK" {
		t.Errorf("/healthz: got %d, %q and error %v", code, body, err)
	}
	const expiration = `postern_certificate_expiration_timestamp_seconds{certificate="receiver"}`
	if got := s.metrics(t, expiration)[expiration]; int64(got) != own.NotAfter.Unix() {
		t.Errorf("%s is %f, want %d", expiration, got, own.NotAfter.Unix())
	}
	if _, err := s.shownByReceiver(tls.VersionTLS12); err == nil {
		t.Error("TLS 1.2 is enabled by default")
	}

	path := base + "/webhook/" + w.Namespace + "/web"
	deliver := func(secret string) func() error {
		return func() error {
			code, body, err := receiverAnswer(t.Context(), client, path, anyBody, signed(secret, anyBody))
			if err == nil && code != http.StatusAccepted {
				err = fmt.Errorf("got %d: %s", code, body)
			}
			return err
		}
	}
	if err := deliver(first)(); err != nil {
		t.Fatal(err)
	}
	w.checkRequested("web", "v1", "generic")
	if err := deliver(second)(); err == nil {
		t.Error("the second secret is already accepted")
	}
	mustWrite(t, hmacFile, first+"\n"+second+"\n")
	const day = 24 * time.Hour
	client = receiverClient(t, writeCertificate(t, certFile, keyFile, day))
	w.eventually(deliver(second))
	if err := deliver(first)(); err != nil {
		t.Errorf("the first secret is no longer valid: %v", err)
	}
}

func TestReceiver_PlainHTTP(t *testing.T) {
	secret := newSecret()
	s := newSuiteOf(t, controlplane.Base, controlplane.PosternOptions{
		Flags: []string{"--disable-tls", "--webhook-ratelimit-allowed=2",
			"--tlsciphers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
		Env: []string{"ENABLE_WEBHOOK=True", "WEBHOOK_NAMESPACES=*", "WEBHOOK_BEARER_TOKEN=" + secret},
	})
	w := s.newWorld(t)
	w.gatewaySync("web")
	base := "http://" + s.postern.ReceiverAddress()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()

	code, body, err := receiverAnswer(t.Context(), client, base+"/webhook/"+w.Namespace+"/web", anyBody,
		map[string]string{"Authorization": "Bearer " + secret})
	if err != nil || code != http.StatusAccepted {
		t.Fatalf("got %d: %s and error %v", code, body, err)
	}
	w.checkRequested("web", "v1", "generic")
	if code, _, err := receiverAnswer(t.Context(), client, base+"/webhook", anyBody, nil); err != nil ||
		code != http.StatusBadRequest {
		t.Errorf("without a type: got %d and error %v", code, err)
	}
	code, body, err = receiverAnswer(t.Context(), client, base+"/webhook", anyBody, nil)
	if err != nil || code != http.StatusTooManyRequests || !strings.Contains(body, "--webhook-ratelimit-allowed") {
		t.Errorf("over the rate: got %d: %s and error %v", code, body, err)
	}
	if code, _, err := receiverAnswer(t.Context(), client, base+"/healthz", "", nil); err != nil ||
		code != http.StatusOK {
		t.Errorf("/healthz over the rate: got %d and error %v", code, err)
	}
	const refused = `postern_refused_requests_total{cause="Rate"}`
	if got := s.metrics(t, refused)[refused]; got != 1 {
		t.Errorf("%s is %g, want 1", refused, got)
	}
	log, err := os.ReadFile(s.postern.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"WARNING: --disable-tls: ", "WARNING: --tlsciphers: no effect with --disable-tls"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the log does not have %q", want)
		}
	}
}

func TestReceiver_ShutdownAnswersAndRecords(t *testing.T) {
	s := newSuite(t, "--enable-webhook", "--disable-tls", "--webhook-namespaces=*", "--webhook-require-secret=false")
	w := s.newWorld(t)
	w.gatewaySync("web")
	quiet := s.noErrorsFromNowOn(t)
	body, rest := io.Pipe()
	read := make(chan struct{})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(read) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.postern.ReceiverAddress()+"/webhook/"+
		w.Namespace+"/web", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Expect", "100-continue") // the server answers it when the body is read
	codes := make(chan int, 1)
	go func() {
		defer close(codes)
		resp, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}}).Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
		codes <- resp.StatusCode
	}()
	<-read
	stopped := make(chan error, 1)
	go func() { stopped <- s.postern.Stop(t.Context()) }()
	w.eventually(func() error {
		conn, err := net.Dial("tcp", s.postern.ReceiverAddress())
		if err == nil {
			return errors.Join(errors.New("the receiver still accepts connections"), conn.Close())
		}
		return nil
	})
	if _, err := rest.Write([]byte(anyBody)); err != nil {
		t.Fatal(err)
	}
	_ = rest.Close()
	if code := <-codes; code != http.StatusAccepted {
		t.Errorf("got %d", code)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	quiet()
	w.startPostern()
	if got := len(w.records()); got != 1 {
		t.Errorf("there are %d records, want 1", got)
	}
	w.checkRequested("web", "v1", "generic")
}

func TestReceiver_TakenPortIsError(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := startSuite(t.Context(), "", controlplane.PosternOptions{Flags: []string{"--enable-webhook",
		"--webhook-namespaces=*", "--webhook-port=" + port}})
	if err == nil {
		t.Error(s.stop(context.Background()))
		t.Fatal("Postern runs")
	}
	want := "could not listen for webhooks on " + taken.Addr().String() + " (--webhook-bind-address, --webhook-port): "
	if !strings.Contains(err.Error(), "postern has ended") || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestReceiver_InvalidSettingIsError(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeCertificate(t, certFile, keyFile, time.Hour)
	writeCertificate(t, certFile, filepath.Join(dir, "another.key"), time.Hour)
	secret := newSecret()
	for _, test := range []struct {
		name      string
		args, env []string
		want      string
	}{
		{name: "no namespaces", args: []string{"--enable-webhook"},
			want: "--enable-webhook needs --webhook-namespaces (WEBHOOK_NAMESPACES)"},
		{name: "a bad variable", env: []string{"TLS_MIN_VERSION=1.0"},
			want: `TLS_MIN_VERSION: "1.0" is not a supported TLS version: give 1.1, 1.2 or 1.3`},
		{name: "a bad flag", args: []string{"--webhook-port=65536"},
			want: "--webhook-port is 65536: it must be from 0 to 65535"},
		{name: "a missing file", args: []string{"--token-file=/no/such/file"},
			want: "could not read the default secret token: open /no/such/file"},
		{
			name: "a certificate of another key",
			args: []string{"--enable-webhook", "--webhook-namespaces=*", "--webhook-tls-cert-file=" + certFile,
				"--webhook-tls-private-key-file=" + keyFile},
			want: "could not load the certificate for webhooks from " + certFile + " and " + keyFile + ": ",
		},
	} {
		cmd := exec.CommandContext(t.Context(), shared.postern.Program(),
			append(test.args, "--tls-cert-file=a", "--tls-private-key-file=b", "--data-dir="+dir)...)
		cmd.Env = append(test.env, "DOCKER_WEBHOOK_SECRET="+secret)
		output, err := cmd.CombinedOutput()
		var ended *exec.ExitError
		if !errors.As(err, &ended) || ended.ExitCode() != 1 {
			t.Errorf("%s: got %v", test.name, err)
		}
		plain := strings.ReplaceAll(string(output), `\"`, `"`)
		if !strings.Contains(plain, test.want) {
			t.Errorf("%s: got %s, want %s", test.name, output, test.want)
		}
		if strings.Contains(plain, secret) {
			t.Errorf("%s: a secret is in %s", test.name, output)
		}
	}
}
