// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"errors"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/deliver/script"
	"postern.dev/postern/test/testcluster"
)

// A job that the cluster does not know, whose token Postern verifies, follows its delivery like others.
func TestDeliver_OIDCToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issuer := testcluster.NewIssuer(t, "https://issuer.example.com")
	w.SetWebhookSecrets(map[string]string{"oidc": issuer.Configuration("postern")})
	w.Grant(testcluster.Unauthenticated, "create", "gatewaysyncs/webhookdeliveries", "plant")
	token := []string{"POSTERN_OIDC", "postern", "POSTERN_TOKEN", issuer.Token("postern", "kim", nil)}
	w.Eventually(testcluster.Patience, func() error { // the permission and the Secret are in effect
		if got, _ := w.deliver("v1.0.0", token...); got.Code != script.Applied {
			return errors.New(got.String())
		}
		return nil
	})
	mend := w.breakOff()
	ended := w.start("v1.4.0", token...)
	pending := w.untilRecorded("v1.4.0", v1alpha1.DeliveryPending)
	mend()
	got, outputs := ended()
	want(t, got, outputs, script.Applied, "Applied")
	if outputs["name"] != pending.Name || w.requested() != "v1.4.0" {
		t.Errorf("the outputs are %q; the GatewaySync has %q", outputs, w.requested())
	}
	if sender := w.untilRecorded("v1.4.0", v1alpha1.DeliveryApplied).Status.Sender; sender.Method != "OIDC" {
		t.Errorf("the sender is %+v", sender)
	}
	got, outputs = w.deliver("v2.0.0", "POSTERN_OIDC", "postern", "POSTERN_TOKEN", issuer.Token("other", "kim", nil))
	want(t, got, outputs, script.Refused, "")
}
