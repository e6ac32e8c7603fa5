// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package options

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
	maxPort           = 65535
	defaultTLSVersion = "1.3"

	// defaultReceiverCertFile and defaultReceiverKeyFile are where the manifests mount the receiver's Secret.
	defaultReceiverCertFile = "/etc/postern/receiver-tls/tls.crt"
	defaultReceiverKeyFile  = "/etc/postern/receiver-tls/tls.key"
)

// Receiver are the flags of the classic receiver. ReceiverConfig parses the strings.
type Receiver struct {
	Enabled     bool
	BindAddress net.IP
	Port        int
	Namespaces  string
	Rate        string

	DisableTLS, EnableHTTP2                  bool
	MinTLSVersion, MaxTLSVersion, TLSCiphers string
	CertFile, KeyFile                        string
}

// ReceiverConfig has the parsed flags of the classic receiver.
type ReceiverConfig struct {
	TLS        receiver.TLSOptions
	Rate       receiver.Rate
	Namespaces receiver.Namespaces
}

func newReceiver() Receiver {
	return Receiver{
		BindAddress: net.IPv4zero, Port: 8082, Rate: "0",
		MinTLSVersion: defaultTLSVersion, MaxTLSVersion: defaultTLSVersion,
		CertFile: defaultReceiverCertFile, KeyFile: defaultReceiverKeyFile,
	}
}

func (r *Receiver) addFlags(sets *cliflag.NamedFlagSets) {
	fs := sets.FlagSet("classic receiver")
	fs.BoolVar(&r.Enabled, "enable-webhook", r.Enabled,
		"Also serve the classic receiver: POST /webhook/NAMESPACE/NAME and POST /webhook?type=TYPE on a separate "+
			"port, for senders that can't reach the kube-apiserver. It is protected only by webhook secrets, not by "+
			"RBAC.")
	fs.IPVar(&r.BindAddress, "webhook-bind-address", r.BindAddress, "The IP address on which the receiver listens.")
	fs.IntVar(&r.Port, "webhook-port", r.Port,
		fmt.Sprintf("The port on which the receiver listens, from 0 to %d. 0 picks a free port, which is logged.",
			maxPort))
	fs.StringVar(&r.Namespaces, "webhook-namespaces", r.Namespaces,
		"The namespaces that the receiver may act on, separated by commas, or * for all. Required with "+
			"--enable-webhook.")
	fs.StringVar(&r.Rate, "webhook-ratelimit-allowed", r.Rate,
		"The maximum rate of requests to the receiver: requests per hour, or N/s, N/m or N/h; 0 means no limit. "+
			"Further requests wait up to ten seconds, and are then answered 429.")
	fs.BoolVar(&r.DisableTLS, "disable-tls", r.DisableTLS,
		"Serve the receiver over plain HTTP. Only behind a proxy that terminates TLS: otherwise secrets are sent in "+
			"clear text.")
	fs.StringVar(&r.CertFile, "webhook-tls-cert-file", r.CertFile,
		"The certificate of the receiver, followed by its intermediates, in PEM. It is reloaded when it changes. "+
			"While it or its key is absent or empty, the receiver uses a self-signed certificate.")
	fs.StringVar(&r.KeyFile, "webhook-tls-private-key-file", r.KeyFile,
		"The private key of --webhook-tls-cert-file, in PEM.")
	fs.StringVar(&r.MinTLSVersion, "tlsminversion", r.MinTLSVersion,
		"The minimum version of TLS of the receiver: 1.1, 1.2 or 1.3.")
	fs.StringVar(&r.MaxTLSVersion, "tlsmaxversion", r.MaxTLSVersion,
		"The maximum version of TLS of the receiver: 1.1, 1.2 or 1.3.")
	fs.StringVar(&r.TLSCiphers, "tlsciphers", r.TLSCiphers,
		"The cipher suites of the receiver up to TLS 1.2, by their names in Go, separated by colons; empty for Go's "+
			"defaults. Each must work with --tlsminversion. The suites of TLS 1.3 can't be chosen.")
	fs.BoolVar(&r.EnableHTTP2, "enable-http2", r.EnableHTTP2, "Enable HTTP/2 for the receiver.")
}

