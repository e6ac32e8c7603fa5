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
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// With the shipped roles, the kube-apiserver denies none of Postern's requests. The second test verifies that each
// permission is needed: without it, a request is denied and has no effect.

func TestRBAC_NoRequestIsForbidden(t *testing.T) {
	s := startPermitted(t)
	for permission, use := range s.uses(t) {
		if use.begin == nil {
			continue
		}
		t.Run(permission.String(), func(t *testing.T) {
			w := s.newWorld(t)
			w.eventually(use.begin(w))
		})
	}
	if refused := s.refusals(t); len(refused) > 0 {
		t.Errorf("Postern was denied %v", refused)
	}
}

func TestRBAC_EachPermissionIsNeeded(t *testing.T) {
	s := startPermitted(t)
	granted, uses := s.grants(t), s.uses(t)
	for p := range uses {
		if _, found := granted[p]; !found {
			t.Errorf("no role grants %s, which is listed as used", p)
		}
	}
	// Uses at runtime come first, because the others restart Postern.
	for _, p := range slices.SortedFunc(maps.Keys(granted), func(a, b permission) int {
		return cmp.Or(cmp.Compare(uses[a].order(), uses[b].order()), cmp.Compare(a.String(), b.String()))
	}) {
		grant := granted[p]
		t.Run(p.String(), func(t *testing.T) {
			if strings.HasPrefix(p.resource, "mutatingadmissionpolic") {
				s.RequireMutatingPolicies(t)
			}
			use, known := uses[p]
			if !known {
				t.Fatalf("%s grants it, but no use is listed", grant)
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

// Postern must not crash-loop if its roles are installed later or removed for a while.
func TestRBAC_RolesGrantedLater(t *testing.T) {
	w := startPermitted(t).newWorld(t)
	bind := w.unbind(grant{binding: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "postern"},
		bindingName: "postern"})
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

// health returns an error unless Postern's own health endpoint reports success.
func (w *world) health(path string) error {
	client, err := rest.HTTPClientFor(rest.AnonymousClientConfig(w.postern.DirectConfig()))
	if err != nil {
		return err
	}
	s := sender{Sender: testcluster.Sender{Client: client}}
	req, err := http.NewRequestWithContext(w.T.Context(), http.MethodGet, w.postern.Address()+path, nil)
	if err != nil {
		return err
	}
	got, err := s.do(req)
	return errors.Join(err, answeredWith(http.StatusOK)(got))
}

// mustMiss fails the test unless the kube-apiserver denies the request and it has no effect.
func (w *world) mustMiss(p permission, done func() error) {
	w.T.Helper()
	w.eventually(func() error {
		undone := done()
		switch refused := w.refusals(w.T)[p.sample()] > 0; {
		case undone == nil && !refused:
			return errors.New("it was done without the permission")
		case undone == nil:
			return errors.New("it was denied, but done")
		case !refused:
			return fmt.Errorf("it was not requested yet: %w", undone)
		}
		return nil
	})
}

// mustMissAtStart fails the test unless the kube-apiserver denies a starting Postern a permission that it needs to be
// ready. For other uses at the start the request is sufficient: a client that may not watch lists repeatedly, and only
// sees changes late.
func (w *world) mustMissAtStart(p permission, u use) {
	w.T.Helper()
	if err := w.postern.Kill(); err != nil {
		w.T.Fatal(err)
	}
	earlier := w.refusals(w.T)[p.sample()]
	ctx, cancel := context.WithCancel(w.T.Context())
	ready := make(chan error, 1)
	go func() { ready <- w.postern.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-ready; err == nil && u.neededToBeReady {
			w.T.Error("Postern became ready without the permission")
		}
	}()
	w.eventually(func() error {
		if w.refusals(w.T)[p.sample()] == earlier {
			return errors.New("it was not requested yet")
		}
		return nil
	})
}

// startPermitted starts a suite in which Postern uses all features. It is one of several replicas, so that there is a
// leader. The kube-apiserver's audit log has only Postern's requests.
func startPermitted(t *testing.T) *suite {
	t.Helper()
	c := testcluster.New(t, controlplane.Options{AuditPolicy: []byte(`
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: ["` + posternUser + `"]}
- {level: None}
`)})
	s := &suite{Cluster: c, path: controlplane.Base}
	etcd := c.RunEtcd(t, 1)
	testcluster.AtEnd(t, s.endPostern)
	if err := s.install(testcluster.StartContext(t), controlplane.PosternOptions{
		Etcd:  etcd,
		Flags: []string{"--leader-elect"},
		// This simulates a kube-apiserver whose watches can't start with a list.
		Env: []string{"KUBE_FEATURE_WatchListClient=false"},
	}); err != nil {
		t.Fatal(err)
	}
	return s
}
