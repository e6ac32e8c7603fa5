// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
)

// asTheEndpointsDo is the policy in docs/policies.md, which requires for an object the same RBAC permissions as the
// endpoints by target and by source.
const asTheEndpointsDo = `
  variables:
  - name: resource
    expression: >-
      !has(object.spec.target) ? 'webhooksources' :
      object.spec.target.kind == 'GatewaySync' ? 'gatewaysyncs' : 'applications'
  - name: name
    expression: "has(object.spec.target) ? object.spec.target.name : object.spec.source"
  validations:
  - expression: >-
      authorizer.group('postern.dev').resource(variables.resource).subresource('webhookdeliveries')
      .namespace(object.metadata.namespace).name(variables.name).check('create').allowed()
    messageExpression: >-
      'the sender must be allowed to create ' + variables.resource + '/webhookdeliveries named ' + variables.name
    reason: Forbidden
`

func TestAdmission_PolicyLimitsTargetsOfSender(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.gatewaySync("other")
	w.application("shop", nil)
	user, ci := w.releaser("web")
	w.Grant(rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: w.Namespace, Name: "releaser"}, "create",
		"webhookdeliveries")
	w.policy("ValidatingAdmissionPolicy", asTheEndpointsDo, "validationActions: [Deny]")
	create := []string{"create", "--filename=-", "--dry-run=server", "--as=" + user}
	missing := "the sender must be allowed to create "
	w.eventually(func() error {
		got, err := ci.post(t.Context(), "webhookdeliveries"+dryRun,
			[]byte(`{"apiVersion": "postern.dev/v1alpha1", "kind": "WebhookDelivery",
			"metadata": {"name": "d"}, "spec": {"target": {"kind": "GatewaySync", "name": "other"}, "ref": "v1"}}`),
			nil)
		if err == nil {
			err = answeredWith(http.StatusForbidden)(got)
		}
		return err
	})

	for spec, what := range map[string]string{
		"target: {kind: GatewaySync, name: other}, ref: v1": `gatewaysyncs/webhookdeliveries named other`,
		toShop + ", ref: v1": `applications/webhookdeliveries named shop`,
		"source: quay.io, payload: {docker_url: quay.io/a/b, updated_tags: [v1], repository: a/b, " +
			"homepage: quay.io}": `webhooksources/webhookdeliveries named quay.io`,
	} {
		mustBeIn(t, w.refused(delivery("d", spec), create...), missing+what)
	}
	w.kubectl(delivery("d", toWeb+", ref: v1"), create...)
	ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusAccepted)
}
