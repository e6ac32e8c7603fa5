// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"
)

// kind is a kind of object that is delivered to.
type kind struct {
	name, plural, groupVersion string
	// object returns a new one as a user would create it, and status what its controller writes afterwards. That is part
	// of the object if the kind has no status subresource.
	object            func(name string, number int) map[string]any
	status            func(name string) map[string]any
	statusSubresource bool
	// annotations are those that Postern writes when a ref is requested.
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
					"postern.dev/requested-ref": ref, "postern.dev/requested-at": now, "postern.dev/requested-by": "generic",
					"argocd.argoproj.io/refresh": "normal", "argocd.argoproj.io/refresh-timestamp": now,
				}
			},
		},
	}
}

// collection is the path of all objects of the kind.
func (k kind) collection() string {
	return fmt.Sprintf("/apis/%s/namespaces/%s/%s", k.groupVersion, namespace, k.plural)
}

// path is that of one object.
func (k kind) path(name string) string { return k.collection() + "/" + name }

// deliverPath is where webhooks for one object are delivered.
func (k kind) deliverPath(name string) string {
	return fmt.Sprintf("/apis/postern.dev/v1alpha1/namespaces/%s/%s/%s/webhookdeliveries", namespace, k.plural, name)
}

// nameOf is the name of the object of that number. Both sides change objects that are made alike, but not the same ones,
// so that neither meets what the other has left.
func nameOf(number int) string { return fmt.Sprintf("shop-%d", number) }

func timestamp() string { return time.Now().UTC().Format(time.RFC3339Nano) }
