// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/receiver"
)

// files are what is read before anything is started, so that a mistake in it shows at once.
type files struct {
	// secrets have the default ones; those of namespaces come later.
	secrets  *credential.Secrets
	defaults *credential.Defaults
	// certificates are the receiver's, nil if it needs none.
	certificates *receiver.Certificates
}

func readFiles(o *options) (*files, error) {
	f := &files{secrets: &credential.Secrets{}}
	var err, certificatesErr error
	f.defaults, err = credential.NewDefaults(o.defaultSecrets.source(), f.secrets)
	if o.webhook.enabled && !o.webhook.disableTLS {
		f.certificates, certificatesErr = o.webhook.loadCertificates(o.given)
	}
	return f, errors.Join(err, certificatesErr)
}

func (w *webhook) loadCertificates(g given) (*receiver.Certificates, error) {
	options, err := w.tls(g)
	if err != nil {
		return nil, err
	}
	return receiver.LoadCertificates(options)
}
