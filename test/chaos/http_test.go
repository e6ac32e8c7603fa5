// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
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

// sender POSTs as CI jobs and webhooks do: over HTTP/1.1, without a Kubernetes client. Each request in flight has its
// own connection.
type sender struct{ testcluster.Sender }

// newSender returns a sender to a namespace, with a ServiceAccount's token or without a credential.
func (c *cluster) newSender(namespace, token string) (sender, error) {
	config, err := c.AnonymousConfig()
	if err != nil {
		return sender{}, err
	}
	trust, err := rest.TLSConfigFor(config)
	if err != nil {
		return sender{}, err
	}
	return sender{testcluster.Sender{
		Client: newClient(trust), Base: c.Address() + testcluster.NamespacePath(namespace), Token: token,
	}}, nil
}

func newClient(trust *tls.Config) *http.Client {
	return &http.Client{Timeout: answerTimeout,
		Transport: &http.Transport{TLSClientConfig: trust, MaxIdleConnsPerHost: 128}}
}

// do sends a request to a path below the sender's namespace, and cancels it when ctx ends.
func (s sender) do(ctx context.Context, method, path string, body io.Reader, length int, header map[string]string,
) answer {
	req, err := s.NewRequest(ctx, method, path, body, header)
	if err != nil {
		return answer{err: err}
	}
	req.ContentLength = int64(length)
	got, err := s.Do(req)
	return answer{code: got.Code, body: got.Body, err: err}
}

// post sends a body to a path below the namespace. It is not canceled when a test ends, because the answer matters.
func (s sender) post(path string, body io.Reader, length int, header map[string]string) answer {
	return s.do(context.Background(), http.MethodPost, path, body, length, header)
}

func (s sender) send(r request) answer {
	return s.post(r.target.path(), strings.NewReader(r.body), len(r.body), r.header)
}
