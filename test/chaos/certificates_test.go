// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// healWithin is the time limit for Postern to repair broken certificates.
const healWithin = 10 * time.Second

// everyPart is the number of requests that must be accepted after a change, in addition to those in flight.
const everyPart = 200

func TestCertificates_TamperingLosesNothing(t *testing.T) {
	postern := startPostern(t, controlplane.PosternOptions{})
	pid := postern.PID()
	day := 24 * time.Hour
	now := time.Now()
	const unavailable = http.StatusServiceUnavailable
	for _, test := range []struct {
		name    string
		breakIt func(ctx context.Context) error
		// allowed are the status codes besides 202 that are allowed before the repair.
		allowed []int
	}{
		{"the Secret is deleted", shared.deleteCA, nil},
		{"the Secret has an expired CA", func(ctx context.Context) error {
			return shared.setCA(ctx, foreignCA(t, now.Add(-2*day), now.Add(-day)))
		}, nil},
		{"the Secret has a foreign CA", func(ctx context.Context) error {
			return shared.setCA(ctx, foreignCA(t, now.Add(-day), now.Add(100*day)))
		}, nil},
		{"the Secret has garbage", func(ctx context.Context) error {
			return shared.setCA(ctx, map[string][]byte{"tls.crt": []byte("garbage"), "tls.key": nil,
				"ca.crt": []byte("garbage")})
		}, nil},
		{"the caBundle is garbage", func(ctx context.Context) error {
			return shared.setCABundle(ctx, []byte("garbage"))
		}, []int{http.StatusInternalServerError, unavailable}},
		{"the caBundle is empty", func(ctx context.Context) error {
			return shared.setCABundle(ctx, nil)
		}, []int{unavailable}},
		{"the caBundle is foreign", func(ctx context.Context) error {
			return shared.setCABundle(ctx, foreignCA(t, now.Add(-day), now.Add(day))["ca.crt"])
		}, []int{unavailable}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, 2, 2)
			load := w.startLoad(0)
			load.awaitAccepted(everyPart)
			if err := test.breakIt(t.Context()); err != nil {
				t.Fatal(err)
			}
			broken := time.Now()
			w.Eventually(healWithin, func() error {
				if err := shared.trusted(t.Context(), postern); err != nil {
					return err
				}
				return shared.reached(t.Context())
			})
			t.Logf("repaired after %s", since(broken))
			w.Eventually(testcluster.Patience, func() error { return shared.rotated(t.Context(), postern) })
			// The kube-apiserver applies a change of the APIService some time after it is stored.
			load.awaitAccepted(everyPart / 2)
			settled := time.Now()
			load.awaitAccepted(everyPart / 2)
			load.stop()
			w.onlyCodes(load.ledger.since(settled), http.StatusAccepted)
			w.onlyCodes(load.ledger, append(test.allowed, http.StatusAccepted)...)
			w.check(load.ledger)
		})
	}
	if postern.PID() != pid || !postern.Running() {
		t.Error("Postern was restarted")
	}
}

// reached returns an error unless the kube-apiserver reports Postern as available.
func (c *cluster) reached(ctx context.Context) error {
	apiService, err := c.apiService(ctx)
	if err != nil {
		return err
	}
	for _, condition := range apiService.Status.Conditions {
		if condition.Type == "Available" && condition.Status == "True" {
			return nil
		}
	}
	return fmt.Errorf("the APIService is not available: %v", apiService.Status.Conditions)
}

func TestCertificates_RenewalFailsNoRequest(t *testing.T) {
	forgetCA(t) // its CA is valid for a year
	t.Cleanup(func() { forgetCA(t) })
	postern := startPostern(t, controlplane.PosternOptions{Flags: []string{"--ca-validity=36s",
		"--serving-cert-validity=9s"}})
	w := newWorld(t, 2, 2)
	load := w.startLoad(25)
	leaf, err := served(t.Context(), postern)
	if err != nil {
		t.Fatal(err)
	}
	first, err := w.caSecret(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Eventually(testcluster.Patience, func() error {
		now, err := served(t.Context(), postern)
		if err == nil && now.Equal(leaf) {
			err = errors.New("the leaf has not changed")
		}
		return err
	})
	for range pick(1, 3) {
		w.Eventually(testcluster.Patience, func() error {
			now, err := w.caSecret(t.Context())
			if err != nil {
				return err
			}
			if bytes.Equal(now.Data["tls.crt"], first.Data["tls.crt"]) {
				return errors.New("the CA has not changed")
			}
			if err := w.rotated(t.Context(), postern); err != nil {
				return err
			}
			first = now
			return nil
		})
	}
	load.awaitAccepted(50)
	load.stop()
	w.onlyCodes(load.ledger, http.StatusAccepted)
	if got := load.ledger.accepted(); got < everyPart {
		t.Errorf("only %d requests were sent, want at least %d", got, everyPart)
	}
	w.check(load.ledger)
}

func TestCertificates_ReplacedFilesFailNoRequest(t *testing.T) {
	postern := startPostern(t, controlplane.PosternOptions{CertificateFiles: true})
	w := newWorld(t, 2, 2)
	before, err := w.apiService(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := served(t.Context(), postern)
	if err != nil {
		t.Fatal(err)
	}
	load := w.startLoad(0)
	load.awaitAccepted(everyPart)
	if err := w.RenewCertificateFiles(); err != nil {
		t.Fatal(err)
	}
	w.Eventually(testcluster.Patience, func() error {
		now, err := served(t.Context(), postern)
		if err != nil {
			return err
		}
		if now.Equal(leaf) {
			return errors.New("Postern's certificate has not changed")
		}
		return isSignedBy(now, before.Spec.CABundle)
	})
	// Postern leaves a caBundle alone that it does not manage.
	foreign := foreignCA(t, time.Now(), time.Now().Add(time.Hour))["ca.crt"]
	both := bytes.Join([][]byte{before.Spec.CABundle, foreign}, nil)
	if err := w.setCABundle(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	load.awaitAccepted(everyPart)
	load.stop()
	w.onlyCodes(load.ledger, http.StatusAccepted)
	w.check(load.ledger)
	after, err := w.apiService(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(after.Spec.CABundle, both) {
		t.Errorf("the caBundle is %q", after.Spec.CABundle)
	}
}
