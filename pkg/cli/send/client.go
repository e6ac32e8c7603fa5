// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package send

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/version"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 4 << 20

// clientOf returns a client with the user's identity. It never sends a webhook secret: with a high verbosity the
// transports of client-go log URLs and headers.
func clientOf(config *rest.Config) (*http.Client, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("could not create a client of the cluster: %w", err)
	}
	return withoutRedirects(client), nil
}

// clientWithToken returns a client with the token in a file, or in for "-".
func clientWithToken(config *rest.Config, path string, in io.Reader) (*http.Client, error) {
	token, err := readFile(path, in, maxSecret)
	if err != nil {
		return nil, fmt.Errorf("could not read the token: %w", err)
	}
	config = rest.AnonymousClientConfig(config)
	if config.BearerToken = strings.TrimSpace(string(token)); config.BearerToken == "" {
		return nil, errors.New("the file with the token is empty")
	}
	if strings.ContainsFunc(config.BearerToken, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the file with the token has other text: a token is one word")
	}
	return clientOf(config)
}

// anonymousClient returns a client like that of a sender outside of the cluster. Nothing logs its requests.
func anonymousClient(config *rest.Config) (*http.Client, error) {
	tls, err := rest.TLSConfigFor(rest.AnonymousClientConfig(config))
	if err != nil {
		return nil, fmt.Errorf("could not read the CA of the cluster: %w", err)
	}
	transport := utilnet.SetTransportDefaults(&http.Transport{TLSClientConfig: tls, Proxy: config.Proxy})
	return withoutRedirects(&http.Client{Transport: transport}), nil
}

// withoutRedirects keeps the credentials from other hosts, and a POST from becoming a GET.
func withoutRedirects(client *http.Client) *http.Client {
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

// delivery is a request of a sender.
type delivery struct {
	client *http.Client
	// url has no query.
	url    string
	header http.Header
	query  url.Values
	body   []byte
	// method is how the sender authenticates.
	method credential.Method
	// prove adds the proof to header and query, as of now; nil for a sender with an identity.
	prove func(now time.Time) error
}

// send sends the delivery, and reads the answer.
func (d *delivery) send(ctx context.Context) (*answer, error) {
	if d.prove != nil {
		if err := d.prove(time.Now()); err != nil {
			return nil, err
		}
	}
	klog.FromContext(ctx).V(6).Info("Delivering", "url", d.url, "method", d.method)
	address := d.url
	if len(d.query) > 0 {
		address += "?" + d.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(d.body))
	if err != nil {
		return nil, fmt.Errorf("could not create the request: %w", withoutURL(err))
	}
	req.Header = d.header
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "kubectl-postern/"+version.Get().Version)
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("could not send the delivery: %w", withoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("could not read the answer: %w", err)
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return &answer{
		code: resp.StatusCode, warnings: resp.Header.Values("Warning"),
		retryAfter: time.Duration(seconds) * time.Second, body: body, method: d.method,
	}, nil
}

// withoutURL returns an error without the URL, which may have a secret.
func withoutURL(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
