// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

func TestCertificates_RestartKeepsAuthority(t *testing.T) {
	postern := startPostern(t, controlplane.PosternOptions{})
	before, err := shared.caSecret(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func() error{
		"stopped": func() error { return postern.Stop(t.Context()) },
		"killed":  postern.Kill,
	} {
		leaf, err := served(t.Context(), postern)
		if err != nil {
			t.Fatal(err)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := postern.Start(testcluster.StartContext(t)); err != nil {
			t.Fatal(err)
		}
		after, err := shared.caSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if before.ResourceVersion != after.ResourceVersion {
			t.Errorf("Postern wrote the Secret after it was %s", name)
		}
		next, err := served(t.Context(), postern)
		if err != nil {
			t.Fatal(err)
		}
		if next.Equal(leaf) {
			t.Errorf("Postern still serves the old leaf after it was %s, so its key was not only in memory", name)
		}
		if err := isSignedBy(next, after.Data["tls.crt"]); err != nil {
			t.Errorf("after Postern was %s: %v", name, err)
		}
	}
}

func TestCertificates_DeletedAPIServiceStaysDeleted(t *testing.T) {
	postern := startPostern(t, controlplane.PosternOptions{})
	if err := shared.deleteAPIService(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := shared.deleteCA(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &world{cluster: shared, Sandbox: shared.Sandbox(t, controlplane.Namespace)}
	w.Eventually(healWithin, func() error { // the rest still works
		secret, err := w.caSecret(t.Context())
		if err != nil {
			return err
		}
		leaf, err := served(t.Context(), postern)
		if err != nil {
			return err
		}
		return isSignedBy(leaf, secret.Data["tls.crt"])
	})
	if _, err := w.apiService(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("the APIService exists again, or could not be read: %v", err)
	}
	if err := postern.Restart(testcluster.StartContext(t)); err != nil { // registers it again
		t.Fatal(err)
	}
	w.Eventually(healWithin, func() error { return w.rotated(t.Context(), postern) })
}

func TestStart_WaitsForKubeAPIServer(t *testing.T) {
	postern := startPostern(t, controlplane.PosternOptions{})
	// If this test fails half-way, later ones need it.
	testcluster.AtEnd(t, func() error { return shared.StartAPIServer(context.Background()) })
	if err := postern.Stop(testcluster.StartContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := shared.KillAPIServer(); err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() { started <- postern.Start(testcluster.StartContext(t)) }()
	w := &world{cluster: shared, Sandbox: shared.Sandbox(t, controlplane.Namespace)}
	w.Eventually(testcluster.Patience, func() error {
		return errors.Join(onItsPort(t.Context(), postern, "/livez", http.StatusOK),
			onItsPort(t.Context(), postern, "/readyz", http.StatusServiceUnavailable))
	})
	if err := shared.StartAPIServer(testcluster.StartContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil { // also if Postern ended meanwhile
		t.Fatal(err)
	}
}

// onItsPort returns an error unless Postern's own port answers with code. It does not verify the certificate.
func onItsPort(ctx context.Context, p *controlplane.Postern, path string, code int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Address()+path, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != code {
		return fmt.Errorf("%s answers %d, want %d", path, resp.StatusCode, code)
	}
	return nil
}

func startReplicas(t *testing.T, flags ...string) *controlplane.Replicas {
	t.Helper()
	return shared.RunReplicas(t, 2, controlplane.PosternOptions{Etcd: shared.RunEtcd(t, 1), Flags: flags})
}

// Without leader election both write the Secret, as successive leaders would.
func TestReplicas_ParallelStartAgreesOnAuthority(t *testing.T) {
	forgetCA(t)
	replicas := startReplicas(t)
	w := &world{cluster: shared, Sandbox: shared.Sandbox(t, controlplane.Namespace)}
	w.Eventually(healWithin, func() error { return w.rotated(t.Context(), replicas.All()...) })
}

func TestReplicas_RotationFailsNoRequest(t *testing.T) {
	replicas := startReplicas(t, "--leader-elect")
	w := newWorld(t, 2, 2)
	load := w.startLoad(0)
	// The first attempt may have to wait for a leader.
	for _, within := range []func(func() error){
		func(condition func() error) { w.Eventually(testcluster.Patience, condition) },
		func(condition func() error) { w.Eventually(healWithin, condition) },
	} {
		load.awaitAccepted(everyPart)
		before, err := w.caSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.deleteCA(t.Context()); err != nil {
			t.Fatal(err)
		}
		within(func() error {
			after, err := w.caSecret(t.Context())
			if err != nil {
				return err
			}
			if bytes.Equal(before.Data["tls.crt"], after.Data["tls.crt"]) {
				return errors.New("the CA has not changed")
			}
			return w.rotated(t.Context(), replicas.All()...)
		})
	}
	load.awaitAccepted(everyPart)
	load.stop()
	w.onlyCodes(load.ledger, http.StatusAccepted)
	w.check(load.ledger)
}
