// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package testcluster

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// Metrics are values by name and labels, as they are written in Prometheus's text format.
type Metrics map[string]float64

// ReadMetrics returns a server's metrics that start with the prefix.
func ReadMetrics(ctx context.Context, server *rest.Config, prefix string) (Metrics, error) {
	client, err := discovery.NewDiscoveryClientForConfig(server)
	if err != nil {
		return nil, err
	}
	text, err := client.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("could not read metrics: %w", err)
	}
	return ParseMetrics(string(text), prefix)
}

// ParseMetrics returns the metrics in a text that start with the prefix.
func ParseMetrics(text, prefix string) (Metrics, error) {
	values := Metrics{}
	for line := range strings.Lines(text) {
		at := strings.LastIndexByte(line, ' ')
		if !strings.HasPrefix(line, prefix) || strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if err != nil {
			return nil, fmt.Errorf("could not read a metric: %q: %w", line, err)
		}
		values[line[:at]] = value
	}
	return values, nil
}

// Sum adds the metrics that contain all of the texts, such as a label.
func (m Metrics) Sum(texts ...string) float64 {
	sum := 0.0
next:
	for name, value := range m {
		for _, text := range texts {
			if !strings.Contains(name, text) {
				continue next
			}
		}
		sum += value
	}
	return sum
}
