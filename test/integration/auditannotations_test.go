// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// ownAnnotations returns the annotations of a delivery's request in Postern's own audit log.
func (w *world) ownAnnotations(auditID string) map[string]string {
	w.T.Helper()
	found := map[string]string{}
	w.eventually(func() error {
		log, err := os.ReadFile(filepath.Join(w.Dir(), posternAuditLog))
		if err != nil {
			return err
		}
		for line := range bytes.Lines(log) {
			event := auditv1.Event{}
			if !bytes.Contains(line, []byte(auditID)) || json.Unmarshal(line, &event) != nil ||
				event.Stage != auditv1.StageResponseComplete {
				continue
			}
			for key, value := range event.Annotations {
				if strings.HasPrefix(key, "postern.dev/") {
					found[key] = value
				}
			}
			return nil
		}
		return fmt.Errorf("%w: %s", errNotAudited, auditID)
	})
	return found
}

func TestAudit_AnnotationsDescribeDelivery(t *testing.T) {
	secret := newSecret()
	w, anonymous := guarded(t, map[string]string{"hmac": secret}, bySignature(secret))
	ci := w.ci()
	push, ping := payload(t, "github/push-branch.json"), payload(t, "github/ping.json")

	for _, test := range []struct {
		name   string
		answer answer
		want   map[string]string
	}{
		{"applied", anonymous.mustPost(t, gatewaySyncPath("web"), push.body,
			push.with(signed(secret, push.body)).header, http.StatusAccepted),
			map[string]string{"source": "github", "method": "HMAC", "phase": "Applied", "reason": "Requested"}},
		{"ignored", ci.mustPost(t, gatewaySyncPath("web"), ping.body, ping.header, http.StatusAccepted),
			map[string]string{"source": "github", "method": "ServiceAccount", "phase": "Ignored", "reason": "Ping"}},
		{"rejected", anonymous.mustPost(t, gatewaySyncPath("web"), push.body,
			push.with(signed(newSecret(), push.body)).header, http.StatusUnauthorized),
			map[string]string{"source": "github", "reason": "SignatureMismatch"}},
		{"no JSON", ci.mustPost(t, gatewaySyncPath("web"), "{", push.header, http.StatusBadRequest),
			map[string]string{"source": "github", "method": "ServiceAccount"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := map[string]string{}
			for key, value := range test.want {
				want["postern.dev/"+key] = value
			}
			if test.answer.code == http.StatusAccepted {
				want["postern.dev/delivery"] = test.answer.delivery(t).Name
			}
			if diff := cmp.Diff(want, w.in(t).ownAnnotations(test.answer.header.Get("Audit-Id"))); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}
