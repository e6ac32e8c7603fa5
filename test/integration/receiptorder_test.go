// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

func TestOrder_ReceivedFirstAdmittedLast(t *testing.T) {
	for name, before := range map[string]string{"the later one is written": "",
		"the target holds the later one": "v2"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gatewaySync("web")
			w.application("web", map[string]string{"postern.dev/update-target-revision": "true"})
			ci := w.ci()
			paths := []string{gatewaySyncPath("web"), applicationPath("web")}
			if before != "" {
				for _, path := range paths {
					ci.mustPost(t, path, `{"ref": "`+before+`"}`, nil, http.StatusAccepted)
				}
			}
			held, release := w.HoldDeliveries("v1")
			w.eventually(func() error {
				got, err := ci.post(t.Context(), gatewaySyncPath("web")+dryRun,
					[]byte(`{"ref": "`+testcluster.ProbeRef+`"}`), nil)
				if err == nil && !strings.Contains(string(got.body), testcluster.WebhookName) {
					err = errors.New("the webhook is not called yet")
				}
				return err
			})
			answers := make([]answer, len(paths))
			var sending sync.WaitGroup
			for i, path := range paths {
				sending.Go(func() {
					var err error
					if answers[i], err = ci.post(t.Context(), path, []byte(`{"ref": "v1"}`), nil); err != nil {
						t.Error(err)
					}
				})
				<-held
			}
			for _, path := range paths {
				later := ci.mustPost(t, path, `{"ref": "v2"}`, nil, http.StatusAccepted).delivery(t)
				if later.Status.Phase != v1alpha1.DeliveryApplied {
					t.Errorf("%s: the later delivery is %s", path, later.Status.Phase)
				}
			}
			release()
			sending.Wait()

			for i, path := range paths {
				if got := answers[i].delivery(t); got.Status.Phase != v1alpha1.DeliverySuperseded {
					t.Errorf("%s: the earlier delivery is %s, %s; want Superseded", path, got.Status.Phase,
						got.Status.Message)
				}
			}
			w.mustHold(gatewaySyncs, "web", requestedRef, "v2")
			w.mustHold(applications, "web", appRequestedRef, "v2")
			if got := in[string](w.Get(applications, "web").Object, "spec", "source", "targetRevision"); got != "v2" {
				t.Errorf("targetRevision is %s, want v2", got)
			}
		})
	}
}
