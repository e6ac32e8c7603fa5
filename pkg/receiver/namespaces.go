// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// allNamespaces selects all namespaces.
const allNamespaces = "*"

// Namespaces is the set of namespaces that webhooks may act on. The zero value is empty.
type Namespaces struct {
	all   bool
	names []string // sorted, each once
}

// ParseNamespaces parses names separated by commas, or "*" for all namespaces. The error lists all problems.
func ParseNamespaces(text string) (Namespaces, error) {
	if strings.TrimSpace(text) == allNamespaces {
		return Namespaces{all: true}, nil
	}
	var names []string
	var errs []error
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		switch problems := validation.IsDNS1123Label(name); {
		case name == "":
			errs = append(errs, errors.New("a namespace name is empty"))
		case name == allNamespaces:
			errs = append(errs, errors.New("* means all namespaces and must be given alone"))
		case len(problems) > 0:
			errs = append(errs, fmt.Errorf("%q is not a valid namespace name: %s", name, strings.Join(problems, ", ")))
		default:
			names = append(names, name)
		}
	}
	if len(errs) > 0 {
		return Namespaces{}, errors.Join(errs...)
	}
	slices.Sort(names)
	return Namespaces{names: slices.Compact(names)}, nil
}

// String returns the namespaces in the format of ParseNamespaces.
func (n Namespaces) String() string {
	if n.all {
		return allNamespaces
	}
	return strings.Join(n.names, ",")
}

// Allow reports whether webhooks may act on a namespace.
func (n Namespaces) Allow(name string) bool {
	return n.all || slices.Contains(n.names, name)
}
