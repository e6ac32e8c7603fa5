// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// idleConnections exceeds the number of workers, so that each keeps its connection.
	idleConnections = 64
	// requestTimeout ends hanging requests; the slowest answer, a list of very many records, takes less than a minute.
	requestTimeout = 5 * time.Minute
)

// client sends requests as one user. It speaks HTTP/1.1, as most webhook senders do, keeps connections alive and has no
// rate limit. It is safe for concurrent use.
type client struct {
	host, token string
	http        *http.Client
}

func newClient(config *rest.Config) (*client, error) {
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, fmt.Errorf("could not make a client: %w", err)
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig, MaxIdleConnsPerHost: idleConnections}
	return &client{host: config.Host, token: config.BearerToken,
		http: &http.Client{Transport: transport, Timeout: requestTimeout}}, nil
}

// newSocketClient returns a client of a server that speaks plain HTTP on a unix socket.
func newSocketClient(socket string) *client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &client{host: "http://localhost",
		http: &http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: requestTimeout}}
}

// answer is a server's response.
type answer struct {
	code int
	body []byte
}

// do sends a request and reads the whole response. An HTTP error code is not an error.
func (c *client) do(ctx context.Context, method, path, contentType string, body []byte) (answer, error) {
	header := http.Header{}
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	return c.send(ctx, method, path, header, body)
}

// send is do with all headers but the client's own. It does not change header.
func (c *client) send(ctx context.Context, method, path string, header http.Header, body []byte) (answer, error) {
	resp, err := c.request(ctx, method, path, header, body)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("could not read the answer: %w", err)
	}
	return answer{code: resp.StatusCode, body: read}, nil
}

// request sends a request and returns the response, whose body the caller closes.
func (c *client) request(ctx context.Context, method, path string, header http.Header, body []byte,
) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.host+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.http.Do(req)
}

// must is do for requests that must be answered with code.
func (c *client) must(ctx context.Context, method, path, contentType string, body []byte, code int) ([]byte, error) {
	got, err := c.do(ctx, method, path, contentType, body)
	if err != nil {
		return nil, err
	}
	if got.code != code {
		return nil, fmt.Errorf("%s %s was answered %d, not %d: %s", method, path, got.code, code, got.body)
	}
	return got.body, nil
}
