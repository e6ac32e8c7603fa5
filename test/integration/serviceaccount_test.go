// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// unusualBody is JSON in a form that no encoder produces, so that only the same bytes have the same digest.
const unusualBody = "\r\n{ \"note\": \"caf\\u00e9 \\/ é  \",\t\"ref\"\n:\"refs/tags/v2.0.0\" , \"n\": 1.0E+2 }\n\n"

// releaser creates a ServiceAccount that may deliver only to the named GatewaySyncs, and returns its user name and a
// sender with its token.
func (w *world) releaser(names ...string) (user string, s sender) {
	w.T.Helper()
	subject, token := w.serviceAccount("releaser")
	w.allow(subject, "gatewaysyncs", names...)
	s = w.sender(token)
	w.untilAccepted(s, gatewaySyncPath(names[0]), noProof)
	return "system:serviceaccount:" + w.Namespace + ":releaser", s
}

func TestServiceAccount_DeliversToNamedObject(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	user, releaser := w.releaser("web")

	answered := releaser.mustPost(t, gatewaySyncPath("web"), unusualBody, nil, http.StatusAccepted).delivery(t)
	w.checkRequested("web", "v2.0.0", "generic")

	stored := w.concluded(answered.Name)
	if diff := cmp.Diff(stored.Status, answered.Status); diff != "" {
		t.Errorf("the answer differs from the record (-record +answer):\n%s", diff)
	}
	if stored.Status.Phase != v1alpha1.DeliveryApplied ||
		!meta.IsStatusConditionTrue(stored.Status.Conditions, v1alpha1.ConditionApplied) {
		t.Errorf("got phase %s and conditions %v, want Applied", stored.Status.Phase, stored.Status.Conditions)
	}
	if got, want := stored.Status.Sender, (&v1alpha1.Sender{Name: user, Method: "ServiceAccount"}); !cmp.Equal(got,
		want) {
		t.Errorf("got sender %v, want %v", got, want)
	}
	if out := w.kubectl("", "get", "whd"); !strings.Contains(out, answered.Name) || !strings.Contains(out, "Applied") {
		t.Errorf("kubectl get whd does not show %s as Applied:\n%s", answered.Name, out)
	}
}

func TestServiceAccount_RawBody(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")

	digest := sha256.Sum256([]byte(unusualBody))
	want := &v1alpha1.PayloadDigest{SHA256: hex.EncodeToString(digest[:]), Bytes: int64(len(unusualBody))}
	got := releaser.mustPost(t, gatewaySyncPath("web"), unusualBody, nil,
		http.StatusAccepted).delivery(t).Status.Payload
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestServiceAccount_OtherObjectIsForbidden(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.gatewaySync("other")
	w.application("web", nil)
	_, releaser := w.releaser("web")

	for _, path := range []string{gatewaySyncPath("other"), gatewaySyncPath("missing"), applicationPath("web")} {
		status := releaser.mustPost(t, path, `{"ref":"v1"}`, nil, http.StatusForbidden).status(t)
		if status.Reason != metav1.StatusReasonForbidden {
			t.Errorf("%s: got reason %q, want Forbidden", path, status.Reason)
		}
	}
	if got := w.annotations(gatewaySyncs, "other"); len(got) > 0 {
		t.Errorf("the other object was written: %v", got)
	}
	if got := w.annotations(applications, "web"); len(got) > 0 {
		t.Errorf("the Application of that name was written: %v", got)
	}
	if got := w.records(); len(got) > 0 {
		t.Errorf("there are records of what was forbidden: %v", got)
	}
}

func TestServiceAccount_AuditID(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	user, releaser := w.releaser("web")

	delivered := releaser.mustPost(t, gatewaySyncPath("web"), `{"ref":"v1"}`, nil, http.StatusAccepted).delivery(t)
	if delivered.Status.AuditID == "" {
		t.Fatal("the delivery has no audit ID")
	}
	w.eventually(func() error {
		for _, event := range w.auditEvents(t, delivered.Status.AuditID) {
			ref := event.ObjectRef
			if string(event.AuditID) == delivered.Status.AuditID && event.User.Username == user &&
				event.Verb == "create" &&
				ref.Resource == "gatewaysyncs" && ref.Subresource == "webhookdeliveries" && ref.Name == "web" &&
				ref.Namespace == w.Namespace && event.ResponseStatus.Code == http.StatusAccepted {
				return nil
			}
		}
		return errNotAudited
	})
}
