// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	cliflag "k8s.io/component-base/cli/flag"

	"postern.dev/postern/pkg/receiver"
)

const (
	maxPort = 65535

	// defaultReceiverCertFile and defaultReceiverKeyFile are where the manifests mount the receiver's Secret.
	defaultReceiverCertFile = "/etc/postern/receiver-tls/tls.crt"
	defaultReceiverKeyFile  = "/etc/postern/receiver-tls/tls.key"
)

// webhook are the flags of the classic receiver. Some of the strings are parsed later; see validate.
type webhook struct {
	enabled     bool
	bindAddress net.IP
	port        int
	namespaces  string
	rate        string

	disableTLS, enableHTTP2                  bool
	minTLSVersion, maxTLSVersion, tlsCiphers string
	certFile, keyFile                        string
}

func newWebhook() webhook {
	return webhook{
		bindAddress: net.IPv4zero, port: 8082, rate: "0",
		minTLSVersion: defaultTLSVersion, maxTLSVersion: defaultTLSVersion,
		certFile: defaultReceiverCertFile, keyFile: defaultReceiverKeyFile,
	}
}

const defaultTLSVersion = "1.3"

func (w *webhook) addFlags(sets *cliflag.NamedFlagSets) {
	fs := sets.FlagSet("classic receiver")
	fs.BoolVar(&w.enabled, "enable-webhook", w.enabled,
		"Also serve the classic receiver: POST /webhook/NAMESPACE/NAME and POST /webhook?type=TYPE on a separate "+
			"port, for senders that can't reach the kube-apiserver. It is protected only by webhook secrets, not by "+
			"RBAC.")
	fs.IPVar(&w.bindAddress, "webhook-bind-address", w.bindAddress, "The IP address on which the receiver listens.")
	fs.IntVar(&w.port, "webhook-port", w.port,
		fmt.Sprintf("The port on which the receiver listens, from 0 to %d. 0 picks a free port, which is logged.",
			maxPort))
	fs.StringVar(&w.namespaces, "webhook-namespaces", w.namespaces,
		"The namespaces that the receiver may act on, separated by commas, or * for all. Required with "+
			"--enable-webhook.")
	fs.StringVar(&w.rate, "webhook-ratelimit-allowed", w.rate,
		"The maximum rate of requests to the receiver: requests per hour, or N/s, N/m or N/h; 0 means no limit. "+
			"Further requests wait up to ten seconds, and are then answered 429.")
	fs.BoolVar(&w.disableTLS, "disable-tls", w.disableTLS,
		"Serve the receiver over plain HTTP. Only behind a proxy that terminates TLS: otherwise secrets are sent in "+
			"clear text.")
	fs.StringVar(&w.certFile, "webhook-tls-cert-file", w.certFile,
		"The certificate of the receiver, followed by its intermediates, in PEM. It is reloaded when it changes. "+
			"While it or its key is absent or empty, the receiver uses a self-signed certificate.")
	fs.StringVar(&w.keyFile, "webhook-tls-private-key-file", w.keyFile,
		"The private key of --webhook-tls-cert-file, in PEM.")
	fs.StringVar(&w.minTLSVersion, "tlsminversion", w.minTLSVersion,
		"The minimum version of TLS of the receiver: 1.1, 1.2 or 1.3.")
	fs.StringVar(&w.maxTLSVersion, "tlsmaxversion", w.maxTLSVersion,
		"The maximum version of TLS of the receiver: 1.1, 1.2 or 1.3.")
	fs.StringVar(&w.tlsCiphers, "tlsciphers", w.tlsCiphers,
		"The cipher suites of the receiver up to TLS 1.2, by their names in Go, separated by colons; empty for Go's "+
			"defaults. Each must work with --tlsminversion. The suites of TLS 1.3 can't be chosen.")
	fs.BoolVar(&w.enableHTTP2, "enable-http2", w.enableHTTP2, "Enable HTTP/2 for the receiver.")
}

func (w *webhook) address() string {
	return net.JoinHostPort(w.bindAddress.String(), strconv.Itoa(w.port))
}

