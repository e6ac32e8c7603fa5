// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// directly returns a sender to one replica.
func (w *world) directly(replica *controlplane.Postern) sender {
	w.T.Helper()
	config := rest.AnonymousClientConfig(replica.DirectConfig())
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		w.T.Fatal(err)
	}
	return sender{testcluster.Sender{
		Client: client, Base: config.Host + testcluster.NamespacePath(w.Namespace), Token: w.ci.Token,
	}}
}

// ask requests a ref, without an ID or a time.
func (w *world) ask(s sender, g target, ref string) answer {
	body := fmt.Sprintf(`{"ref": %q}`, ref)
	return s.post(g.path(), strings.NewReader(body), len(body), nil)
}

// Each replica orders by receipt times from the other replica.
func TestOrder_SlowReplicaDoesNotOverwriteLater(t *testing.T) {
	replicas := shared.RunReplicas(t, 2, controlplane.PosternOptions{
		Etcd: shared.RunEtcd(t, 1), Flags: []string{"--allow-direct-callers", "--direct-requests-per-second=1000"},
	})
	w := newWorld(t, 2, 2)
	senders := []sender{w.directly(replicas.All()[0]), w.directly(replicas.All()[1])}
	held, release := w.HoldDeliveries("slow")
	for _, s := range senders {
		w.Eventually(testcluster.Patience, func() error {
			got := w.ask(s, w.targets[0], testcluster.ProbeRef)
			if got.err != nil || !strings.Contains(string(got.body), testcluster.WebhookName) {
				return fmt.Errorf("the webhook is not called yet: %s", got)
			}
			return nil
		})
	}
	slow := make([]answer, len(w.targets))
	var sending sync.WaitGroup
	for i, g := range w.targets {
		sending.Go(func() { slow[i] = w.ask(senders[i%2], g, "slow-"+g.name) })
		<-held
	}
	for i, g := range w.targets {
		if _, phase, err := w.ask(senders[(i+1)%2], g, "later").recorded(); err != nil ||
			phase != v1alpha1.DeliveryApplied {
			t.Errorf("%s: the later delivery is %s, %v", g, phase, err)
		}
	}
	release()
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
