// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"postern.dev/postern/pkg/credential"
)

// parse returns the options for these flags, or the validation errors.
func parse(args ...string) (*Options, error) {
	o, _, err := parseIn(nil, args...)
	return o, err
}

// parseIn does the same with environment variables, and also returns the parsed flags.
func parseIn(environment map[string]string, args ...string) (*Options, *pflag.FlagSet, error) {
	o := New()
	cmd := &cobra.Command{}
	for _, set := range o.Flags().FlagSets {
		cmd.Flags().AddFlagSet(set)
	}
	if err := cmd.ParseFlags(args); err != nil {
		return nil, nil, err
	}
	if err := o.ReadEnvironment(cmd.Flags(), func(name string) string { return environment[name] }); err != nil {
		return nil, nil, err
	}
	return o, cmd.Flags(), o.Validate()
}

// certFileArgs give files for the serving certificate, so that Postern does not contact a cluster.
var certFileArgs = []string{"--tls-cert-file=tls.crt", "--tls-private-key-file=tls.key"}

func TestOptions_Defaults(t *testing.T) {
	o, err := parse(certFileArgs...)
	if err != nil {
		t.Fatal(err)
	}
	type defaults struct {
		DataDir                              string
		DeliveryTTL, RetryWindow             time.Duration
		ShutdownDelay                        time.Duration
		MaxPayloadBytes                      int64
		Credentials                          credential.Config
		EmbeddedEtcd, HTTP2, GarbageCollects bool
		Port                                 int
		StoragePrefix                        string
	}
	want := defaults{
		DataDir: "/var/lib/postern", DeliveryTTL: 72 * time.Hour, RetryWindow: time.Hour, MaxPayloadBytes: 1 << 20,
		Port:         8443,
		EmbeddedEtcd: true, GarbageCollects: true,
		Credentials:   credential.Config{IdentityIsCredential: true, RequireSecret: true},
		StoragePrefix: "/registry/postern.dev",
	}
	got := defaults{
		DataDir: o.DataDir, DeliveryTTL: o.DeliveryTTL, RetryWindow: o.RetryWindow,
		ShutdownDelay:   o.ServerRun.ShutdownDelayDuration,
		MaxPayloadBytes: o.MaxPayloadBytes,
		Port:            o.Recommended.SecureServing.BindPort, EmbeddedEtcd: o.EmbeddedEtcd(),
		Credentials:     o.Credentials,
		HTTP2:           !o.Recommended.SecureServing.DisableHTTP2Serving,
		GarbageCollects: o.Recommended.Etcd.EnableGarbageCollection,
		StoragePrefix:   o.Recommended.Etcd.StorageConfig.Prefix,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

func TestOptions_AcceptsBounds(t *testing.T) {
	for _, args := range [][]string{
		{"--max-payload-bytes=1024"},
		{"--max-payload-bytes=26214400", "--max-inflight-payload-bytes=262668288"},
		{"--delivery-ttl=1m", "--retry-window=1m"},
		{"--leader-elect", "--etcd-servers=https://etcd.example.com:2379"},
		{"--shutdown-delay-duration=0s"},
		{"--identity-is-credential=false", "--webhook-require-secret=false"},
		{"--etcd-servers=https://etcd.example.com:2379", "--data-dir="},
	} {
		if _, err := parse(append(args, certFileArgs...)...); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestOptions_ErrorNamesFlag(t *testing.T) {
	for _, test := range []struct{ bad, names string }{
		{"--max-payload-bytes=1023", "--max-payload-bytes is 1023: it must be from 1024 to 26214400"},
		{"--max-payload-bytes=26214401", "--max-payload-bytes is 26214401: it must be from 1024 to 26214400"},
		{"--max-payload-bytes=1MiB", "--max-payload-bytes"},
		{"--delivery-ttl=59s", "--delivery-ttl is 59s: it must be at least 1m"},
		{"--delivery-ttl=59m", "--retry-window is 1h0m0s: it must not be longer than --delivery-ttl, 59m0s"},
		{"--retry-window=-1s", "--retry-window is -1s: it must not be negative"},
		{"--leader-elect", "--leader-elect is for several replicas, and the embedded etcd can serve only one"},
		{"--delivery-ttl=72", "--delivery-ttl"},
		{"--shutdown-delay-duration=-1s", "--shutdown-delay-duration is -1s: it must not be negative"},
		{"--shutdown-delay-duration=soon", "--shutdown-delay-duration"},
		{"--data-dir=", "--data-dir is empty: give it, or --etcd-servers"},
		{"--identity-is-credential=maybe", "--identity-is-credential"},
		{"--webhook-require-secret=maybe", "--webhook-require-secret"},
		{"--tls-cert-file=", "give both --tls-cert-file and --tls-private-key-file"},
		{"--tls-private-key-file=", "give both --tls-cert-file and --tls-private-key-file"},
		{"--secure-port=65536", "--secure-port"},
		{"--storage-media-type=text/plain", "--storage-media-type"},
		{"--no-such-flag=1", "--no-such-flag"},
	} {
		_, err := parse(append(certFileArgs[:2:2], test.bad)...)
		switch {
		case err == nil:
			t.Errorf("%s is accepted", test.bad)
		case !strings.Contains(err.Error(), test.names):
			t.Errorf("%s: got error %v", test.bad, err)
		}
	}
}

func TestOptions_ReportsAllErrors(t *testing.T) {
	_, err := parse("--max-payload-bytes=0", "--delivery-ttl=0s", "--retry-window=-1s", "--leader-elect",
		"--shutdown-delay-duration=-1s", "--data-dir=", "--secure-port=-1")
	var all interface{ Unwrap() []error }
	if !errors.As(err, &all) {
		t.Fatalf("got %v, want several errors", err)
	}
	want := []string{
		"--max-payload-bytes", "--delivery-ttl", "--retry-window", "--leader-elect", "--shutdown-delay-duration",
		"--data-dir", "--secure-port",
	}
	for i, err := range all.Unwrap() {
		if i >= len(want) || !strings.Contains(err.Error(), want[i]) {
			t.Errorf("error %d: %v", i, err)
		}
	}
	if got := len(all.Unwrap()); got != len(want) {
		t.Errorf("got %d errors, want %d", got, len(want))
	}
}

// The address of the embedded etcd is set only once it has started.
func TestOptions_ValidateChangesNothing(t *testing.T) {
	o, err := parse(certFileArgs...)
	if err != nil {
		t.Fatal(err)
	}
	if got := o.Recommended.Etcd.StorageConfig.Transport.ServerList; len(got) > 0 {
		t.Errorf("got etcd servers %v, want none", got)
	}
}
