// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package testcluster

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
)

// Sender sends as CI jobs and webhooks do, with a plain HTTP client. It is safe for concurrent use.
type Sender struct {
	Client *http.Client
	// Base is the URL of a namespace in Postern's API, or of the classic receiver, with a slash at the end.
	Base string
	// Token is a bearer token, empty for an unauthenticated sender.
	Token string
}

// NamespacePath returns the path of a namespace in Postern's API.
func NamespacePath(namespace string) string {
	return "/apis/postern.dev/v1alpha1/namespaces/" + namespace + "/"
}

// maxAnswer is the number of bytes of an answer that are kept.
const maxAnswer = 4 << 20

// NewRequest returns a request with headers to a path below Base.
func (s Sender) NewRequest(ctx context.Context, method, path string, body io.Reader, header map[string]string,
) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.Base+path, body)
	if err != nil {
		return nil, err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	return req, nil
}

// Answer is a response to a sender.
type Answer struct {
	Code   int
	Header http.Header
	Body   []byte // without what exceeds a few MiB
}

// Do sends a request, with the token unless it has other credentials.
func (s Sender) Do(req *http.Request) (Answer, error) {
	if s.Token != "" && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+s.Token)
	}
	resp, err := s.Client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	return Answer{resp.StatusCode, resp.Header, body}, err
}

// Sign returns the value of X-Hub-Signature-256 for a body.
func Sign(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}
