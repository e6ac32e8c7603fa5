// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/pem"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// authoritiesModule is the module with the certificates of authorities.
const authoritiesModule = "golang.org/x/crypto/x509roots/fallback"

// authorities returns Mozilla's certificate authorities as PEM, in the version of a module, so that they do not depend
// on the machine. It omits those that Mozilla trusts only for some certificates, since a file can't express that.
func authorities() ([]byte, error) {
	var file bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&file, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return file.Bytes(), nil
}
