// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"net/http"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// setHold sets or removes the hold of a target.
func (w *world) setHold(g target, value string) {
	w.T.Helper()
	annotation := "postern.dev/hold=" + value
	if value == "" {
		annotation = "postern.dev/hold-"
	}
	w.MustKubectl(w.T, "", "annotate", g.resource.GroupResource().String(), g.name, "--namespace", w.Namespace,
		annotation)
}

// Each replica is killed in turn while deliveries are held, and then once more when they are released: the newest one
// of each target is delivered, the others are superseded, and none is lost.
func TestReplicas_HoldSurvivesKill(t *testing.T) {
	etcd := shared.RunEtcd(t, 1)
	replicas := shared.RunReplicas(t, 2, controlplane.PosternOptions{Etcd: etcd})
	w := newWorld(t, 3, 3)
	for _, g := range w.targets {
		w.setHold(g, "a freeze")
	}
	newest, all := map[target]string{}, map[string]string{}
	deliver := func(round int) {
		for _, g := range w.targets {
			ref := fmt.Sprintf("v%d.0.0", round)
			w.Eventually(testcluster.Patience, func() error {
				got := w.ci.send(request{target: g, body: fmt.Sprintf(`{"ref": %q}`, ref)})
				if got.code != http.StatusAccepted {
					return fmt.Errorf("not accepted: %s", got)
				}
				name, phase, err := got.recorded()
				if err != nil || phase != v1alpha1.DeliveryHeld {
					return fmt.Errorf("%s is %s: %w", name, phase, err)
				}
				newest[g], all[name] = name, ref
				return nil
			})
		}
	}
	for round, replica := range replicas.All() {
		deliver(1 + 2*round)
		if err := replica.Kill(); err != nil {
			t.Fatal(err)
		}
		deliver(2 + 2*round)
		if err := replica.Start(testcluster.StartContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	for i, g := range w.targets {
		w.setHold(g, "")
		if i == len(w.targets)/2 {
			for _, replica := range replicas.All() {
				if err := replica.Kill(); err != nil {
					t.Fatal(err)
				}
				if err := replica.Start(testcluster.StartContext(t)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}

	w.Eventually(testcluster.Patience, func() error {
		records, err := w.records("")
		if err != nil {
			return err
		}
		phases := map[string]v1alpha1.DeliveryPhase{}
		for _, d := range records {
			phases[d.Name] = d.Status.Phase
		}
		for name := range all {
			want := v1alpha1.DeliverySuperseded
			for _, last := range newest {
				if last == name {
					want = v1alpha1.DeliveryApplied
				}
			}
			if phases[name] != want {
				return fmt.Errorf("%s is %q, want %s", name, phases[name], want)
			}
		}
		return nil
	})
	last := all[newest[w.targets[0]]]
	for g, ref := range w.held() {
		if ref != last {
			t.Errorf("%v has %s, want %s", g, ref, last)
		}
	}
}
