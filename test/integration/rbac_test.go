// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"

	"postern.dev/postern/test/controlplane"
)

// Two tests that belong together. With the shipped roles nothing is refused that Postern asks the kube-apiserver for,
// whatever it does. And each permission in them is needed: without it, that is refused, and not done.

func TestNothingThatPosternAsksForIsRefused(t *testing.T) {
	s := startPermitted(t)
	for permission, use := range uses() {
		if use.begin == nil {
			continue
		}
		t.Run(permission.String(), func(t *testing.T) {
			w := s.newWorld(t)
			w.eventually(use.begin(w))
		})
	}
	if refused := s.refusals(t); len(refused) > 0 {
		t.Errorf("Postern was refused %v", refused)
	}
}

func TestEachPermissionIsNeeded(t *testing.T) {
	s := startPermitted(t)
	granted, uses := s.grants(t), uses()
	for p := range uses {
		if _, found := granted[p]; !found {
			t.Errorf("nothing grants %s, which is said to be used", p)
		}
	}
	// What Postern does while it runs comes first, since the rest ends it.
	for _, p := range slices.SortedFunc(maps.Keys(granted), func(a, b permission) int {
		return cmp.Or(cmp.Compare(uses[a].order(), uses[b].order()), cmp.Compare(a.String(), b.String()))
	}) {
		grant := granted[p]
		t.Run(p.String(), func(t *testing.T) {
			use, known := uses[p]
			if !known {
				t.Fatalf("%s grants it, and nothing shows that it is needed", grant)
			}
			w := s.newWorld(t)
			defer w.take(grant, p)()
			if use.begin == nil {
				w.mustMissAtStart(p, use)
			} else {
				w.mustMiss(p, use.begin(w))
			}
		})
	}
}

// Whoever installs the roles after Postern, or takes them away for a while, must not have it started again and again.
func TestWithoutItsRolesPosternLivesAndServesOnceItHasThem(t *testing.T) {
	w := startPermitted(t).newWorld(t)
	bind := w.unbind(grant{binding: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "postern"}, bindingName: "postern"})
	if err := w.postern.Kill(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan error, 1)
	go func() { ready <- w.postern.Start(t.Context()) }()
	w.eventually(func() error { return w.health("/livez") })
	if w.health("/readyz") == nil {
		t.Error("Postern is ready without its roles")
	}
	bind()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	w.eventually(toGatewaySync(w))
}

// health asks Postern itself for its health, and returns an error unless that is good.
func (w *world) health(path string) error {
	client, err := rest.HTTPClientFor(rest.AnonymousClientConfig(w.postern.DirectConfig()))
	if err != nil {
		return err
	}
	s := sender{client: client}
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.postern.Address()+path, nil)
	if err != nil {
		return err
	}
	got, err := s.do(req)
	return errors.Join(err, answeredWith(http.StatusOK)(got))
}

// mustMiss fails the test unless the kube-apiserver refuses what has been begun, and it is not done therefore.
func (w *world) mustMiss(p permission, done func() error) {
	w.t.Helper()
	w.eventually(func() error {
		undone := done()
		switch refused := w.refusals(w.t)[p.sample()] > 0; {
		case undone == nil && !refused:
			return errors.New("it was done without the permission")
		case undone == nil:
			return errors.New("it was refused, and done all the same")
		case !refused:
			return fmt.Errorf("it was not asked for yet: %w", undone)
		}
		return nil
	})
}

// mustMissAtStart fails the test unless the kube-apiserver refuses to a Postern that starts what it needs to be ready.
// Where it can do without at the start, that it asks has to be enough: who may not watch lists again and again, and
// learns everything late.
func (w *world) mustMissAtStart(p permission, u use) {
	w.t.Helper()
	if err := w.postern.Kill(); err != nil {
		w.t.Fatal(err)
	}
	earlier := w.refusals(w.t)[p.sample()]
	ctx, cancel := context.WithCancel(w.t.Context())
	ready := make(chan error, 1)
	go func() { ready <- w.postern.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-ready; err == nil && u.neededToBeReady {
			w.t.Error("Postern became ready without the permission")
		}
	}()
	w.eventually(func() error {
		if w.refusals(w.t)[p.sample()] == earlier {
			return errors.New("it was not asked for yet")
		}
		return nil
	})
}

// startPermitted starts a suite in which Postern does everything that it can do: it is one of several replicas, so that
// there is a leader. The kube-apiserver's audit log tells of Postern alone.
func startPermitted(t *testing.T) *suite {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	cp, err := controlplane.Start(ctx, controlplane.Options{AuditPolicy: []byte(`
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: ["` + posternUser + `"]}
- {level: None}
`)})
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{ControlPlane: cp, path: controlplane.Base}
	t.Cleanup(func() {
		if err := s.stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	etcd, err := cp.StartEtcdCluster(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := etcd.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := s.install(ctx, controlplane.PosternOptions{
		Etcd:  etcd,
		Flags: []string{"--leader-elect"},
		// As with a kube-apiserver of which a watch can't begin with a list.
		Env: []string{"KUBE_FEATURE_WatchListClient=false"},
	}); err != nil {
		t.Fatal(err)
	}
	return s
}
