// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
)

// directly returns a sender to one replica.
func (w *world) directly(replica *controlplane.Postern) sender {
	w.t.Helper()
	config := rest.AnonymousClientConfig(replica.DirectConfig())
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		w.t.Fatal(err)
	}
	return sender{client: client, base: config.Host + "/apis/postern.dev/v1alpha1/namespaces/" + w.namespace + "/", token: w.ci.token}
}

// holdBack makes an admission webhook hold the deliveries of this namespace whose refs have the prefix. held gets a
// value for each of them, and proceed releases them. It returns once the webhook is called for all of these senders.
func (w *world) holdBack(prefix string, senders []sender) (held chan string, proceed func()) {
	w.t.Helper()
	letGo := make(chan struct{})
	held, proceed = make(chan string, 100), sync.OnceFunc(func() { close(letGo) })
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var review struct {
			Request struct {
				UID    string `json:"uid"`
				Object v1alpha1.WebhookDelivery
			} `json:"request"`
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			return
		}
		allowed := true
		for _, event := range review.Request.Object.Spec.Events {
			switch {
			case strings.HasPrefix(event.Ref, prefix):
				held <- event.Ref
				<-letGo
			case event.Ref == "probe":
				allowed = false
			}
		}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(rw, `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": %q, "allowed": %t}}`,
			review.Request.UID, allowed)
	}))
	w.t.Cleanup(server.Close)
	w.t.Cleanup(proceed)
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
	if _, err := w.Kubectl(w.t.Context(), manifest, "create", "--filename=-"); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if _, err := w.Kubectl(context.Background(), manifest, "delete", "--filename=-"); err != nil {
			w.t.Error(err)
		}
	})
	for _, s := range senders {
		w.eventually(patience, func() error {
			if got := w.ask(s, w.targets[0], "probe"); got.err != nil || !strings.Contains(string(got.body), "slow.example.com") {
				return fmt.Errorf("the webhook is not called yet: %s", got)
			}
			return nil
		})
	}
	return held, proceed
}

// ask requests a ref, without an ID or a time.
func (w *world) ask(s sender, g target, ref string) answer {
	body := fmt.Sprintf(`{"ref": %q}`, ref)
	return s.post(g.path(), strings.NewReader(body), len(body), nil)
}

// Each replica orders by receipt times from the other replica.
func TestADeliveryThatIsSlowAtOneReplicaDoesNotOverwriteWhatAnotherReceivedAfterIt(t *testing.T) {
	replicas, err := shared.StartReplicas(starting(t), 2, controlplane.PosternOptions{
		Etcd: startEtcd(t, 1), Flags: []string{"--allow-direct-callers", "--direct-requests-per-second=1000"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := replicas.Kill(); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t, 2, 2)
	senders := []sender{w.directly(replicas.All()[0]), w.directly(replicas.All()[1])}
	held, proceed := w.holdBack("slow", senders)
	slow := make([]answer, len(w.targets))
	var sending sync.WaitGroup
	for i, g := range w.targets {
		sending.Go(func() { slow[i] = w.ask(senders[i%2], g, "slow-"+g.name) })
		<-held
	}
	for i, g := range w.targets {
		if _, phase, err := w.ask(senders[(i+1)%2], g, "later").recorded(); err != nil || phase != v1alpha1.DeliveryApplied {
			t.Errorf("%s: the later delivery is %s, %v", g, phase, err)
		}
	}
	proceed()
	sending.Wait()
	for i, g := range w.targets {
		if _, phase, err := slow[i].recorded(); err != nil || phase != v1alpha1.DeliverySuperseded {
			t.Errorf("%s: the earlier delivery is %s, %v; want Superseded", g, phase, err)
		}
	}
	for g, ref := range w.held() {
		if ref != "later" {
			t.Errorf("%s has %s, want later", g, ref)
		}
	}
}
