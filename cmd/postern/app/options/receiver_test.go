// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/pkg/receiver"
)

func TestWebhookOptions_Defaults(t *testing.T) {
	o, err := parse(certFileArgs...)
	if err != nil {
		t.Fatal(err)
	}
	want := Receiver{
		BindAddress: net.IPv4zero, Port: 8082, Rate: "0", MinTLSVersion: "1.3", MaxTLSVersion: "1.3",
		CertFile: "/etc/postern/receiver-tls/tls.crt", KeyFile: "/etc/postern/receiver-tls/tls.key",
	}
	if diff := cmp.Diff(want, o.Receiver); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
	if got := o.Receiver.Address(); got != "0.0.0.0:8082" {
		t.Errorf("got address %s, want 0.0.0.0:8082", got)
	}
}

func TestWebhookOptions_TLSReachesServer(t *testing.T) {
	for _, test := range []struct {
		args []string
		want receiver.TLSOptions
	}{
		{nil, receiver.TLSOptions{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS13}},
		{[]string{"--tlsminversion=", "--tlsmaxversion= "},
			receiver.TLSOptions{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS13}},
		{
			[]string{"--tlsminversion=1.1", "--tlsmaxversion=TLS1.2", "--enable-http2"},
			receiver.TLSOptions{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS12, HTTP2: true},
		},
		{
			[]string{"--tlsminversion=1.2", "--tlsciphers=" + suite},
			receiver.TLSOptions{
				MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13,
				CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
			},
		},
	} {
		o, err := parse(append(test.args, certFileArgs...)...)
		if err != nil {
			t.Errorf("%v: %v", test.args, err)
			continue
		}
		test.want.CertFile, test.want.KeyFile = o.Receiver.CertFile, o.Receiver.KeyFile
		config, err := o.ReceiverConfig()
		if err != nil {
			t.Errorf("%v: %v", test.args, err)
		}
		if diff := cmp.Diff(test.want, config.TLS); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.args, diff)
		}
	}
}

func TestWebhookOptions_ConflictsAreErrors(t *testing.T) {
	for _, test := range []struct {
		environment map[string]string
		args        []string
		want        string
	}{
		{args: []string{"--enable-webhook"},
			want: "--enable-webhook needs --webhook-namespaces (WEBHOOK_NAMESPACES): name the namespaces"},
		{environment: map[string]string{"ENABLE_WEBHOOK": "true"},
			want: "ENABLE_WEBHOOK needs --webhook-namespaces (WEBHOOK_NAMESPACES)"},
		{
			args: []string{"--enable-webhook", "--webhook-namespaces=shop", "--webhook-port=8443"},
			want: "--webhook-port is 8443, and so is --secure-port: give each server its own port",
		},
		{args: []string{"--tlsmaxversion=1.2"},
			want: "the minimum version of TLS (--tlsminversion) is 1.3: it must not be above the maximum " +
				"(--tlsmaxversion), 1.2"},
		{args: []string{"--tlsminversion=1.1", "--tlsciphers=" + suite},
			want: "does not work with TLS 1.1, the minimum version"},
		{args: []string{"--webhook-tls-cert-file="},
			want: "give both --webhook-tls-cert-file and --webhook-tls-private-key-file"},
		{args: []string{"--webhook-namespaces=Shop"},
			want: `--webhook-namespaces: "Shop" is not a valid namespace name`},
		{args: []string{"--webhook-namespaces=*,shop"},
			want: "--webhook-namespaces: * means all namespaces and must be given alone"},
	} {
		_, _, err := parseIn(test.environment, append(test.args, certFileArgs...)...)
		checkError(t, strings.Join(test.args, " "), err, test.want)
	}
}

// The receiver has no RBAC that would limit who can deliver.
func TestWebhookOptions_WarnsOfOpenEndpoints(t *testing.T) {
	const byRBAC = "--webhook-require-secret=false: where no secret is configured, every caller that RBAC allows to " +
		"deliver is accepted"
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{"a secret is required", []string{"--enable-webhook", "--webhook-namespaces=shop"}, nil},
		{"no receiver", []string{"--webhook-require-secret=false"}, []string{byRBAC}},
		{"with the receiver", []string{"--webhook-require-secret=false", "--enable-webhook",
			"--webhook-namespaces=shop"}, []string{
			byRBAC + "; the classic receiver (--enable-webhook) has no RBAC and accepts every client that reaches " +
				"its port, for the namespaces of --webhook-namespaces",
		}},
	} {
		o, err := parse(append(test.args, certFileArgs...)...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, o.Warnings()); diff != "" {
			t.Errorf("%s: warnings (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestWebhookOptions_WarnsOfUnusedSettings(t *testing.T) {
	enabled := []string{"--enable-webhook", "--webhook-namespaces=*"}
	for _, test := range []struct {
		name        string
		environment map[string]string
		args        []string
		want        []string
	}{
		{name: "nothing given"},
		{name: "enabled", args: enabled},
		{name: "settings of every endpoint", args: []string{"--docker-webhook-secret=x",
			"--webhook-require-secret=true"}},
		{
			name: "without the receiver", args: []string{"--webhook-port=1", "--enable-http2"},
			environment: map[string]string{"TLS_MIN_VERSION": "1.2"},
			want: []string{
				"--webhook-port, TLS_MIN_VERSION, --enable-http2: no effect without --enable-webhook",
			},
		},
		{
			name: "without TLS", args: append(enabled, "--tlsciphers="+suite),
			environment: map[string]string{"DISABLE_TLS": "true"},
			want:        []string{"--tlsciphers: no effect with DISABLE_TLS"},
		},
		{
			name: "ciphers with TLS 1.3", args: append(enabled, "--tlsciphers="+suite),
			want: []string{"--tlsciphers has no effect, since the suites of TLS 1.3 can't be chosen and " +
				"--tlsminversion admits nothing below"},
		},
	} {
		o, _, err := parseIn(test.environment, append(slices.Clip(test.args), certFileArgs...)...)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if diff := cmp.Diff(test.want, o.Warnings()); diff != "" {
			t.Errorf("%s: warnings (-want +got):\n%s", test.name, diff)
		}
	}
}