// Address returns the host and port to listen on.
func (r *Receiver) Address() string {
	return net.JoinHostPort(r.BindAddress.String(), strconv.Itoa(r.Port))
}

// ReceiverConfig parses the flags of the receiver. The error has all problems, with the names by which the settings
// were given. Without --enable-webhook the namespaces may be empty.
func (o *Options) ReceiverConfig() (ReceiverConfig, error) {
	var config ReceiverConfig
	var rateErr, tlsErr error
	r := &o.Receiver
	config.Rate, rateErr = receiver.ParseRate(r.Rate)
	errs := appendNamed(nil, o.explicit.name("webhook-ratelimit-allowed"), rateErr)
	config.TLS, tlsErr = r.tls(o.explicit)
	errs = appendAll(errs, tlsErr)
	switch {
	case r.Namespaces != "":
		var err error
		config.Namespaces, err = receiver.ParseNamespaces(r.Namespaces)
		errs = appendNamed(errs, o.explicit.name("webhook-namespaces"), err)
	case r.Enabled:
		errs = append(errs, fmt.Errorf("%s needs --webhook-namespaces (WEBHOOK_NAMESPACES): name the namespaces that "+
			"the receiver may act on, as in --webhook-namespaces=shop,plant; with --webhook-namespaces=* a default "+
			"secret is valid for all namespaces", o.explicit.name("enable-webhook")))
	}
	return config, errors.Join(errs...)
}

// tls returns the TLS settings. An empty version means the default, because a ConfigMap may have an empty value.
func (r *Receiver) tls(e explicitSettings) (receiver.TLSOptions, error) {
	options := receiver.TLSOptions{HTTP2: r.EnableHTTP2, CertFile: r.CertFile, KeyFile: r.KeyFile}
	var errs []error
	parse := func(flag, text string) uint16 {
		if strings.TrimSpace(text) == "" {
			text = defaultTLSVersion
		}
		version, err := receiver.ParseTLSVersion(text)
		errs = appendNamed(errs, e.name(flag), err)
		return version
	}
	options.MinVersion, options.MaxVersion = parse("tlsminversion", r.MinTLSVersion),
		parse("tlsmaxversion", r.MaxTLSVersion)
	var err error
	options.CipherSuites, err = receiver.ParseCipherSuites(r.TLSCiphers)
	errs = appendNamed(errs, e.name("tlsciphers"), err)
	if len(errs) == 0 {
		errs = appendAll(errs, options.Validate())
	}
	return options, errors.Join(errs...)
}

// validateReceiver returns all errors, also if the receiver is disabled.
func (o *Options) validateReceiver() []error {
	r, securePort := o.Receiver, o.Recommended.SecureServing.BindPort
	errs := []error{within(o.explicit.name("webhook-port"), r.Port, 0, maxPort)}
	if r.Enabled && r.Port == securePort && r.Port != 0 {
		errs = append(errs, fmt.Errorf("%s is %d, and so is --secure-port: give each server its own port",
			o.explicit.name("webhook-port"), r.Port))
	}
	if (r.CertFile == "") != (r.KeyFile == "") {
		errs = append(errs, errors.New("give both --webhook-tls-cert-file and --webhook-tls-private-key-file, or "+
			"leave both empty for a self-signed certificate"))
	}
	_, err := o.ReceiverConfig()
	return appendAll(errs, err)
}

// warnings returns the settings without effect. The flags must be valid.
func (r *Receiver) warnings(e explicitSettings) []string {
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
	case !r.Enabled:
		others := []string{"webhook-bind-address", "webhook-port", "webhook-namespaces", "webhook-ratelimit-allowed",
			"disable-tls"}
		warn(e.explicit(append(others, tlsFlags...)...), "without --enable-webhook")
	case r.DisableTLS:
		warn(e.explicit(tlsFlags...), "with "+e.name("disable-tls"))
	default:
		if options, err := r.tls(e); err == nil {
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
