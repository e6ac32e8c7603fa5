// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"strings"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/payload"
)

// Endpoint is where a sender delivers: the path of a target or, without one, the path of its type.
type Endpoint struct {
	// Source is the type of sender. It may be empty if there is a target.
	Source string
	Target *v1alpha1.TargetReference
}

// ParseEndpoint parses the arguments of a command, at most one target, and its flag --source.
func ParseEndpoint(args []string, source string) (Endpoint, error) {
	endpoint := Endpoint{Source: source}
	if len(args) == 0 && source == "" {
		return Endpoint{}, errors.New("give a target as KIND/NAME, or a type of sender with --source")
	}
	if source != "" {
		if err := CheckSource(source); err != nil {
			return Endpoint{}, err
		}
	}
	if len(args) > 0 {
		target, err := ParseTarget(args[0])
		if err != nil {
			return Endpoint{}, err
		}
		endpoint.Target = &target
	}
	return endpoint, nil
}

// CheckSource returns an error if there is no such type of sender.
func CheckSource(source string) error {
	if _, known := payload.Lookup(source); !known {
		return fmt.Errorf("%s is not a type of sender: use one of %s", Quote(Printable(source)),
			strings.Join(payload.Sources(), ", "))
	}
	return nil
}

// Resource returns the resource of Postern's API and the name that the endpoint is below.
func (e Endpoint) Resource() (resource, name string) {
	if e.Target == nil {
		return "webhooksources", e.Source
	}
	return KindOf(e.Target.Kind).Resource.Resource, e.Target.Name
}

// Path returns the path of the endpoint on the kube-apiserver.
func (e Endpoint) Path(namespace string) string {
	resource, name := e.Resource()
	return fmt.Sprintf("/apis/%s/namespaces/%s/%s/%s/webhookdeliveries", v1alpha1.SchemeGroupVersion, namespace,
		resource, name)
}

// Args returns the endpoint as arguments of a command.
func (e Endpoint) Args() []string {
	var args []string
	if e.Target != nil {
		args = append(args, TargetName(e.Target.Kind, e.Target.Name))
	}
	if e.Source != "" {
		args = append(args, "--source="+e.Source)
	}
	return args
}
