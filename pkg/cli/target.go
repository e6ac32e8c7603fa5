// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// Kind is a kind of target, and how clients name it.
type Kind struct {
	Kind v1alpha1.TargetKind
	// Resource is the resource of the object itself, in the API group of its owner.
	Resource schema.GroupVersionResource
	// Names are those that an argument can have, in lower case. The first one is the singular.
	Names []string
}

// Kinds are all kinds of target.
var Kinds = []Kind{
	{
		Kind:     v1alpha1.TargetGatewaySync,
		Resource: schema.GroupVersionResource{Group: "stoker.io", Version: "v1alpha1", Resource: "gatewaysyncs"},
		Names:    []string{"gatewaysync", "gatewaysyncs", "gs"},
	},
	{
		Kind:     v1alpha1.TargetApplication,
		Resource: schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"},
		Names:    []string{"application", "applications", "app", "apps"},
	},
	{
		Kind:     v1alpha1.TargetApplicationSet,
		Resource: schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applicationsets"},
		Names:    []string{"applicationset", "applicationsets", "appset", "appsets"},
	},
}

// ParseTarget parses the argument of a command that names a target, such as gatewaysync/plant or app/shop.
func ParseTarget(argument string) (v1alpha1.TargetReference, error) {
	kindName, name, found := strings.Cut(argument, "/")
	if !found {
		return v1alpha1.TargetReference{}, fmt.Errorf("%q is not a target: give it as gatewaysync/NAME, "+
			"application/NAME or applicationset/NAME", argument)
	}
	kind, err := ParseKind(kindName)
	if err != nil {
		return v1alpha1.TargetReference{}, err
	}
	if problems := content.IsPathSegmentName(name); name == "" || len(problems) > 0 {
		return v1alpha1.TargetReference{}, fmt.Errorf("%q is not the name of an object", name)
	}
	return v1alpha1.TargetReference{Kind: kind.Kind, Name: name}, nil
}

// ParseKind parses the name of a kind of target, which may be followed by a dot and its API group.
func ParseKind(argument string) (Kind, error) {
	name, group, _ := strings.Cut(strings.ToLower(argument), ".")
	for _, kind := range Kinds {
		for _, known := range kind.Names {
			if name == known && (group == "" || group == kind.Resource.Group) {
				return kind, nil
			}
		}
	}
	return Kind{}, fmt.Errorf("%q is not a kind of target: give gatewaysync, application or applicationset", argument)
}

// KindOf returns the kind with the given name. It panics for a kind that does not exist.
func KindOf(kind v1alpha1.TargetKind) Kind {
	for _, k := range Kinds {
		if k.Kind == kind {
			return k
		}
	}
	panic(fmt.Sprintf("no kind %q", kind))
}
