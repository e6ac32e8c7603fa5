// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"strings"
	"testing"
)

func TestNotes_DescribeAndWarn(t *testing.T) {
	for name, test := range map[string]struct {
		args  []string
		has   []string
		lacks []string
	}{
		"default": {
			has: []string{"kubectl rollout status statefulset/postern --namespace postern-system",
				"--clusterrole=postern-sender"},
			lacks: []string{"WARNING", "receiver"},
		},
		"receiver": {
			args:  []string{"--values=test/chart/testdata/receiver.yaml"},
			has:   []string{"the Service postern-receiver.", "webhooks=enabled"},
			lacks: []string{"WARNING"},
		},
		"secret of a receiver that is off": {
			args: []string{"--set=webhookReceiver.hmac.secretRef.name=hooks"},
			has:  []string{"WARNING: webhookReceiver.hmac and webhookReceiver.token have no effect"},
		},
		"no volume": {
			args: []string{"--set=persistence.enabled=false"},
			has:  []string{"WARNING: persistence is off."},
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"install", release, chartDir, "--namespace=" + namespace, "--dry-run=client"},
				test.args...)
			out, err := run(t, nil, "bin/tools/helm", args...)
			if err != nil {
				t.Fatal(err)
			}
			_, notes, _ := strings.Cut(string(out), "\nNOTES:\n")
			for _, text := range test.has {
				if !strings.Contains(notes, text) {
					t.Errorf("the notes do not have %q:\n%s", text, notes)
				}
			}
			for _, text := range test.lacks {
				if strings.Contains(notes, text) {
					t.Errorf("the notes should not have %q:\n%s", text, notes)
				}
			}
		})
	}
}

func TestChart_HelmLint(t *testing.T) {
	out, err := run(t, nil, "bin/tools/helm", "lint", chartDir, "--strict", "--values=test/chart/testdata/full.yaml")
	if err != nil {
		t.Fatalf("%s%v", out, err)
	}
	if text := string(out); strings.Contains(text, "[WARNING]") || strings.Contains(text, "[ERROR]") {
		t.Error(text)
	}
}
