// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/delivery"
)

// pipeline fakes the delivery pipeline and the limiter: it records its arguments and returns the configured results.
type pipeline struct {
	// Results.
	delivered        *postern.WebhookDelivery
	fanout           delivery.FanoutResult
	err              error
	acceptedSources  []string // the types of sender with a secret; nil is all
	beginErr         error
	holdErr          error
	targetNamespaces func() ([]string, error)
	none             bool // there is no GatewaySync

	// Arguments.
	delivery   *postern.WebhookDelivery
	in         delivery.Request
	source     string
	namespaces []string
	called     bool
	shares     []string // the namespaces whose shares were used
	requests   int      // requests in flight
	bodies     int
}

func (p *pipeline) Deliver(
	_ context.Context, r *delivery.Request,
) (*postern.WebhookDelivery, error) {
	p.called, p.delivery, p.in = true, r.Delivery, *r
	p.in.Delivery = nil
	if r.DryRun {
		return nil, errors.New("a dry run")
	}
	return p.delivered, p.err
}

func (p *pipeline) DeliverToNamespaces(
	_ context.Context, r *delivery.Request, namespaces []string,
) (delivery.FanoutResult, error) {
	p.called, p.source, p.namespaces, p.in = true, r.Delivery.Spec.Source, namespaces, *r
	p.in.Delivery = nil
	return p.fanout, p.err
}

func (p *pipeline) Begin(namespace string) (end func(), err error) {
	p.shares = append(p.shares, namespace)
	p.requests++
	return func() { p.requests-- }, p.beginErr
}

func (p *pipeline) AcquireBody(
	_ http.ResponseWriter, req *http.Request, namespace string,
) (bounded *http.Request, release func(), err error) {
	p.shares = append(p.shares, namespace)
	p.bodies++
	return req, func() { p.bodies-- }, p.holdErr
}

const maxPayloadBytes = 100

// handler returns a handler in front of the pipeline for webhooks that may act on these namespaces.
func (p *pipeline) handler(t *testing.T, namespaces string) http.Handler {
	t.Helper()
	allowed, err := ParseNamespaces(namespaces)
	if err != nil {
		t.Fatal(err)
	}
	return NewHandler(Config{
		Deliverer: p, Limiter: p, Namespaces: allowed, MaxPayloadBytes: maxPayloadBytes,
		CanAccept: func(source string) bool {
			return p.acceptedSources == nil || slices.Contains(p.acceptedSources, source)
		},
		TargetNamespaces: func() ([]string, error) { return p.targetNamespaces() },
		Exists: func(namespace, name string) bool {
			return !p.none && namespace == "demo" && name == "plant"
		},
	})
}

// post sends a body with headers, given as alternating names and values.
func post(h http.Handler, path, body string, header ...string) *httptest.ResponseRecorder {
	return send(h, http.MethodPost, path, body, header...)
}

func send(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	return do(h, httptest.NewRequest(method, path, strings.NewReader(body)), header...)
}

// postLogged also returns the log at all levels.
func postLogged(h http.Handler, path string, header ...string) (recorder *httptest.ResponseRecorder, log string) {
	var written bytes.Buffer
	logger := textlogger.NewLogger(
		textlogger.NewConfig(textlogger.Verbosity(math.MaxInt32), textlogger.Output(&written)))
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}"))
	recorder = do(h, req.WithContext(klog.NewContext(req.Context(), logger)), header...)
	return recorder, written.String()
}

func do(h http.Handler, req *http.Request, header ...string) *httptest.ResponseRecorder {
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, req)
	return recorder
}

// httpResult is a summary of a response.
type httpResult struct {
	Code       int
	Body       string
	RetryAfter string
	Type       string
}

func toResult(response *httptest.ResponseRecorder) httpResult {
	return httpResult{response.Code, strings.TrimSuffix(response.Body.String(), "\n"),
		response.Header().Get("Retry-After"), response.Header().Get("Content-Type")}
}

// jsonResult returns a JSON response without Retry-After.
func jsonResult(code int, body string) httpResult {
	return httpResult{Code: code, Body: body, Type: "application/json"}
}

// status returns an error with that code.
func status(code int32, message string, retryAfter int32) error {
	err := &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Message: message}}
	if retryAfter > 0 {
		err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfter}
	}
	return err
}

func decode(t *testing.T, body []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("the response is not JSON: %v: %s", err, body)
	}
}
