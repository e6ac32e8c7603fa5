// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// idleConnections exceeds the number of workers, so that each keeps its connection.
	idleConnections = 64
	// requestTimeout ends hanging requests; the slowest answer of a busy machine takes a few seconds.
	requestTimeout = time.Minute
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

// answer is a server's response.
type answer struct {
	code int
	body []byte
}

// do sends a request and reads the whole response. An HTTP error code is not an error.
func (c *client) do(ctx context.Context, method, path, contentType string, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.host+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
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
