// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// slowAdmission is an admission webhook that holds the deliveries of one ref in this namespace until it is released.
type slowAdmission struct {
	held chan struct{} // gets a value for each held delivery
	let  func()
}

// holdBack returns once the webhook is called.
func (w *world) holdBack(ref string, ci sender, path string) *slowAdmission {
	w.t.Helper()
	letGo := make(chan struct{})
	s := &slowAdmission{held: make(chan struct{}, 10), let: sync.OnceFunc(func() { close(letGo) })}
	asked := make(chan struct{}, 1000)
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var review struct {
			Request struct {
				UID    string `json:"uid"`
				Object v1alpha1.WebhookDelivery
			} `json:"request"`
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			w.t.Error(err)
			return
		}
		select {
		case asked <- struct{}{}:
		default:
		}
		if events := review.Request.Object.Spec.Events; len(events) > 0 && events[0].Ref == ref {
			s.held <- struct{}{}
			<-letGo
		}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(`{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "` + review.Request.UID + `", "allowed": true}}`))
	}))
	w.t.Cleanup(server.Close)
	w.t.Cleanup(s.let)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	manifest := `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: ` + w.namespace + `}
webhooks:
- name: slow.example.com
  clientConfig: {url: "` + server.URL + `", caBundle: ` + base64.StdEncoding.EncodeToString(ca) + `}
  failurePolicy: Fail
  sideEffects: None
  timeoutSeconds: 30
  admissionReviewVersions: [v1]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ` + w.namespace + `}}
  rules: [{apiGroups: [postern.dev], apiVersions: ['*'], operations: [CREATE], resources: [webhookdeliveries]}]
`
	w.kubectl(manifest, "create", "--filename=-")
	w.t.Cleanup(func() {
		if _, err := w.Kubectl(context.Background(), manifest, "delete", "--filename=-"); err != nil {
			w.t.Error(err)
		}
	})
	w.eventually(func() error {
		if _, err := ci.post(w.t.Context(), path+dryRun, []byte(`{"ref": "probe"}`), nil); err != nil {
			return err
		}
		select {
		case <-asked:
			return nil
		default:
			return errors.New("the webhook is not called yet")
		}
	})
	return s
}

func TestWhatIsReceivedFirstAndAdmittedLastDoesNotOverwriteWhatCameAfterIt(t *testing.T) {
	for name, before := range map[string]string{"the later one is written": "", "the target holds the later one": "v2"} {
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
			slow := w.holdBack("v1", ci, gatewaySyncPath("web"))
			answers := make([]answer, len(paths))
			var sending sync.WaitGroup
			for i, path := range paths {
				sending.Go(func() {
					var err error
					if answers[i], err = ci.post(t.Context(), path, []byte(`{"ref": "v1"}`), nil); err != nil {
						t.Error(err)
					}
				})
				<-slow.held
			}
			for _, path := range paths {
				later := ci.mustPost(t, path, `{"ref": "v2"}`, nil, http.StatusAccepted).delivery(t)
				if later.Status.Phase != v1alpha1.DeliveryApplied {
					t.Errorf("%s: the later delivery is %s", path, later.Status.Phase)
				}
			}
			slow.let()
			sending.Wait()

			for i, path := range paths {
				if got := answers[i].delivery(t); got.Status.Phase != v1alpha1.DeliverySuperseded {
					t.Errorf("%s: the earlier delivery is %s, %s; want Superseded", path, got.Status.Phase, got.Status.Message)
				}
			}
			w.mustHold(gatewaySyncs, "web", requestedRef, "v2")
			w.mustHold(applications, "web", appRequestedRef, "v2")
			if got := in[string](w.get(applications, "web").Object, "spec", "source", "targetRevision"); got != "v2" {
				t.Errorf("targetRevision is %s, want v2", got)
			}
		})
	}
}
