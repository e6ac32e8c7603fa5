// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// newExpectServer returns a server whose handler answers the code in the path with a header and the length of the body.
func newExpectServer(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(WithoutContinue(http.HandlerFunc(func(w http.ResponseWriter,
		req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		if req.Header.Get("Expect") != "" && req.ContentLength != 0 && len(req.TLS.PeerCertificates) > 0 {
			t.Error("the header is still there")
		}
		if req.TLS == nil || req.Host != "postern" || req.URL.RawQuery != "a=%20b" || req.Header.Get("X-A") != "1" {
			t.Errorf("got another request: %s, %v, TLS %v", req.URL, req.Header, req.TLS)
		}
		code := 0
		_, _ = fmt.Sscanf(req.URL.Path, "/%d", &code)
		w.Header().Set("Audit-Id", "id")
		w.WriteHeader(code)
		_, _ = fmt.Fprint(w, len(body))
	})))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// exchange sends a request with its body at once, and returns the bytes of the response.
func exchange(t *testing.T, server *httptest.Server, request string, asProxy bool) string {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true}
	if asProxy {
		config.Certificates = server.TLS.Certificates
	}
	conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(conn, request) }() // the server may answer first
	response, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(response)
}

func TestWithoutContinue_RelaysOnlyFinalResponse(t *testing.T) {
	server := newExpectServer(t)
	const fields = "Host: postern\r\nX-A: 1\r\nExpect: 100-continue\r\nConnection: close\r\n"
	for name, body := range map[string]struct {
		fields, text string
		bytes        int
	}{
		"short":   {"Content-Length: 3\r\n", "abc", 3},
		"long":    {"Content-Length: 300000\r\n", strings.Repeat("a", 300_000), 300_000},
		"chunked": {"Transfer-Encoding: chunked\r\n", "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", 3},
		"none":    {"Content-Length: 0\r\n", "", 0},
	} {
		for _, code := range []int{202, 400, 401, 404, 413, 429, 503} {
			request := fmt.Sprintf("POST /%d?a=%%20b HTTP/1.1\r\n%s%s\r\n%s", code, fields, body.fields, body.text)
			raw := exchange(t, server, request, true)
			response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), nil)
			if err != nil {
				t.Fatalf("%s: %v in %q", name, err, raw)
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != code || response.Header.Get("Audit-Id") != "id" ||
				string(text) != fmt.Sprint(body.bytes) {
				t.Errorf("%s, %d: got %q, %v", name, code, raw, err)
			}
		}
	}
}

// A client may wait for it before it sends the body.
func TestWithoutContinue_OthersGetContinue(t *testing.T) {
	server := newExpectServer(t)
	const request = "POST /202?a=%20b HTTP/1.1\r\nHost: postern\r\nX-A: 1\r\nExpect: 100-continue\r\n" +
		"Connection: close\r\nContent-Length: 3\r\n\r\nabc"
	raw := exchange(t, server, request, false)
	if !strings.HasPrefix(raw, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\n") {
		t.Errorf("got %q", raw)
	}
}

func TestWithoutContinue_RequestsWithoutItKeepConnection(t *testing.T) {
	server := newExpectServer(t)
	const request = "POST /202?a=%20b HTTP/1.1\r\nHost: postern\r\nX-A: 1\r\nContent-Length: 3\r\n"
	raw := exchange(t, server, request+"\r\nabc"+request+"Connection: close\r\n\r\nabc", true)
	if got := strings.Count(raw, "HTTP/1.1 202 Accepted\r\n"); got != 2 {
		t.Errorf("got %d responses, want 2: %q", got, raw)
	}
}
