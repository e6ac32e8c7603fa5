// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// answerTimeout exceeds the kube-apiserver's request timeout.
const answerTimeout = 90 * time.Second

// answer is the response to a sender: a code, or an error if there was none.
type answer struct {
	code int
	body []byte
	err  error
}

// accepted reports whether the sender may forget the request.
func (a answer) accepted() bool { return a.err == nil && a.code >= 200 && a.code < 300 }

// recorded returns the name of the record and the phase in an accepting answer.
func (a answer) recorded() (name string, phase v1alpha1.DeliveryPhase, err error) {
	d := v1alpha1.WebhookDelivery{}
	if err := json.Unmarshal(a.body, &d); err != nil {
		return "", "", fmt.Errorf("the answer %d is not JSON: %w: %.200q", a.code, err, a.body)
	}
	if d.Name == "" {
		return "", "", fmt.Errorf("the answer %d names no record: %.200q", a.code, a.body)
	}
	return d.Name, d.Status.Phase, nil
}

// String returns the code with the message of an API server's error, otherwise with the beginning of the body.
func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	said := struct{ Message string }{}
	if err := json.Unmarshal(a.body, &said); err != nil || said.Message == "" {
		said.Message = string(a.body)
	}
	return fmt.Sprintf("%d: %.400s", a.code, said.Message)
}

// sender POSTs as CI jobs and webhooks do: over HTTP/1.1, without a Kubernetes client. It is safe for concurrent use;
// each request in flight has its own connection.
type sender struct {
	client *http.Client
	base   string
	token  string
}

// newSender returns a sender to a namespace, with a ServiceAccount's token or without a credential.
func (c *cluster) newSender(namespace, token string) (sender, error) {
	ca, err := os.ReadFile(c.CAFile())
	if err != nil {
		return sender{}, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return sender{}, errors.New("could not read the kube-apiserver's certificate authority")
	}
	return sender{
		client: &http.Client{Timeout: answerTimeout, Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: 128,
		}},
		base:  c.Address() + "/apis/postern.dev/v1alpha1/namespaces/" + namespace + "/",
		token: token,
	}, nil
}

// post sends a body to a path below the namespace. It is not canceled when a test ends, because the answer matters.
func (s sender) post(path string, body io.Reader, length int, header map[string]string) answer {
	req, err := http.NewRequest(http.MethodPost, s.base+path, body)
	if err != nil {
		return answer{err: err}
	}
	req.ContentLength = int64(length)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	return answer{code: resp.StatusCode, body: got, err: err}
}

func (s sender) send(r request) answer {
	return s.post(r.target.path(), strings.NewReader(r.body), len(r.body), r.header)
}
