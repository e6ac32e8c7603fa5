// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package observability

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"
)

const (
	rulesFile     = "charts/postern/files/prometheusrule.yaml"
	dashboardFile = "charts/postern/files/dashboard.json"
)

// Alert is a shipped alert.
type Alert struct {
	Name        string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// Alerts returns the shipped alerts of a checkout.
func Alerts(repository string) ([]Alert, error) {
	var rule struct {
		Spec struct{ Groups []struct{ Rules []Alert } }
	}
	if err := read(filepath.Join(repository, rulesFile), &rule); err != nil {
		return nil, err
	}
	var alerts []Alert
	for _, group := range rule.Spec.Groups {
		alerts = append(alerts, group.Rules...)
	}
	if len(alerts) == 0 {
		return nil, fmt.Errorf("there are no alerts in %s", rulesFile)
	}
	return alerts, nil
}

// MetricsUsed returns the sorted names of the metrics that the alerts and the dashboard of a checkout read.
func MetricsUsed(repository string) ([]string, error) {
	alerts, err := Alerts(repository)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, alert := range alerts {
		names = append(names, MetricsIn(alert.Expr)...)
	}
	var shown struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := read(filepath.Join(repository, dashboardFile), &shown); err != nil {
		return nil, err
	}
	for _, panel := range shown.Panels {
		for _, target := range panel.Targets {
			names = append(names, MetricsIn(target.Expr)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func read(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("could not read the shipped files: %w", err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("could not read %s: %w", file, err)
	}
	return nil
}
