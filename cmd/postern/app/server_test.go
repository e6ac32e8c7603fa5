// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"postern.dev/postern/cmd/postern/app/options"
)

// parse returns the options for these flags, with files for the serving certificate.
func parse(t *testing.T, args ...string) *options.Options {
	t.Helper()
	o := options.New()
	cmd := &cobra.Command{}
	for _, set := range o.Flags().FlagSets {
		cmd.Flags().AddFlagSet(set)
	}
	if err := cmd.ParseFlags(append(args, "--tls-cert-file=tls.crt", "--tls-private-key-file=tls.key")); err != nil {
		t.Fatal(err)
	}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestDefaultSecrets_NotInHelp(t *testing.T) {
	const secret = "s3cr3t-of-the-environment"
	for _, setting := range options.Settings() {
		if setting.SecretKey != "" {
			t.Setenv(setting.Env, secret)
		}
	}
	cmd := NewCommand(t.Context(), func() {})
	var help bytes.Buffer
	cmd.SetOut(&help)
	cmd.SetArgs([]string{"--help"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(help.String(), secret) {
		t.Error("the secret is in the help")
	}
	for _, setting := range options.Settings() {
		if setting.Flag != "" &&
			(!strings.Contains(help.String(), "--"+setting.Flag+" ") || !strings.Contains(help.String(), setting.Env)) {
			t.Errorf("the help does not mention --%s or %s", setting.Flag, setting.Env)
		}
	}
}

func TestDefaultSecrets_UnreadableFileIsError(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("t0ken"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := parse(t, "--token-file="+token, "--hmac-secret-file="+filepath.Join(dir, "missing"))
	_, err := loadFiles(o)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got error %v, want %v", err, fs.ErrNotExist)
	}
	want := "could not read the default secret hmac: open " + filepath.Join(dir, "missing")
	if !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want %q in it", err, want)
	}
}

func TestWebhookOptions_BadCertificateIsErrorOnlyIfUsed(t *testing.T) {
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
		o := parse(t, append(test.args, files...)...)
		if _, err := loadFiles(o); (err != nil) != test.want {
			t.Errorf("%v: got error %v", test.args, err)
		}
	}
}

// The error about a missing file allows both to be empty.
func TestWebhookOptions_EmptyCertificateFiles(t *testing.T) {
	o := parse(t, "--enable-webhook", "--webhook-namespaces=*", "--webhook-tls-cert-file=",
		"--webhook-tls-private-key-file=")
	if files, err := loadFiles(o); err != nil || files.receiverCerts == nil {
		t.Errorf("got %+v and error %v, want a certificate", files, err)
	}
}
