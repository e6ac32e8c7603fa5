// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"crypto/x509"
	"time"
)

const (
	// DefaultCAValidity is how long a certificate authority is valid. It is renewed without anybody noticing, so it need
	// not outlast the cluster: a stolen key ends within the year, and renewal is something that is seen to work. It is long
	// enough for a cluster that is switched off for a season.
	DefaultCAValidity = 365 * 24 * time.Hour

	// DefaultLeafValidity is how long a serving certificate is valid. Renewing one asks nobody but this process, so it can
	// be short; and it is for so long that an authority is trusted after another has taken its place.
	DefaultLeafValidity = 24 * time.Hour

	// maxBackdate is by how much the clocks of replicas and of the kube-apiserver may differ.
	maxBackdate = 5 * time.Minute
)

// backdate is how long before it is made a certificate begins to be valid.
func backdate(validity time.Duration) time.Duration { return min(maxBackdate, validity/10) }

// renewAt is when two thirds of a certificate's life are over.
func renewAt(certificate *x509.Certificate) time.Time {
	return certificate.NotAfter.Add(-certificate.NotAfter.Sub(certificate.NotBefore) / 3)
}

// isOver reports whether a certificate has expired.
func isOver(certificate *x509.Certificate, now time.Time) bool {
	return now.After(certificate.NotAfter)
}