// tls returns the TLS settings. An empty version means the default, because a ConfigMap may have an empty value.
func (w *webhook) tls(g explicitSettings) (receiver.TLSOptions, error) {
	options := receiver.TLSOptions{HTTP2: w.enableHTTP2, CertFile: w.certFile, KeyFile: w.keyFile}
	var errs []error
	parse := func(flag, text string) uint16 {
		if strings.TrimSpace(text) == "" {
			text = defaultTLSVersion
		}
		version, err := receiver.ParseTLSVersion(text)
		errs = appendNamed(errs, g.name(flag), err)
		return version
	}
	options.MinVersion, options.MaxVersion = parse("tlsminversion", w.minTLSVersion),
		parse("tlsmaxversion", w.maxTLSVersion)
	var err error
	options.CipherSuites, err = receiver.ParseCipherSuites(w.tlsCiphers)
	errs = appendNamed(errs, g.name("tlsciphers"), err)
	if len(errs) == 0 {
		errs = appendAll(errs, options.Validate())
	}
	return options, errors.Join(errs...)
}

// validate returns all errors, with the names by which the settings were given. The values are checked even if the
// receiver is disabled.
func (w *webhook) validate(g explicitSettings, securePort int) []error {
	var errs []error
	if w.port < 0 || w.port > maxPort {
		errs = append(errs, fmt.Errorf("%s is %d: it must be from 0 to %d", g.name("webhook-port"), w.port, maxPort))
	}
	if w.enabled && w.port == securePort && w.port != 0 {
		errs = append(errs, fmt.Errorf("%s is %d, and so is --secure-port: give each server its own port",
			g.name("webhook-port"), w.port))
	}
	_, err := receiver.ParseRate(w.rate)
	errs = appendNamed(errs, g.name("webhook-ratelimit-allowed"), err)
	_, err = w.tls(g)
	errs = appendAll(errs, err)
	if (w.certFile == "") != (w.keyFile == "") {
		errs = append(errs, errors.New("give both --webhook-tls-cert-file and --webhook-tls-private-key-file, or "+
			"leave both empty for a self-signed certificate"))
	}
	return append(errs, w.validateNamespaces(g)...)
}

func (w *webhook) validateNamespaces(g explicitSettings) []error {
	if w.namespaces == "" {
		if !w.enabled {
			return nil
		}
		return []error{fmt.Errorf("%s needs --webhook-namespaces (WEBHOOK_NAMESPACES): name the namespaces that the "+
			"receiver may act on, as in --webhook-namespaces=shop,plant; with --webhook-namespaces=* a default "+
			"secret is valid for all namespaces", g.name("enable-webhook"))}
	}
	_, err := receiver.ParseNamespaces(w.namespaces)
	return appendNamed(nil, g.name("webhook-namespaces"), err)
}

// warnings returns the settings without effect. The flags must be valid.
func (w *webhook) warnings(g explicitSettings) []string {
	var warnings []string
	warn := func(names []string, why string) {
		if len(names) > 0 {
			warnings = append(warnings, strings.Join(names, ", ")+": no effect "+why)
		}
	}
	tlsFlags := []string{
		"tlsminversion", "tlsmaxversion", "tlsciphers", "enable-http2", "webhook-tls-cert-file",
		"webhook-tls-private-key-file",
	}
	switch {
	case !w.enabled:
		others := []string{"webhook-bind-address", "webhook-port", "webhook-namespaces", "webhook-ratelimit-allowed",
			"disable-tls"}
		warn(g.explicit(append(others, tlsFlags...)...), "without --enable-webhook")
	case w.disableTLS:
		warn(g.explicit(tlsFlags...), "with "+g.name("disable-tls"))
	default:
		if options, err := w.tls(g); err == nil {
			warnings = append(warnings, options.Warnings()...)
		}
	}
	return warnings
}

// appendNamed appends the errors of a setting, prefixed with its name.
func appendNamed(errs []error, name string, err error) []error {
	for _, e := range appendAll(nil, err) {
		errs = append(errs, fmt.Errorf("%s: %w", name, e))
	}
	return errs
}

// appendAll appends err, or each of the errors that it joins.
func appendAll(errs []error, err error) []error {
	var joined interface{ Unwrap() []error }
	switch {
	case err == nil:
		return errs
	case errors.As(err, &joined):
		return append(errs, joined.Unwrap()...)
	}
	return append(errs, err)
}
