// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// TLSOptions configures TLS of the receiver.
type TLSOptions struct {
	// MinVersion and MaxVersion bound the negotiated version, in the numbers of crypto/tls.
	MinVersion, MaxVersion uint16
	// CipherSuites are the suites offered up to TLS 1.2; none means Go's defaults. TLS 1.3 suites can't be configured.
	CipherSuites []uint16
	// HTTP2 offers HTTP/2 in addition to HTTP/1.1.
	HTTP2 bool
	// CertFile and KeyFile are the paths of the certificate chain and its key, in PEM. The files may be absent.
	CertFile, KeyFile string
}

// Validate returns an error if no server can be started with the options.
func (o TLSOptions) Validate() error {
	if o.MinVersion > o.MaxVersion {
		return fmt.Errorf(
			"the minimum version of TLS (--tlsminversion) is %s: it must not be above the maximum "+
				"(--tlsmaxversion), %s",
			versionNumber(o.MinVersion), versionNumber(o.MaxVersion))
	}
	return errors.Join(o.validateSuites(), o.validateHTTP2())
}

// validateSuites rejects suites that a client could not use with only the minimum version.
func (o TLSOptions) validateSuites() error {
	if o.ignoresSuites() {
		return nil
	}
	var errs []error
	for _, id := range o.CipherSuites {
		suite := findSuite(func(suite *tls.CipherSuite) bool { return suite.ID == id })
		if suite == nil || !slices.Contains(suite.SupportedVersions, o.MinVersion) {
			errs = append(errs, fmt.Errorf("the cipher suite %s (--tlsciphers) does not work with TLS %s, "+
				"the minimum version (--tlsminversion)", tls.CipherSuiteName(id), versionNumber(o.MinVersion)))
		}
	}
	return errors.Join(errs...)
}

// validateHTTP2 rejects options with which net/http does not start or clients fail to use HTTP/2.
// Source: RFC 9113, section 9.2.
func (o TLSOptions) validateHTTP2() error {
	if !o.HTTP2 || o.ignoresSuites() {
		return nil
	}
	if o.MaxVersion < tls.VersionTLS12 {
		return errors.New("HTTP/2 (--enable-http2) needs TLS 1.2: raise the maximum version (--tlsmaxversion)")
	}
	if len(o.CipherSuites) > 0 && !slices.Contains(o.CipherSuites, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) &&
		!slices.Contains(o.CipherSuites, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256) {
		return errors.New(
			"HTTP/2 (--enable-http2) needs the cipher suite TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or " +
				"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 (--tlsciphers)")
	}
	return nil
}

// Warnings lists the options without effect.
func (o TLSOptions) Warnings() []string {
	if len(o.CipherSuites) > 0 && o.ignoresSuites() {
		return []string{
			"--tlsciphers has no effect, since the suites of TLS 1.3 can't be chosen and --tlsminversion admits " +
				"nothing below"}
	}
	return nil
}

func (o TLSOptions) ignoresSuites() bool { return o.MinVersion >= tls.VersionTLS13 }

// config returns the TLS configuration of a server. http.Server sets the protocols.
func (o TLSOptions) config(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	config := &tls.Config{MinVersion: o.MinVersion, MaxVersion: o.MaxVersion, GetCertificate: certificate}
	if !o.ignoresSuites() {
		config.CipherSuites = o.CipherSuites
	}
	return config
}

// versionNumber formats a version as the flags do.
func versionNumber(version uint16) string {
	return fmt.Sprintf("1.%d", version-tls.VersionTLS10)
}

// ParseTLSVersion parses a version such as 1.2 or TLS1.2, like Argo CD Image Updater, which does not support TLS 1.0.
func ParseTLSVersion(name string) (uint16, error) {
	switch strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "tls") {
	case "1.1":
		return tls.VersionTLS11, nil
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("%q is not a supported TLS version: give 1.1, 1.2 or 1.3", name)
}

// ParseCipherSuites parses Go's names of cipher suites, separated by colons. It returns nil for an empty list. Suites
// that Go considers insecure are rejected.
func ParseCipherSuites(names string) ([]uint16, error) {
	var suites []uint16
	var errs []error
	for name := range strings.SplitSeq(names, ":") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		suite := findSuite(func(suite *tls.CipherSuite) bool { return suite.Name == name })
		if suite == nil {
			errs = append(errs, fmt.Errorf("%q is not a secure cipher suite: give names of "+
				"https://pkg.go.dev/crypto/tls#pkg-constants that CipherSuites returns, separated by colons", name))
			continue
		}
		suites = append(suites, suite.ID)
	}
	return suites, errors.Join(errs...)
}

// findSuite returns the secure cipher suite that matches, or nil.
func findSuite(matches func(*tls.CipherSuite) bool) *tls.CipherSuite {
	all := tls.CipherSuites()
	i := slices.IndexFunc(all, matches)
	if i < 0 {
		return nil
	}
	return all[i]
}
