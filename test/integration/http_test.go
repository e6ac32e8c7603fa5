// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// answer is the response to a sender.
type answer struct {
	code   int
	header http.Header
	body   []byte
	// record returns the full record of a delivery, if the answer is abbreviated because the sender has no identity;
	// otherwise it is nil.
	record func(t *testing.T, answered *v1alpha1.WebhookDelivery) *v1alpha1.WebhookDelivery
}

// sender POSTs as CI jobs and webhooks do, to the API or to the classic receiver.
type sender struct {
	testcluster.Sender
	// record is set in the answers to a sender without a token.
	record func(t *testing.T, answered *v1alpha1.WebhookDelivery) *v1alpha1.WebhookDelivery
}

// anonymous returns a sender without credentials for the cluster.
func (w *world) anonymous() sender { return w.sender("") }

// sender returns a sender with a bearer token.
func (w *world) sender(token string) sender {
	w.T.Helper()
	config, err := w.AnonymousConfig()
	if err != nil {
		w.T.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		w.T.Fatal(err)
	}
	s := sender{Sender: testcluster.Sender{
		Client: client, Base: config.Host + testcluster.NamespacePath(w.Namespace), Token: token,
	}}
	if token == "" {
		s.record = w.recordOf
	}
	return s
}

// recordOf returns the record of a delivery, read by the administrator, once its status matches the answer's. Only the
// answer shows that a delivery is a repeat.
func (w *world) recordOf(t *testing.T, answered *v1alpha1.WebhookDelivery) *v1alpha1.WebhookDelivery {
	t.Helper()
	var record *v1alpha1.WebhookDelivery
	w.in(t).eventually(func() (err error) {
		record, err = w.Deliveries.PosternV1alpha1().WebhookDeliveries(answered.Namespace).Get(t.Context(),
			answered.Name, metav1.GetOptions{})
		if err == nil && record.Status.Phase != answered.Status.Phase {
			err = fmt.Errorf("delivery %s is %s, and was answered as %s", answered.Name, record.Status.Phase,
				answered.Status.Phase)
		}
		return err
	})
	if answered.Status.Reason == "AlreadyDelivered" {
		record.Status.Reason, record.Status.Message = answered.Status.Reason, answered.Status.Message
	}
	return record
}

// post sends a body with headers to a path below the namespace, such as gatewaysyncs/web/webhookdeliveries.
func (s sender) post(ctx context.Context, path string, body []byte, header map[string]string) (answer, error) {
	return s.send(ctx, http.MethodPost, path, bytes.NewReader(body), header)
}

// send is post with any method, and a body of possibly unknown length.
func (s sender) send(ctx context.Context, method, path string, body io.Reader, header map[string]string) (answer,
	error) {
	req, err := s.NewRequest(ctx, method, path, body, header)
	if err != nil {
		return answer{}, err
	}
	return s.do(req)
}

// do sends a request as this sender.
func (s sender) do(req *http.Request) (answer, error) {
	got, err := s.Do(req)
	return answer{code: got.Code, header: got.Header, body: got.Body, record: s.record}, err
}

// mustPost is post, and fails the test unless the answer has wantCode.
func (s sender) mustPost(t *testing.T, path string, body string, header map[string]string, wantCode int) answer {
	t.Helper()
	got, err := s.post(t.Context(), path, []byte(body), header)
	if err != nil {
		t.Fatal(err)
	}
	if got.code != wantCode {
		t.Fatalf("POST %s %.80q: got %d, want %d: %s", path, body, got.code, wantCode, got.body)
	}
	return got
}

// delivery returns the delivery of a successful answer: its body, or the record if the body is abbreviated.
func (a answer) delivery(t *testing.T) *v1alpha1.WebhookDelivery {
	t.Helper()
	d := a.returned(t)
	if a.record == nil {
		return d
	}
	return a.record(t, d)
}

// returned decodes the body of a successful answer.
func (a answer) returned(t *testing.T) *v1alpha1.WebhookDelivery {
	t.Helper()
	d := &v1alpha1.WebhookDelivery{}
	a.decode(t, d)
	return d
}

// status decodes the body of an error.
func (a answer) status(t *testing.T) *metav1.Status {
	t.Helper()
	s := &metav1.Status{}
	a.decode(t, s)
	return s
}

func (a answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("the answer %d is not JSON: %v: %q", a.code, err, a.body)
	}
}

// sign returns the value of X-Hub-Signature-256 for a body.
func sign(secret, body string) string {
	signature := testcluster.Sign(secret, body)
	signatures.remember(strings.TrimPrefix(signature, "sha256="))
	return signature
}
