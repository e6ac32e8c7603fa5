// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestRestart_KeepsRecords(t *testing.T) {
	s := newSuite(t, "--delivery-ttl=1h")
	t.Run("on request keeps deliveries and their time to live and logs no error", func(t *testing.T) {
		s.keepsDeliveries(t, func() {
			quiet := s.noErrorsFromNowOn(t)
			if err := s.postern.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			quiet()
		})
	})
	t.Run("after a crash keeps deliveries and their time to live", func(t *testing.T) {
		s.keepsDeliveries(t, func() {
			if err := s.postern.Kill(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("is not held up by an open watch", func(t *testing.T) {
		w := s.newWorld(t)
		watch, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).Watch(t.Context(),
			metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer watch.Stop()
		if err := s.postern.Stop(t.Context()); err != nil { // it is killed after half a minute
			t.Error(err)
		}
		w.startPostern()
	})
	t.Run("leaves no gap in which policies are not in force", s.policiesAreInForceAtOnce)
}

// keepsDeliveries delivers, ends and restarts Postern, and fails the test if the records have changed.
func (s *suite) keepsDeliveries(t *testing.T, end func()) {
	w := s.newWorld(t)
	w.threeDeliveries()
	raw := w.ci().mustPost(t, gatewaySyncPath("web"), release, nil, http.StatusAccepted).delivery(t).Name
	w.concluded(raw)
	before := w.records()

	end()
	if s.postern.Running() {
		t.Error("Postern is still running")
	}
	w.startPostern()

	w.checkLeases(60 * 60)
	if diff := cmp.Diff(before, w.records()); diff != "" {
		t.Errorf("recorded deliveries (-before +after):\n%s", diff)
	}
	if len(before) != 4 {
		t.Errorf("got %d deliveries, want 4", len(before))
	}
	mustBeIn(t, w.refused(delivery("web-ref", toWeb+", ref: v9"), "create", "--filename=-"),
		"Error from server (AlreadyExists)")
	lines := w.lines("get", "whd", "--watch")
	w.await(lines, raw, "Applied")
	w.deliver(delivery("after", toWeb+", ref: v9"))
	w.await(lines, "after", "Applied")
	w.mustHold(gatewaySyncs, "web", requestedRef, "v9")
}

// startPostern starts Postern again, and waits until the kube-apiserver reports it available consistently: it may have
// noticed Postern's absence late.
func (w *world) startPostern() {
	w.T.Helper()
	if err := w.postern.Start(w.T.Context()); err != nil {
		w.T.Fatal(err)
	}
	const enough = 5
	inARow := 0
	w.eventually(func() error {
		if _, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).List(w.T.Context(),
			metav1.ListOptions{}); err != nil {
			inARow = 0
			return err
		}
		if inARow++; inARow < enough {
			return fmt.Errorf("Postern answered %d times in a row", inARow)
		}
		return nil
	})
}

// noErrorsFromNowOn returns a check that Postern's log has no new errors.
func (s *suite) noErrorsFromNowOn(t *testing.T) (check func()) {
	t.Helper()
	read := func() []byte {
		log, err := os.ReadFile(s.postern.LogFile())
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	before := len(read())
	return func() {
		t.Helper()
		added := read()[before:]
		if !bytes.Contains(added, []byte("Stopping and waiting for")) {
			t.Errorf("the log does not report that Postern was stopped: %s", added)
		}
		// Errors and fatal errors of klog, a panic, and the final error of a command.
		bad := regexp.MustCompile(`(?m)^([EF]\d{4} |panic: |goroutine |Error: ).*$`).FindAllString(string(added), -1)
		// controller-runtime cancels Events that are being written at shutdown, and client-go watches that are being
		// opened: where a watch can't start with a list, that is after Postern is ready.
		bad = slices.DeleteFunc(bad, func(line string) bool {
			return strings.Contains(line, "context canceled") &&
				(strings.Contains(line, "Unable to write event") || strings.Contains(line, "Failed to watch"))
		})
		if len(bad) > 0 {
			t.Errorf("the log has errors: %s", strings.Join(bad, "\n"))
		}
	}
}

func (s *suite) policiesAreInForceAtOnce(t *testing.T) {
	w := s.newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	mutating := s.ServesMutatingPolicies(t)
	if mutating {
		w.policy("MutatingAdmissionPolicy", changes(stripPrefix), "")
	}
	w.policy("ValidatingAdmissionPolicy", onlyVersions, "validationActions: [Deny]")
	w.untilTried(ci, `{"ref": "main"}`, answeredWith(http.StatusUnprocessableEntity))
	if mutating {
		w.untilTried(ci, `{"ref": "release-v1"}`, tried("v1"))
	}

	if err := s.postern.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.startPostern()

	ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "main"}`, nil, http.StatusUnprocessableEntity)
	if mutating {
		ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "release-v1"}`, nil, http.StatusAccepted)
	} else {
		ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusAccepted)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1")
}
