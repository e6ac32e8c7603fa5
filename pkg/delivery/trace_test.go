// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"testing"

	"go.opentelemetry.io/otel/trace"
)

func TestTrace_NoSpanWithoutTracing(t *testing.T) {
	ctx, done := startStage(t.Context(), stageDecode)
	defer done()
	if span := trace.SpanFromContext(ctx); span.IsRecording() || span.SpanContext().IsValid() {
		t.Errorf("got the span %v", span)
	}
}

func BenchmarkTrace_WithoutTracing(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, done := startStage(b.Context(), stageDecode)
		done()
	}
}
