// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// world is the namespace of one test, and the senders in it.
type world struct {
	*suite
	*testcluster.Sandbox
}

// newWorld creates a namespace that is named after the test, with a sender's permission to deliver to everything in it.
func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{shared, shared.NewSandbox(t)}
}

// anonymous returns a sender without a cluster identity, such as a webhook that signs.
func (w *world) anonymous() testcluster.Sender {
	w.T.Helper()
	return w.sender("")
}

// ci returns a sender with the token of a ServiceAccount that may deliver to all targets in the namespace.
func (w *world) ci() testcluster.Sender {
	w.T.Helper()
	subject, token := w.ServiceAccount("ci", time.Hour)
	w.Grant(subject, "create", allDeliveries)
	return w.sender(token)
}

func (w *world) sender(token string) testcluster.Sender {
	w.T.Helper()
	config, err := w.AnonymousConfig()
	if err != nil {
		w.T.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		w.T.Fatal(err)
	}
	return testcluster.Sender{
		Client: client, Base: w.Address() + testcluster.NamespacePath(w.Namespace), Token: token,
	}
}

// allowUnauthenticated lets unauthenticated callers try to deliver to the resources, so that only a secret protects
// them.
func (w *world) allowUnauthenticated(resources string) {
	w.T.Helper()
	w.Grant(testcluster.Unauthenticated, "create", resources)
}

// post sends a payload and returns Postern's record of it, and when it was answered. It repeats the request while the
// permission or the secret of the sender is not in effect.
func (w *world) post(from testcluster.Sender, path, body string, header map[string]string,
) (delivery *v1alpha1.WebhookDelivery, answered time.Time) {
	w.T.Helper()
	var answer testcluster.Answer
	w.Eventually(testcluster.Patience, func() error {
		answer, answered = w.try(from, path, body, header)
		if answer.Code == http.StatusForbidden || answer.Code == http.StatusUnauthorized {
			return fmt.Errorf("got %d: %s", answer.Code, answer.Body)
		}
		return nil
	})
	if answer.Code != http.StatusAccepted {
		w.T.Fatalf("got %d: %s", answer.Code, answer.Body)
	}
	delivery = &v1alpha1.WebhookDelivery{}
	if err := json.Unmarshal(answer.Body, delivery); err != nil {
		w.T.Fatal(err)
	}
	return delivery, answered
}

// try sends a payload and returns the answer, and when it came.
func (w *world) try(from testcluster.Sender, path, body string, header map[string]string,
) (answer testcluster.Answer, answered time.Time) {
	w.T.Helper()
	req, err := from.NewRequest(w.T.Context(), http.MethodPost, path, strings.NewReader(body), header)
	if err != nil {
		w.T.Fatal(err)
	}
	if answer, err = from.Do(req); err != nil {
		w.T.Fatal(err)
	}
	return answer, time.Now()
}
