// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/observability"
)

// helpTexts maps the programs whose flags the documentation may name to the commands that print them. A program without
// a directory is looked up in PATH.
var helpTexts = map[string][][]string{
	"curl":        {{"--help", "all"}},
	"bin/postern": {{"--help"}},
	"bin/kubectl-postern": {{"url", "--help"}, {"grant", "--help"}, {"secret", "set", "--help"},
		{"secret", "rotate", "--help"}, {"send", "--help"}, {"doctor", "--help"}, {"deliveries", "--help"},
		{"why", "--help"}, {"diff", "--help"}, {"redeliver", "--help"}, {"explain-image", "--help"}, {"ui", "--help"}},
	filepath.Join(controlplane.ProgramsDir(), "kube-apiserver"): {{"--help"}},
	filepath.Join(controlplane.ProgramsDir(), "kubectl"): {{"options"}, {"create", "--help"},
		{"create", "token", "--help"}, {"get", "--help"}, {"apply", "--help"}},
}

// otherFlags are flags of programs that are not installed here.
var otherFlags = map[string]bool{
	"--push-auth-service-account": true, "--push-auth-token-audience": true, // gcloud pubsub subscriptions create
	"--exclude-resources": true, // velero backup create
}

var anyFlag = regexp.MustCompile(`--[a-z0-9][a-z0-9-]*`)

func TestMentions_FlagsExist(t *testing.T) {
	root := repository(t)
	flags := map[string]bool{}
	for program, calls := range helpTexts {
		if strings.Contains(program, "/") {
			program = filepath.Join(root, program)
		}
		for _, args := range calls {
			for _, name := range anyFlag.FindAllString(helpText(t.Context(), t, program, args), -1) {
				flags[name] = true
			}
		}
	}
	checkMentions(t, mentionedFlag, func(name string) bool { return flags[name] || otherFlags[name] })
}

func checkMentions(t *testing.T, pattern *regexp.Regexp, exists func(string) bool) {
	t.Helper()
	root := repository(t)
	for _, path := range markdown(t, root) {
		p, err := readPage(root, path)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range p.unknown(p.mentions(pattern), exists) {
			t.Error(err)
		}
	}
}

func helpText(ctx context.Context, t *testing.T, program string, args []string) string {
	t.Helper()
	text, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		t.Fatalf("could not get the flags of %s: %v", program, err)
	}
	return string(text)
}

func TestMentions_MetricsExist(t *testing.T) {
	root := repository(t)
	metrics, err := observability.Definitions(filepath.Join(root, "cmd"), filepath.Join(root, "pkg"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, metric := range metrics {
		names[metric.Name] = true
	}
	checkMentions(t, mentionedMetric, func(name string) bool { return names[name] })
}
