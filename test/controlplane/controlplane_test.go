// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startTimeout allows for a machine that is busy with other tests; otherwise a start takes seconds.
const startTimeout = 3 * time.Minute

func TestControlPlane_Start(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	c, err := Start(ctx, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(c.Dir()); !os.IsNotExist(err) {
			t.Errorf("the temporary state directory is still there: %v", err)
		}
	})
	if err := c.Install(ctx); err != nil {
		t.Fatal(err)
	}

	t.Run("reports its processes", func(t *testing.T) { testPIDs(t, c) })
	t.Run("answers kubectl with a released version", func(t *testing.T) { testVersion(t, c) })
	t.Run("logs bodies in its audit log", func(t *testing.T) { testAuditLog(t, c) })
	t.Run("gives Postern no more permissions than it needs", func(t *testing.T) { testPermissions(t, c) })
	t.Run("serves Postern, and again after a crash and after a restart", func(t *testing.T) { testPostern(t, c) })
	t.Run("starts its kube-apiserver again with what it knew", func(t *testing.T) { testAPIServerRestart(t, c) })
	t.Run("runs an etcd that loses its leader, and replicas that replace each other",
		func(t *testing.T) { testEtcdCluster(t, c) })
}

func TestControlPlane_CustomAuditPolicy(t *testing.T) {
	const policy = "rules: [{level: None}]"
	for given, want := range map[string]string{policy: policy, "": string(auditPolicy)} {
		c, err := prepare(Options{AuditPolicy: []byte(given)})
		if err != nil {
			t.Fatal(err)
		}
		if got := readFile(t, c.path(auditPolicyFile)); got != want {
			t.Errorf("policy %q: got %q", given, got)
		}
		if err := c.release(); err != nil {
			t.Error(err)
		}
	}
}

func testPIDs(t *testing.T, c *ControlPlane) {
	pids := c.PIDs()
	for _, name := range []string{"etcd", "kube-apiserver"} {
		executable, err := executableOf(pids[name])
		if err != nil || filepath.Base(executable) != name {
			t.Errorf("%s is reported as process %d, which runs %q: %v", name, pids[name], executable, err)
		}
	}
	if len(pids) != 2 {
		t.Errorf("got %v, want no others", pids)
	}
}

func testVersion(t *testing.T, c *ControlPlane) {
	out, err := c.Kubectl(t.Context(), "", "version", "--output=json")
	if err != nil {
		t.Fatal(err)
	}
	var versions struct {
		ClientVersion, ServerVersion struct{ GitVersion string }
	}
	if err := json.Unmarshal([]byte(out), &versions); err != nil {
		t.Fatal(err)
	}
	if client, server := versions.ClientVersion.GitVersion, versions.ServerVersion.GitVersion; client != server ||
		strings.Contains(server, "master") {
		t.Errorf("client is %q and server %q; want the same released version", client, server)
	}
}

func testAuditLog(t *testing.T, c *ControlPlane) {
	const manifest = `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "audited"}, "data": {"key": ` +
		`"conspicuous"}}`
	if _, err := c.Kubectl(t.Context(), manifest, "create", "--filename=-"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the body of the request is in the audit log", func() bool {
		return strings.Contains(readFile(t, c.AuditLog()), `"requestObject":{"kind":"ConfigMap"`) &&
			strings.Contains(readFile(t, c.AuditLog()), "conspicuous")
	})
}

func testPermissions(t *testing.T, c *ControlPlane) {
	for _, tc := range []struct {
		question string
		want     string
	}{
		{"patch gatewaysyncs.stoker.io", "yes"},
		{"update gatewaysyncs.stoker.io", "no"},
		{"delete applications.argoproj.io", "no"},
		{"create applications.argoproj.io", "no"},
		{"watch secrets/postern-webhook-secrets", "yes"},
		{"update secrets/postern-webhook-secrets", "no"},
		{"get secrets/other", "no"},
		{"list secrets", "no"},
		{"create events.events.k8s.io", "yes"},
		{"get configmaps", "no"},
		{"get configmaps/extension-apiserver-authentication --namespace=kube-system", "yes"},
		{"create subjectaccessreviews.authorization.k8s.io", "yes"},
		{"create tokenreviews.authentication.k8s.io", "yes"},
		{"list secrets/postern-ca --namespace=" + Namespace, "yes"},
		{"watch secrets/postern-ca --namespace=" + Namespace, "yes"},
		{"update secrets/postern-ca --namespace=" + Namespace, "yes"},
		{"create secrets --namespace=" + Namespace, "yes"},
		{"delete secrets/postern-ca --namespace=" + Namespace, "no"},
		{"watch secrets/other --namespace=" + Namespace, "no"},
		{"list secrets --namespace=" + Namespace, "no"},
		{"watch secrets/postern-ca", "no"},
		{"create secrets", "no"},
		{"patch apiservices/" + apiServiceName, "yes"},
		{"watch apiservices/" + apiServiceName, "yes"},
		{"update apiservices/" + apiServiceName, "no"},
		{"delete apiservices/" + apiServiceName, "no"},
		{"patch apiservices/v1.apps", "no"},
		{"list apiservices", "no"},
		{"create apiservices", "no"},
		{"create serviceaccounts/postern --subresource=token --namespace=" + Namespace, "no"},
	} {
		args := append([]string{"auth", "can-i", "--as=system:serviceaccount:" + Namespace + ":postern"},
			strings.Fields(tc.question)...)
		answer, _ := c.Kubectl(t.Context(), "", args...) // kubectl fails if the answer is "no"
		if got := strings.TrimSpace(answer); got != tc.want {
			t.Errorf("can Postern %s? %s, want %s", tc.question, got, tc.want)
		}
	}
}

func testPostern(t *testing.T, c *ControlPlane) {
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	postern, err := c.StartPostern(ctx, PosternOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postern.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	address := postern.Address()
	if err := postern.Kill(); err != nil {
		t.Fatal(err)
	}
	if postern.Running() {
		t.Fatal("Postern runs after it was killed")
	}
	if err := postern.Start(ctx); err != nil {
		t.Fatal(err)
	}
	before := postern.PID()
	if err := postern.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if postern.PID() == before {
		t.Error("Postern was not restarted: the process is the same")
	}
	if postern.Address() != address {
		t.Errorf("the address is %s, want %s as before", postern.Address(), address)
	}
	out, err := c.Kubectl(ctx, "", "get", "apiservice", apiServiceName, "--output=name")
	if err != nil || out != "apiservice.apiregistration.k8s.io/"+apiServiceName+"\n" {
		t.Errorf("kubectl get apiservice: %q, %v", out, err)
	}
}
