// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/receiver"
)

func TestDefaultSecretsComeByFlagElseByVariableElseNot(t *testing.T) {
	environment := map[string]string{
		"DOCKER_WEBHOOK_SECRET": "docker-by-variable", "GHCR_WEBHOOK_SECRET": "ghcr-by-variable",
		"QUAY_WEBHOOK_SECRET": " ",
		"WEBHOOK_HMAC_SECRET": "hmac-by-variable\n", "WEBHOOK_BEARER_TOKEN": "one\ntwo",
	}
	for _, test := range []struct {
		name string
		args []string
		want credential.DefaultSource
	}{
		{
			name: "by variable",
			want: credential.DefaultSource{Values: map[string][]byte{
				"webhook.docker-secret": []byte("docker-by-variable"),
				"webhook.ghcr-secret":   []byte("ghcr-by-variable"),
				"hmac":                  []byte("hmac-by-variable"), "token": []byte("one\ntwo"),
			}, Files: map[string]string{}},
		},
		{
			name: "by flag",
			args: []string{
				"--docker-webhook-secret=docker-by-flag", "--ghcr-webhook-secret=",
				"--harbor-webhook-secret=harbor-by-flag",
				"--token-file=token",
			},
			want: credential.DefaultSource{Values: map[string][]byte{
				"webhook.docker-secret": []byte("docker-by-flag"), "webhook.harbor-secret": []byte("harbor-by-flag"),
				"hmac": []byte("hmac-by-variable"), "token": []byte("one\ntwo"),
			}, Files: map[string]string{"token": "token"}},
		},
	} {
		o, _, err := parseIn(environment, append(test.args, certFileArgs...)...)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if diff := cmp.Diff(test.want, o.defaultSecrets.source()); diff != "" {
			t.Errorf("%s: secrets (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestNoSecretOfTheEnvironmentIsInTheHelp(t *testing.T) {
	const secret = "s3cr3t-of-the-environment"
	for _, setting := range receiver.Settings() {
		if setting.SecretKey != "" {
			t.Setenv(setting.Env, secret)
		}
	}
	cmd := newCommand(t.Context())
	var help bytes.Buffer
	cmd.SetOut(&help)
	cmd.SetArgs([]string{"--help"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(help.String(), secret) {
		t.Error("the secret is in the help")
	}
	for _, setting := range receiver.Settings() {
		if setting.Flag != "" &&
			(!strings.Contains(help.String(), "--"+setting.Flag+" ") || !strings.Contains(help.String(), setting.Env)) {
			t.Errorf("the help does not mention --%s or %s", setting.Flag, setting.Env)
		}
	}
}

func TestAFileOfDefaultSecretsThatCannotBeReadIsAnErrorAtTheStart(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("t0ken"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := parse(append([]string{"--token-file=" + token, "--hmac-secret-file=" + filepath.Join(dir, "missing")},
		certFileArgs...)...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = loadStartupFiles(o)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got error %v, want %v", err, fs.ErrNotExist)
	}
	checkError(t, "a missing file", err, "could not read the default secret hmac: open "+filepath.Join(dir, "missing"))
}

func TestABadCertificateOfTheReceiverIsAnErrorOnlyWhereItWouldBeUsed(t *testing.T) {
	dir := t.TempDir()
	files := []string{"--webhook-tls-cert-file=" + filepath.Join(dir, "tls.crt"), "--webhook-tls-private-key-file=" +
		filepath.Join(dir, "tls.key")}
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("broken"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		args []string
		want bool
	}{
		{nil, false},
		{[]string{"--enable-webhook", "--webhook-namespaces=*", "--disable-tls"}, false},
		{[]string{"--enable-webhook", "--webhook-namespaces=*"}, true},
	} {
		o, err := parse(append(append(test.args, files...), certFileArgs...)...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := loadStartupFiles(o); (err != nil) != test.want {
			t.Errorf("%v: got error %v", test.args, err)
		}
	}
}
