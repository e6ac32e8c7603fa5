// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// slowDown blocks all writes of GatewaySyncs by Postern in this namespace until letGo is received from or closed, which
// the end of the test does.
func (w *world) slowDown() (letGo chan struct{}) {
	w.T.Helper()
	letGo = make(chan struct{})
	w.ServeWebhook(`
failurePolicy: Ignore
timeoutSeconds: 30
matchConditions: [{name: postern, expression: "request.userInfo.username == '`+posternUser+`'"}]
rules: [{apiGroups: [stoker.io], apiVersions: ['*'], operations: [UPDATE], resources: [gatewaysyncs]}]`,
		func(ctx context.Context, _ *admissionv1.AdmissionRequest) bool {
			select {
			case <-letGo:
			case <-ctx.Done():
			}
			return true
		})
	w.T.Cleanup(func() { close(letGo) })
	return letGo
}

// writes starts n writes of GatewaySyncs in this namespace as Postern's ServiceAccount. done gets the result of each.
func (w *world) writes(n int) (done chan error) {
	w.T.Helper()
	config := w.RESTConfig()
	config.QPS = -1
	config.Impersonate = rest.ImpersonationConfig{UserName: posternUser,
		Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		w.T.Fatal(err)
	}
	done = make(chan error, n)
	for i := range n {
		go func() {
			_, err := client.Resource(gatewaySyncs).Namespace(w.Namespace).Patch(w.T.Context(),
				fmt.Sprintf("web-%d", i), types.MergePatchType,
				[]byte(`{"metadata": {"annotations": {"stoker.io/requested-ref": "v1"}}}`), metav1.PatchOptions{})
			done <- err
		}()
	}
	return done
}

// Many deliveries to one namespace occupy Postern's seats at the kube-apiserver and queue for more. A write to another
// namespace must not wait behind all of them.
func TestFlowControl_NamespacesAreIndependent(t *testing.T) {
	const crowd, seats = 60, 15
	s := newSuite(t)
	crowded, quiet := s.newWorld(t), s.newWorld(t)
	quiet.gatewaySync("web-0")
	for i := range crowd {
		crowded.gatewaySync(fmt.Sprintf("web-%d", i))
	}
	const level = `priority_level="postern"`
	crowded.kubectl("", "patch", "prioritylevelconfiguration", "postern", "--type=merge", // few seats fill quickly
		`--patch={"spec": {"limited": {"nominalConcurrencyShares": 2, "lendablePercent": 0, "borrowingLimitPercent": `+
			`0}}}`)
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

	letGo := crowded.slowDown()
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
		case letGo <- struct{}{}:
		}
	}
}

// waitingBefore returns the number of requests queued for Postern's seats ahead of the request for this namespace, in
// its queue. Queues are served in turn.
func (w *world) waitingBefore() int {
	w.T.Helper()
	dump, err := w.Kube.Discovery().RESTClient().Get().AbsPath("/debug/api_priority_and_fairness/dump_requests").
		Param("includeRequestDetails", "1").DoRaw(w.T.Context())
	if err != nil {
		w.T.Fatal(err)
	}
	const level, index, namespace = 0, 3, 13
	for line := range strings.Lines(string(dump)) {
		fields := strings.Split(line, ",")
		if len(fields) <= namespace || strings.TrimSpace(fields[level]) != "postern" ||
			strings.TrimSpace(fields[namespace]) != w.Namespace {
			continue
		}
		before, err := strconv.Atoi(strings.TrimSpace(fields[index]))
		if err != nil {
			w.T.Fatalf("%v: %s", err, line)
		}
		return before
	}
	w.T.Fatalf("no request for %s waits:\n%s", w.Namespace, dump)
	return 0
}
