// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"
)

// kind is a kind of target.
type kind struct {
	name, plural, groupVersion string
	// object returns a new object as a user creates it. status is what its controller writes later; it is part of the
	// object if the kind has no status subresource.
	object            func(name string, number int) map[string]any
	status            func(name string) map[string]any
	statusSubresource bool
	// annotations are the annotations that Postern writes for a requested ref.
	annotations func(ref, now string) map[string]string
}

func kinds() []kind {
	return []kind{
		{
			name: "GatewaySync", plural: "gatewaysyncs", groupVersion: "stoker.io/v1alpha1",
			object: gatewaySync, status: gatewaySyncStatus, statusSubresource: true,
			annotations: func(ref, now string) map[string]string {
				return map[string]string{
					"stoker.io/requested-ref": ref, "stoker.io/requested-at": now, "stoker.io/requested-by": "generic",
				}
			},
		},
		{
			name: "Application", plural: "applications", groupVersion: "argoproj.io/v1alpha1",
			object: application, status: applicationStatus,
			annotations: func(ref, now string) map[string]string {
				return map[string]string{
					"postern.dev/requested-ref": ref, "postern.dev/requested-at": now,
					"postern.dev/requested-by":   "generic",
					"argocd.argoproj.io/refresh": "normal", "argocd.argoproj.io/refresh-timestamp": now,
				}
			},
		},
	}
}

// collection returns the path of all objects of the kind.
func (k kind) collection() string {
	return fmt.Sprintf("/apis/%s/namespaces/%s/%s", k.groupVersion, namespace, k.plural)
}

// path returns the path of one object.
func (k kind) path(name string) string { return k.collection() + "/" + name }

func (k kind) deliverPath(name string) string {
	return fmt.Sprintf("/apis/postern.dev/v1alpha1/namespaces/%s/%s/%s/webhookdeliveries", namespace, k.plural, name)
}

// sourcePath is the path for deliveries of a type of sender to all objects that match.
func sourcePath(source string) string {
	return "/apis/postern.dev/v1alpha1/namespaces/" + namespace + "/webhooksources/" + source + "/webhookdeliveries"
}

// nameOf returns the name of an object. Both sides change objects that are created alike, but not the same ones, so
// that neither affects the other.
func nameOf(number int) string { return fmt.Sprintf("shop-%d", number) }

func timestamp() string { return time.Now().UTC().Format(time.RFC3339Nano) }
