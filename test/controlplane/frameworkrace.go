// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"os"
	"regexp"
	"strings"
)

// A data race in k8s.io/apiserver, pkg/server/secure_serving.go (v0.37.1, tlsConfig): it sets a field of a tls.Config
// after it started the goroutine that clones the Config. That goroutine clones only if a certificate changed in
// between. The race is harmless, because the clone does not use the field.
var (
	frameworkWrites = regexp.MustCompile(
		`(?i)write at \S+ by .*:\n\s+k8s\.io/apiserver/pkg/server\.\(\*SecureServingInfo\)\.tlsConfig\(\)`)
	frameworkReads = regexp.MustCompile(`(?i)read at \S+ by .*:\n\s+crypto/tls\.\(\*Config\)\.Clone\(\)\n.*\n\s+` +
		`k8s\.io/apiserver/pkg/server/dynamiccertificates\.\(\*DynamicServingCertificateController\)\.syncCerts\(\)`)
)

// endedByFrameworkRace reports whether that race ended a program: the last report of the race detector after an offset
// in its log is about it.
func endedByFrameworkRace(logFile string, from int64) bool {
	log, err := os.ReadFile(logFile)
	if err != nil || int64(len(log)) < from {
		return false
	}
	text := string(log[from:])
	i := strings.LastIndex(text, "WARNING: DATA RACE")
	return i >= 0 && frameworkWrites.MatchString(text[i:]) && frameworkReads.MatchString(text[i:])
}
