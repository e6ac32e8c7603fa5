// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// shared is the control plane with Postern of all tests.
var shared *suite

func TestMain(m *testing.M) {
	testcluster.Main(m, func(ctx context.Context) (err error) {
		shared, err = startSuite(ctx)
		return err
	}, func(ctx context.Context) error {
		reactions.print(os.Stdout)
		return shared.stop(ctx)
	})
}

// suite is a control plane with Postern, and the administrator's clients.
type suite struct {
	*testcluster.Cluster
	postern *controlplane.Postern
	argocd  *argocd // nil until a test needs it
}

func startSuite(ctx context.Context) (_ *suite, err error) {
	c, err := testcluster.Start(ctx, controlplane.Options{})
	if err != nil {
		return nil, err
	}
	s := &suite{Cluster: c}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := s.Install(ctx); err != nil {
		return nil, err
	}
	s.postern, err = s.StartPostern(ctx, controlplane.PosternOptions{})
	return s, err
}

func (s *suite) stop(ctx context.Context) error {
	var errs []error
	if s.argocd != nil {
		errs = append(errs, s.argocd.stop())
	}
	if s.postern != nil {
		errs = append(errs, s.postern.Kill())
	}
	return errors.Join(append(errs, s.Stop(ctx))...)
}

// needsPrograms skips a test that needs programs that only "make test-real" builds.
func needsPrograms(t *testing.T) {
	t.Helper()
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip(`"make test-real" runs it`)
	}
}

// freePort returns a port of 127.0.0.1 that no program listens on.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
}

// waitForPort waits until a program accepts connections on a port of 127.0.0.1, and fails if it ends.
func (w *world) waitForPort(port string, program *controlplane.Program) {
	w.T.Helper()
	w.Eventually(testcluster.StartTimeout, func() error {
		if !program.Running() {
			w.T.Fatal(program.LogTail())
		}
		connection, err := (&net.Dialer{}).DialContext(w.T.Context(), "tcp", "127.0.0.1:"+port)
		if err != nil {
			return fmt.Errorf("%w; %s", err, program.LogTail())
		}
		return connection.Close()
	})
}
