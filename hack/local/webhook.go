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

// webhook is a request of a sender.
type webhook struct {
	path string
	// querySecret is sent in the query of the URL unless it is empty.
	querySecret string
	header      http.Header
	body        string
}

// accepted sends the webhook and checks the response: 202, with a delivery that is applied and was authenticated by
// method.
func (p *demoRun) accepted(ctx context.Context, w webhook, method string) error {
	code, body, err := p.send(ctx, w)
	if err != nil {
		return err
	}
	if code != http.StatusAccepted {
		return fmt.Errorf("got response %d, want %d", code, http.StatusAccepted)
	}
	var delivery v1alpha1.WebhookDelivery
	if err := json.Unmarshal(body, &delivery); err != nil {
		return fmt.Errorf("the response is not a delivery: %w", err)
	}
	if delivery.Status.Phase != v1alpha1.DeliveryApplied {
		return fmt.Errorf("got phase %s, want Applied", delivery.Status.Phase)
	}
	return p.authenticatedBy(ctx, delivery.Namespace, delivery.Name, method)
}

// authenticatedBy compares the method in the record of a delivery. The response to an unauthenticated sender does not
// contain it.
func (p *demoRun) authenticatedBy(ctx context.Context, namespace, name, method string) error {
	client, err := versioned.NewForConfig(p.cluster.RESTConfig())
	if err != nil {
		return err
	}
	record, err := client.PosternV1alpha1().WebhookDeliveries(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("could not get the record of the delivery: %w", err)
	}
	if sender := record.Status.Sender; sender == nil || sender.Method != method {
		return fmt.Errorf("got sender %v, want method %s", sender, method)
	}
	return nil
}

// refused sends the webhook and checks the response: the status code, with a Status that has a message.
func (p *demoRun) refused(ctx context.Context, w webhook, want int) error {
	code, body, err := p.send(ctx, w)
	if err != nil {
		return err
	}
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err != nil {
		return fmt.Errorf("the response is not a Status: %w", err)
	}
	if code != want || int(status.Code) != want || status.Message == "" {
		return fmt.Errorf("got response %d, want %d with a message", code, want)
	}
	return nil
}

// send prints the webhook as a curl command, sends it, and prints the response.
func (p *demoRun) send(ctx context.Context, w webhook) (code int, body []byte, err error) {
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
		return 0, nil, fmt.Errorf("could not read the response: %w", err)
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

// asCurl returns the curl command for the webhook, without the token and the secret.
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
