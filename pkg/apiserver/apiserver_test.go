// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/server/healthz"
)

func TestLivenessDoesNotDependOnStorage(t *testing.T) {
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

func TestDeliveriesAreRefusedForTheStorageFirstAndThenForTheBacklog(t *testing.T) {
	fine := func() error { return nil }
	room := func(string) (string, error) { return "", nil }
	full := func(string) (string, error) { return "Backlog", apierrors.NewTooManyRequests("full", 1) }
	broken := func() error { return errors.New("/secret/path is full") }
	for _, test := range []struct {
		name    string
		storage func() error
		backlog func(string) (string, error)
		want    string
	}{
		{"neither", fine, room, ""},
		{"a backlog", fine, full, "full"},
		{"a storage that is broken", broken, full,
			"the storage is unavailable, see Postern's log: send it again later"},
	} {
		got := ""
		if err := (ExtraConfig{StorageReady: test.storage, Backlog: test.backlog}).checkAccepting("demo"); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got error %q, want %q", test.name, got, test.want)
		}
	}
}
