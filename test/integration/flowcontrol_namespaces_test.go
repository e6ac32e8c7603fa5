// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// slowly is an admission webhook for GatewaySyncs that blocks until letGo is closed.
type slowly struct{ letGo chan struct{} }

// slowDown blocks all writes of GatewaySyncs in this namespace until it is released.
func (w *world) slowDown() *slowly {
	w.t.Helper()
	s := &slowly{letGo: make(chan struct{})}
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		review := &admissionv1.AdmissionReview{}
		if err := json.NewDecoder(req.Body).Decode(review); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case <-s.letGo:
		case <-req.Context().Done():
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		_ = json.NewEncoder(rw).Encode(review)
	}))
	w.t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	manifest := `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: ` + w.namespace + `}
webhooks:
- name: slow.example.com
  clientConfig: {url: "` + server.URL + `", caBundle: ` + base64.StdEncoding.EncodeToString(authority) + `}
  failurePolicy: Ignore
  sideEffects: None
  timeoutSeconds: 30
  admissionReviewVersions: [v1]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ` + w.namespace + `}}
  matchConditions: [{name: postern, expression: "request.userInfo.username == '` + posternUser + `'"}]
  rules: [{apiGroups: [stoker.io], apiVersions: ['*'], operations: [UPDATE], resources: [gatewaysyncs]}]
`
	w.kubectl(manifest, "create", "--filename=-")
	w.t.Cleanup(func() {
		close(s.letGo)
		if _, err := w.Kubectl(context.Background(), manifest, "delete", "--filename=-"); err != nil {
			w.t.Error(err)
		}
	})
	return s
}

// writes starts n writes of GatewaySyncs in this namespace as Postern's ServiceAccount. done gets the result of each.
func (w *world) writes(n int) (done chan error) {
	w.t.Helper()
	config := w.RESTConfig()
	config.QPS = -1
	config.Impersonate = rest.ImpersonationConfig{UserName: posternUser, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		w.t.Fatal(err)
	}
	done = make(chan error, n)
	for i := range n {
		go func() {
			_, err := client.Resource(gatewaySyncs).Namespace(w.namespace).Patch(w.t.Context(), fmt.Sprintf("web-%d", i), types.MergePatchType,
				[]byte(`{"metadata": {"annotations": {"stoker.io/requested-ref": "v1"}}}`), metav1.PatchOptions{})
			done <- err
		}()
	}
	return done
}

// Many deliveries to one namespace occupy Postern's seats at the kube-apiserver and queue for more. A write to another
// namespace must not wait behind all of them.
func TestManyWritesToOneNamespaceHoldUpNoneToAnother(t *testing.T) {
	const crowd, seats = 60, 15
	s := newSuite(t)
	crowded, quiet := s.newWorld(t), s.newWorld(t)
	quiet.gatewaySync("web-0")
	for i := range crowd {
		crowded.gatewaySync(fmt.Sprintf("web-%d", i))
	}
	const level = `priority_level="postern"`
	crowded.kubectl("", "patch", "prioritylevelconfiguration", "postern", "--type=merge", // few seats fill quickly
		`--patch={"spec": {"limited": {"nominalConcurrencyShares": 2, "lendablePercent": 0, "borrowingLimitPercent": 0}}}`)
	limit := 0.0
	crowded.eventually(func() error {
		if limit = crowded.flowControl("current_limit_seats", level); limit > seats {
			return fmt.Errorf("there are still %.0f seats", limit)
		}
		return nil
	})
	untilWaiting := func(least float64) {
		t.Helper()
		crowded.eventually(func() error {
			if n := crowded.flowControl("current_inqueue_requests", level); n < least {
				return fmt.Errorf("%.0f of Postern's requests wait for a seat", n)
			}
			return nil
		})
	}

	slow := crowded.slowDown()
	crowded.writes(crowd)
	untilWaiting(crowd - limit)
	done := quiet.writes(1)
	untilWaiting(crowd - limit + 1)
	if before := quiet.waitingBefore(); before != 0 {
		t.Errorf("%d writes to the other namespace are ahead in the same queue", before)
	}
	for went := 0; ; went++ {
		select {
		case err := <-done:
			t.Logf("written after %d of the %d writes to the other namespace: %v", went, crowd, err)
			return
		case slow.letGo <- struct{}{}:
		}
	}
}

// waitingBefore returns the number of requests queued for Postern's seats ahead of the request for this namespace, in
// its queue. Queues are served in turn.
func (w *world) waitingBefore() int {
	w.t.Helper()
	dump, err := w.kube.Discovery().RESTClient().Get().AbsPath("/debug/api_priority_and_fairness/dump_requests").
		Param("includeRequestDetails", "1").DoRaw(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	const level, index, namespace = 0, 3, 13
	for line := range strings.Lines(string(dump)) {
		fields := strings.Split(line, ",")
		if len(fields) <= namespace || strings.TrimSpace(fields[level]) != "postern" || strings.TrimSpace(fields[namespace]) != w.namespace {
			continue
		}
		before, err := strconv.Atoi(strings.TrimSpace(fields[index]))
		if err != nil {
			w.t.Fatalf("%v: %s", err, line)
		}
		return before
	}
	w.t.Fatalf("no request for %s waits:\n%s", w.namespace, dump)
	return 0
}
