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
