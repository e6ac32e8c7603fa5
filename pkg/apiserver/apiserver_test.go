// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/server/healthz"

	"postern.dev/postern/pkg/apiserver/filters"
)

func TestMain(m *testing.M) {
	filters.RegisterMetrics()
	os.Exit(m.Run())
}

func TestServer_LivenessIgnoresStorage(t *testing.T) {
	checks := []healthz.HealthChecker{
		healthz.PingHealthz, healthz.NamedCheck("etcd", nil), healthz.LogHealthz,
		healthz.NamedCheck("etcd-override-0", nil),
	}
	var got []string
	for _, check := range withoutStorageChecks(checks) {
		got = append(got, check.Name())
	}
	if diff := cmp.Diff([]string{"ping", "log"}, got); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
	if len(checks) != 4 || checks[1].Name() != "etcd" {
		t.Error("the passed checks were modified")
	}
}

// The response would reveal that the namespace exists and has a backlog.
func TestLimiter_HidesWhetherNamespaceAccepts(t *testing.T) {
	g := (ExtraConfig{
		SecretsSynced: func() bool { return true },
		StorageReady:  func() error { return nil },
		Backlog: func(string) (string, error) {
			return "Backlog", apierrors.NewTooManyRequests("later", 9)
		},
		NamespaceSharePercent: 100,
	}).limiter(2)
	if _, err := g.Begin("demo"); err != nil {
		t.Errorf("an unauthenticated sender got %v", err)
	}
}
