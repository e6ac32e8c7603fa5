// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"crypto/x509"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// Values of the label "certificate".
const (
	caCertificate      = "ca"
	servingCertificate = "serving"
	// receiverCertificate is the certificate of the classic receiver.
	receiverCertificate = "receiver"
)

var expirations = metrics.NewGaugeVec(&metrics.GaugeOpts{
	Namespace: "postern", Name: "certificate_expiration_timestamp_seconds", StabilityLevel: metrics.BETA,
	Help: "Expiration time of this replica's certificates, and of the certificate authority that signs its own, in " +
		"seconds since 1970.",
}, []string{"certificate"})

// RegisterMetrics registers the metrics of this package. Before, they record nothing.
func RegisterMetrics() { legacyregistry.MustRegister(expirations) }

func recordExpiration(which string, certificate *x509.Certificate) {
	expirations.WithLabelValues(which).Set(float64(certificate.NotAfter.Unix()))
}

// ObserveReceiver records the certificate of the classic receiver.
func ObserveReceiver(certificate *x509.Certificate) {
	recordExpiration(receiverCertificate, certificate)
}

// ObserveServing records a certificate that this package does not manage, now and after each change.
func ObserveServing(provider dynamiccertificates.CertKeyContentProvider) {
	observer := observer{provider}
	provider.AddListener(observer)
	observer.Enqueue()
}

type observer struct {
	provider dynamiccertificates.CertKeyContentProvider
}

// Enqueue is called after each change of the certificate.
func (o observer) Enqueue() {
	text, _ := o.provider.CurrentCertKeyContent()
	if certificates := parse(text); len(certificates) > 0 {
		recordExpiration(servingCertificate, certificates[0])
	}
}
