// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/cmd/kubectl-postern/app"
	"postern.dev/postern/test/testcluster"
)

func TestDeliveries_NewestFirst(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("other"))
	// The names are in no order of time.
	const count = 60
	var created []string
	for i := range count {
		name := fmt.Sprintf("d-%02d", (i*37)%count)
		w.deliver(name, toPlant(fmt.Sprintf("v%d", i)))
		created = append(created, "webhookdelivery.postern.dev/"+name)
	}
	slices.Reverse(created)

	r := w.run("deliveries", "-o", "name", "--limit=20")
	w.expect(r, 0, "40 older deliveries are not shown: use --limit.")
	if got := strings.Fields(r.out); !slices.Equal(got, created[:20]) {
		t.Errorf("got %v, expected %v", got, created[:20])
	}
	r = w.run("deliveries", "-o", "name", "--limit=0")
	if got := strings.Fields(r.out); !slices.Equal(got, created) || r.errOut != "" {
		t.Errorf("got %v, %s", got, r.errOut)
	}
	if lines := strings.Count(w.run("deliveries").out, "\n"); lines != 51 {
		t.Errorf("by default there are %d lines, expected a header and 50", lines)
	}
	r = w.run("deliveries", "--limit=1")
	w.expect(r, 0, "REASON", "AGE", "gatewaysync/plant", "v59", "Requested")
	if strings.Contains(r.out, "SENDER") || strings.Contains(r.out, "NAMESPACE") {
		t.Errorf("got %s", r.out)
	}
	w.expect(w.run("deliveries", "--limit=1", "-o", "wide"), 0, "SENDER", "METHOD", "admin", "User")
	w.expect(w.run("deliveries", "-A", "--limit=1"), 0, "NAMESPACE", w.Namespace)

	r = w.run("deliveries", "--limit=2", "-o", "json")
	w.expect(r, 0)
	var list v1alpha1.WebhookDeliveryList
	if err := json.Unmarshal([]byte(r.out), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 2 || list.Kind != "WebhookDeliveryList" || list.Items[0].Kind != "WebhookDelivery" {
		t.Errorf("got %s", r.out)
	}
}

func TestDeliveries_OfTargetAndFilters(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("other"))
	push := pushed("push", `{"ref": "refs/heads/main", "after": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
		"repository": {"clone_url": "https://github.com/example/plant.git"}}`)
	w.Eventually(testcluster.Patience, func() error { // Postern notices new targets with a delay
		expected, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).Create(t.Context(),
			&v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Name: "found"}, Spec: push},
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && len(expected.Status.Targets) < 2 {
			err = fmt.Errorf("the push finds %d targets, want 2", len(expected.Status.Targets))
		}
		return err
	})
	w.deliver("found", push)
	w.deliver("named", toPlant("v1"))
	toOther := toPlant("v1")
	toOther.Target = &v1alpha1.TargetReference{Kind: v1alpha1.TargetGatewaySync, Name: "other"}
	w.deliver("to-other", toOther)
	w.deliver("ping", pushed("ping", `{"zen": "Speak like a human.", "hook_id": 1}`))

	for _, tt := range []struct {
		args string
		want []string
	}{
		{"gatewaysync/plant", []string{"found", "named"}},
		{"gs/other", []string{"found", "to-other"}},
		{"--source=github", []string{"found", "ping"}},
		{"--phase=Ignored", []string{"ping"}},
		{"gs/plant --source=generic --phase=Applied", []string{"named"}},
		{"app/shop", nil},
	} {
		for _, output := range []string{"name", "json"} {
			r := w.run(append([]string{"deliveries", "-o", output}, strings.Fields(tt.args)...)...)
			w.expect(r, 0)
			var got []string
			if output == "name" {
				for name := range strings.FieldsSeq(r.out) {
					got = append(got, strings.TrimPrefix(name, "webhookdelivery.postern.dev/"))
				}
			} else {
				var list v1alpha1.WebhookDeliveryList
				if err := json.Unmarshal([]byte(r.out), &list); err != nil {
					t.Fatal(err)
				}
				for _, item := range list.Items {
					got = append(got, item.Name)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s -o %s: got %v, expected %v", tt.args, output, got, tt.want)
			}
		}
	}
	w.expect(w.run("deliveries", "app/shop"), 0,
		"No deliveries to application/shop found in namespace "+w.Namespace+".")
	w.expect(w.run("deliveries", "--phase=failed", "--source=github"), 0,
		"No Failed deliveries of github found in namespace "+w.Namespace+".")
	w.expect(w.run("deliveries", "--phase=Odd"), 1, "Odd is no phase")
	w.expect(w.run("deliveries", "--source=nobody"), 1, "nobody is not a type of sender")
	w.expect(w.run("deliveries", "-w", "--limit=0"), 1, "--watch shows at most")
}

// buffer is a buffer that is safe for concurrent use.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestDeliveries_WatchOutlivesRestart watches while Postern is killed and started again: it no longer knows the
// resource version from which the watch goes on.
func TestDeliveries_WatchOutlivesRestart(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	w.deliver("first", toPlant("v1"))

	var out, errOut buffer
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		args := []string{"--kubeconfig", w.AdminKubeconfig(), "-n", w.Namespace, "deliveries", "-w"}
		ended <- app.RunContext(ctx, args,
			genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut})
	}()
	shows := func(name, phase string) {
		t.Helper()
		w.Eventually(testcluster.Patience, func() error {
			for line := range strings.SplitSeq(out.String(), "\n") {
				if strings.HasPrefix(line, name+" ") && strings.Contains(line, phase) {
					return nil
				}
			}
			return fmt.Errorf("%s is not shown:\n%s\n%s", name, out.String(), errOut.String())
		})
	}
	shows("first", "Applied")
	w.deliver("second", toPlant("v2"))
	shows("second", "Applied")

	if err := errors.Join(postern.Kill(), postern.Start(testcluster.StartContext(t))); err != nil {
		t.Fatal(err)
	}
	w.Eventually(testcluster.Patience, func() error { // the kube-apiserver has to notice
		_, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).List(t.Context(), metav1.ListOptions{})
		return err
	})
	w.deliver("third", toPlant("v3"))
	shows("third", "Applied")
	if lines := strings.Split(out.String(), "\n"); strings.Count(out.String(), "NAME ") != 1 ||
		!strings.HasPrefix(lines[1], "first ") {
		t.Errorf("got %s", out.String())
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("the exit code is %d: %s", code, errOut.String())
	}
}
