// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"postern.dev/postern/pkg/cli"
)

// failure returns what a command that can't do anything prints.
func failure(t *testing.T, args ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut}
	if code := RunContext(t.Context(), args, streams); code != cli.ExitFailed || out.Len() > 0 {
		t.Errorf("%q: exit code %d, and the output %q", args, code, &out)
	}
	return errOut.String()
}

func TestRun_WrongNumberOfArgumentsShowsUsage(t *testing.T) {
	for _, args := range [][]string{
		{"why"}, {"why", "one", "two"}, {"diff"}, {"redeliver"}, {"explain-image", "shop"}, {"secret", "set"},
		{"deliveries", "application", "shop"}, {"send", "--source=github"},
	} {
		path := "kubectl postern " + args[0]
		if args[0] == "secret" {
			path += " " + args[1]
		}
		got := failure(t, args...)
		if !strings.Contains(got, "Usage:\n  "+path+" ") || !strings.HasSuffix(got, "use "+path+" --help\n") {
			t.Errorf("%q: %s", args, got)
		}
	}
}

func TestRun_MisspelledCommand(t *testing.T) {
	const want = "error: unknown command \"delivereis\" for \"kubectl postern\"\n\nDid you mean this?\n  deliveries\n"
	if got := failure(t, "delivereis"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRun_UnknownCommandOfSecret(t *testing.T) {
	const want = "error: unknown command \"show\" for \"kubectl postern secret\"\n"
	if got := failure(t, "secret", "show"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRun_HelpOfSecretShowsCommand(t *testing.T) {
	var out bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &out}
	code := RunContext(t.Context(), []string{"secret", "--help"}, streams)
	if code != cli.ExitOK || !strings.Contains(out.String(), "Usage:\n  kubectl postern secret COMMAND\n") {
		t.Errorf("exit code %d: %s", code, &out)
	}
}

// Without a kubeconfig, nothing is said about a cluster that has not been named.
func TestRun_NoClusterIsConfigured(t *testing.T) {
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	for _, variable := range []string{"KUBERNETES_MASTER", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"} {
		t.Setenv(variable, "")
	}
	for _, args := range [][]string{{"url", "--source=github"}, {"deliveries"}, {"doctor"}, {"ui", "--no-browser"}} {
		if got := failure(t, args...); !strings.HasPrefix(got, "error: no cluster is configured: ") {
			t.Errorf("%q: %s", args, got)
		}
	}
}
