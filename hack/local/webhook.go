// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/generated/clientset/versioned"
)

// webhook is a request as a sender sends it.
type webhook struct {
	path string
	// querySecret is added to the query of the URL; empty if there is none.
	querySecret string
	header      http.Header
	body        string
}

// accepted sends the webhook and compares the answer: 202, with a delivery that has reached its target and was proved
// genuine by the method.
func (p *play) accepted(ctx context.Context, w webhook, method string) error {
	code, body, err := p.send(ctx, w)
	if err != nil {
		return err
	}
	if code != http.StatusAccepted {
		return fmt.Errorf("the answer is %d; it should be %d", code, http.StatusAccepted)
	}
	var delivery v1alpha1.WebhookDelivery
	if err := json.Unmarshal(body, &delivery); err != nil {
		return fmt.Errorf("the answer is no delivery: %w", err)
	}
	if delivery.Status.Phase != v1alpha1.DeliveryApplied {
		return fmt.Errorf("the delivery is in phase %s; it should be Applied", delivery.Status.Phase)
	}
	return p.provedBy(ctx, delivery.Namespace, delivery.Name, method)
}

// provedBy compares the method by which the sender of a delivery proved itself. A sender without an identity is not told.
func (p *play) provedBy(ctx context.Context, namespace, name, method string) error {
	client, err := versioned.NewForConfig(p.cluster.RESTConfig())
	if err != nil {
		return err
	}
	record, err := client.PosternV1alpha1().WebhookDeliveries(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("could not get the record of the delivery: %w", err)
	}
	if sender := record.Status.Sender; sender == nil || sender.Method != method {
		return fmt.Errorf("the delivery is from %v; it should be proved by method %s", sender, method)
	}
	return nil
}

// refused sends the webhook and compares the answer: the code, with a Status that says why.
func (p *play) refused(ctx context.Context, w webhook, want int) error {
	code, body, err := p.send(ctx, w)
	if err != nil {
		return err
	}
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err != nil {
		return fmt.Errorf("the answer is no Status: %w", err)
	}
	if code != want || int(status.Code) != want || status.Message == "" {
		return fmt.Errorf("the answer is %d; it should be %d, with a message", code, want)
	}
	return nil
}

// send prints the webhook as a call of curl, sends it, and prints the answer.
func (p *play) send(ctx context.Context, w webhook) (code int, body []byte, err error) {
	config, err := p.cluster.AnonymousConfig()
	if err != nil {
		return 0, nil, err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, config.Host+w.path, strings.NewReader(w.body))
	if err != nil {
		return 0, nil, err
	}
	if w.querySecret != "" {
		req.URL.RawQuery = url.Values{"secret": {w.querySecret}}.Encode()
	}
	req.Header = w.header.Clone()
	p.line("$ %s", w.asCurl(config.Host))
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("could not send the webhook: %w", err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("could not read the answer: %w", err)
	}
	p.line("%s", resp.Status)
	for _, warning := range resp.Header.Values("Warning") {
		p.line("Warning: %s", warning)
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "", "  ") != nil {
		pretty = *bytes.NewBuffer(body)
	}
	p.line("%s", strings.TrimSpace(pretty.String()))
	return resp.StatusCode, body, nil
}

// asCurl returns the call of curl that would send the same, but for the token and the secret.
func (w webhook) asCurl(host string) string {
	lines := []string{"curl --cacert ca.crt"}
	for name, values := range w.header {
		value := values[0]
		if name == "Authorization" {
			value = "Bearer ***"
		}
		lines = append(lines, fmt.Sprintf("  --header '%s: %s'", name, value))
	}
	slices.Sort(lines[1:])
	address := host + w.path
	if w.querySecret != "" {
		address = "'" + address + "?secret=***'"
	}
	lines = append(lines, "  --data-binary '"+strings.TrimSpace(w.body)+"'", "  "+address)
	return strings.Join(lines, " \\\n")
}
