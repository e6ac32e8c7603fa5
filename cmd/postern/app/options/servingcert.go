// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package options

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

// ServingCert are the flags for the serving certificate.
type ServingCert struct {
	Service                  servingcert.Service
	CASecretName             string
	CAValidity, LeafValidity time.Duration
}

func newServingCert(namespace string) ServingCert {
	return ServingCert{
		Service:      servingcert.Service{Namespace: namespace, Name: "postern"},
		CASecretName: "postern-ca",
		CAValidity:   servingcert.DefaultCAValidity,
		LeafValidity: servingcert.DefaultLeafValidity,
	}
}

// ownNamespace returns the namespace of this process, or postern-system if it can't be determined.
func ownNamespace() string {
	contents, _ := os.ReadFile(namespaceFile) // absent outside a cluster
	return cmp.Or(os.Getenv("POD_NAMESPACE"), strings.TrimSpace(string(contents)), "postern-system")
}

func (c *ServingCert) addFlags(sets *cliflag.NamedFlagSets) {
	fs := sets.FlagSet("serving")
	fs.Lookup("tls-cert-file").Usage = "File with the serving certificate, followed by its intermediates. It is " +
		"reloaded when it changes; Postern then does not manage the caBundle of the APIService. If empty, Postern " +
		"manages its own certificates."
	_ = fs.MarkHidden("cert-dir") // never written to

	fs = sets.FlagSet("managed certificates")
	fs.StringVar(&c.Service.Name, "service-name", c.Service.Name, "Name of Postern's Service.")
	fs.StringVar(&c.Service.Namespace, "service-namespace", c.Service.Namespace,
		"Namespace of that Service and of the CA's Secret. The default is $POD_NAMESPACE, the namespace of the Pod "+
			"if that is empty, or postern-system.")
	fs.StringVar(&c.CASecretName, "ca-secret-name", c.CASecretName,
		"Name of the Secret with the CA of the serving certificates.")

	fs.DurationVar(&c.CAValidity, "ca-validity", c.CAValidity, "How long a CA is valid.")
	fs.DurationVar(&c.LeafValidity, "serving-cert-validity", c.LeafValidity, "How long a serving certificate is valid.")
	for _, forTests := range []string{"ca-validity", "serving-cert-validity"} {
		_ = fs.MarkHidden(forTests)
	}
}

func (c *ServingCert) validate() []error {
	var errs []error
	for _, name := range []struct {
		flag, value string
		check       func(string) []string
	}{
		{"--service-name", c.Service.Name, validation.IsDNS1035Label},
		{"--service-namespace", c.Service.Namespace, validation.IsDNS1123Label},
		{"--ca-secret-name", c.CASecretName, validation.IsDNS1123Subdomain},
	} {
		if msgs := name.check(name.value); len(msgs) > 0 {
			errs = append(errs, fmt.Errorf("%s is %q: %s", name.flag, name.value, strings.Join(msgs, "; ")))
		}
	}
	if c.LeafValidity < minLeafValidity || c.CAValidity < 2*c.LeafValidity {
		errs = append(errs, fmt.Errorf("--serving-cert-validity is %s: it must be at least %s, and --ca-validity at "+
			"least twice as long",
			c.LeafValidity, minLeafValidity))
	}
	return errs
}

// ManagesServingCert reports whether Postern creates its own serving certificates.
func (o *Options) ManagesServingCert() bool {
	files := o.Recommended.SecureServing.ServerCert.CertKey
	return files.CertFile == "" && files.KeyFile == ""
}

func (o *Options) validateServingCert() []error {
	if o.ManagesServingCert() {
		return o.ServingCert.validate()
	}
	if files := o.Recommended.SecureServing.ServerCert.CertKey; files.CertFile == "" || files.KeyFile == "" {
		return []error{errors.New("give both --tls-cert-file and --tls-private-key-file, with a certificate for " +
			"<service>.<namespace>.svc; or give neither, and Postern manages its own certificates")}
	}
	return nil
}
