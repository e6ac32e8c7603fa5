// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"postern.dev/postern/apis/postern"
)

// rule is a change of a valid delivery, and the expected errors as "path: type".
type rule struct {
	change func(*postern.WebhookDelivery)
	want   []string
}

// sent returns a delivery as a client may send it.
func sent() *postern.WebhookDelivery {
	return &postern.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "release"},
		Spec: postern.WebhookDeliverySpec{
			Source:  "github",
			Target:  &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: "plant"},
			Payload: &postern.JSON{Raw: []byte(`{"ref":"main"}`)},
			Headers: map[string]string{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=00"},
			Events:  []postern.DeliveryEvent{},
		},
	}
}

// received returns a delivery as it is passed to admission and to storage.
func received() *postern.WebhookDelivery {
	d := sent()
	d.Spec.Payload = nil
	d.Spec.Headers = map[string]string{"X-Github-Event": "push"}
	d.Spec.Events = []postern.DeliveryEvent{
		{Source: "github", Event: "push", Ref: "main", RefType: postern.RefTypeBranch},
		{Source: "github", Event: "push", Ref: "v2.0.0"},
	}
	d.Status.Sender = &postern.Sender{Name: "system:anonymous", Method: "HMAC"}
	return d
}

// check compares the errors with the expected ones, in any order.
func check(t *testing.T, got field.ErrorList, want []string) {
	t.Helper()
	gotCounts := map[string]int{}
	for _, err := range got {
		gotCounts[fmt.Sprintf("%s: %s", err.Field, err.Type)]++
	}
	wantCounts := map[string]int{}
	for _, line := range want {
		wantCounts[line]++
	}
	if diff := cmp.Diff(wantCounts, gotCounts); diff != "" {
		t.Errorf("errors (-want +got):\n%s%v", diff, got)
	}
}
