// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"crypto/x509"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// Values of the metric's label.
const (
	caCertificate      = "ca"
	servingCertificate = "serving"
	// receiverCertificate is that of the classic receiver.
	receiverCertificate = "receiver"
)

var expirations = metrics.NewGaugeVec(&metrics.GaugeOpts{
	Namespace: "postern", Name: "certificate_expiration_timestamp_seconds", StabilityLevel: metrics.BETA,
	Help: "When the certificates that this replica serves with, and the authority that signs its own, expire, in seconds since 1970.",
}, []string{"certificate"})

// RegisterMetrics makes /metrics show the metrics of this package. Until then they count nothing.
func RegisterMetrics() { legacyregistry.MustRegister(expirations) }

func recordExpiration(which string, certificate *x509.Certificate) {
	expirations.WithLabelValues(which).Set(float64(certificate.NotAfter.Unix()))
}

// ObserveReceiver makes the metrics tell of the certificate that the classic receiver shows.
func ObserveReceiver(certificate *x509.Certificate) {
	recordExpiration(receiverCertificate, certificate)
}

// ObserveServing makes the metrics tell of a certificate that comes from somewhere else, and of each that takes its place.
func ObserveServing(provider dynamiccertificates.CertKeyContentProvider) {
	observer := observer{provider}
	provider.AddListener(observer)
	observer.Enqueue()
}

type observer struct {
	provider dynamiccertificates.CertKeyContentProvider
}

// Enqueue is called when there is another certificate.
func (o observer) Enqueue() {
	text, _ := o.provider.CurrentCertKeyContent()
	if certificates := parse(text); len(certificates) > 0 {
		recordExpiration(servingCertificate, certificates[0])
	}
}
