// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	cliflag "k8s.io/component-base/cli/flag"

	"postern.dev/postern/pkg/servingcert"
)

const (
	// namespaceFile has the namespace of a Pod, next to the token of its ServiceAccount.
	//
	// Source: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
	namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

	// minLeafValidity leaves time to replace a leaf by one whose CA must be trusted first.
	minLeafValidity = 5 * time.Second
)

// certificates are the flags for the serving certificate.
type certificates struct {
	service                  servingcert.Service
	caSecretName             string
	caValidity, leafValidity time.Duration
}

func newCertificates(namespace string) certificates {
	return certificates{
		service:      servingcert.Service{Namespace: namespace, Name: "postern"},
		caSecretName: "postern-ca",
		caValidity:   servingcert.DefaultCAValidity,
		leafValidity: servingcert.DefaultLeafValidity,
	}
}

// ownNamespace returns the namespace of this process, or postern-system if it can't be determined.
func ownNamespace() string {
	contents, _ := os.ReadFile(namespaceFile) // absent outside a cluster
	return cmp.Or(os.Getenv("POD_NAMESPACE"), strings.TrimSpace(string(contents)), "postern-system")
}

func (c *certificates) addFlags(sets *cliflag.NamedFlagSets) {
	fs := sets.FlagSet("serving")
	fs.Lookup("tls-cert-file").Usage = "File with the serving certificate, followed by its intermediates. It is " +
		"reloaded when it changes; Postern then does not manage the caBundle of the APIService. If empty, Postern " +
		"manages its own certificates."
	_ = fs.MarkHidden("cert-dir") // never written to

	fs = sets.FlagSet("managed certificates")
	fs.StringVar(&c.service.Name, "service-name", c.service.Name, "Name of Postern's Service.")
	fs.StringVar(&c.service.Namespace, "service-namespace", c.service.Namespace,
		"Namespace of that Service and of the CA's Secret. The default is $POD_NAMESPACE, the namespace of the Pod "+
			"if that is empty, or postern-system.")
	fs.StringVar(&c.caSecretName, "ca-secret-name", c.caSecretName,
		"Name of the Secret with the CA of the serving certificates.")

	fs.DurationVar(&c.caValidity, "ca-validity", c.caValidity, "How long a CA is valid.")
	fs.DurationVar(&c.leafValidity, "serving-cert-validity", c.leafValidity, "How long a serving certificate is valid.")
	for _, forTests := range []string{"ca-validity", "serving-cert-validity"} {
		_ = fs.MarkHidden(forTests)
	}
}

func (c *certificates) validate() []error {
	var errs []error
	for _, name := range []struct {
		flag, value string
		check       func(string) []string
	}{
		{"--service-name", c.service.Name, validation.IsDNS1035Label},
		{"--service-namespace", c.service.Namespace, validation.IsDNS1123Label},
		{"--ca-secret-name", c.caSecretName, validation.IsDNS1123Subdomain},
	} {
		if msgs := name.check(name.value); len(msgs) > 0 {
			errs = append(errs, fmt.Errorf("%s is %q: %s", name.flag, name.value, strings.Join(msgs, "; ")))
		}
	}
	if c.leafValidity < minLeafValidity || c.caValidity < 2*c.leafValidity {
		errs = append(errs, fmt.Errorf("--serving-cert-validity is %s: it must be at least %s, and --ca-validity at "+
			"least twice as long",
			c.leafValidity, minLeafValidity))
	}
	return errs
}

// managesCertificates reports whether Postern creates its own serving certificates.
func (o *options) managesCertificates() bool {
	files := o.recommended.SecureServing.ServerCert.CertKey
	return files.CertFile == "" && files.KeyFile == ""
}

func (o *options) validateCertificates() []error {
	if o.managesCertificates() {
		return o.certificates.validate()
	}
	if files := o.recommended.SecureServing.ServerCert.CertKey; files.CertFile == "" || files.KeyFile == "" {
		return []error{errors.New("give both --tls-cert-file and --tls-private-key-file, with a certificate for " +
			"<service>.<namespace>.svc; or give neither, and Postern manages its own certificates")}
	}
	return nil
}
