// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// collector stores spans like an OpenTelemetry collector. It is safe for concurrent use.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	address string

	mu    sync.Mutex
	spans []*tracev1.Span
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{address: listener.Addr().String()}
	server := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, c)
	go func() { _ = server.Serve(listener) }() // until it is stopped
	t.Cleanup(server.Stop)
	return c
}

// flag returns the flag that makes Postern send all spans.
func (c *collector) flag(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tracing.yaml")
	config := fmt.Sprintf("apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\nendpoint: "+
		"%q\nsamplingRatePerMillion: 1000000\n", c.address)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--tracing-config-file=" + file
}

// Export implements the OTLP trace service.
func (c *collector) Export(_ context.Context,
	req *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range req.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

func (c *collector) all() []*tracev1.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// find returns the span with that name and attribute, once the collector has it and the span of its request.
func (c *collector) find(w *world, name, attribute, value string) *tracev1.Span {
	w.T.Helper()
	var found *tracev1.Span
	w.eventually(func() error {
		spans := c.all()
		for _, span := range spans {
			if span.GetName() != name || attributesOf(span)[attribute] != value {
				continue
			}
			found = span
			if requestOf(spans, span) != nil { // spans are sent when they end, so the request's is the last
				return nil
			}
		}
		return fmt.Errorf("got no span %s with %s=%s", name, attribute, value)
	})
	return found
}

func parentOf(spans []*tracev1.Span, child *tracev1.Span) *tracev1.Span {
	i := slices.IndexFunc(spans, func(s *tracev1.Span) bool {
		return string(s.GetSpanId()) == string(child.GetParentSpanId())
	})
	if i < 0 {
		return nil
	}
	return spans[i]
}

// requestOf returns the request's span in which a span started; nil if it is missing.
func requestOf(spans []*tracev1.Span, span *tracev1.Span) *tracev1.Span {
	for span != nil && len(span.GetParentSpanId()) > 0 {
		span = parentOf(spans, span)
	}
	return span
}

// childrenOf returns the sorted names of a span's children.
func childrenOf(spans []*tracev1.Span, parent *tracev1.Span) []string {
	var names []string
	for _, s := range spans {
		if string(s.GetParentSpanId()) == string(parent.GetSpanId()) {
			names = append(names, s.GetName())
		}
	}
	slices.Sort(names)
	return names
}

// attributesOf returns the string attributes.
func attributesOf(span *tracev1.Span) map[string]string {
	values := map[string]string{}
	for _, a := range span.GetAttributes() {
		if s, ok := a.GetValue().GetValue().(*commonv1.AnyValue_StringValue); ok {
			values[a.GetKey()] = s.StringValue
		}
	}
	return values
}

func traceOf(span *tracev1.Span) string { return hex.EncodeToString(span.GetTraceId()) }
