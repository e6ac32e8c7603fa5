// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/client-go/discovery"

	"postern.dev/postern/test/controlplane"
)

// metric returns one of Postern's metrics by its name and labels in text form.
func metric(ctx context.Context, postern *controlplane.Postern, name string) (float64, error) {
	all, err := metrics(ctx, postern)
	if err != nil {
		return 0, err
	}
	value, ok := all[name]
	if !ok {
		return 0, fmt.Errorf("Postern has no metric %s", name)
	}
	return value, nil
}

func metrics(ctx context.Context, postern *controlplane.Postern) (map[string]float64, error) {
	client, err := discovery.NewDiscoveryClientForConfig(postern.DirectConfig())
	if err != nil {
		return nil, err
	}
	text, err := client.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
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
