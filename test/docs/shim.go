// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// shims are a directory for the front of PATH, with curl and kubectl. Before they run the real programs, they make this
// process do what a reader's cluster does by itself, or while the reader types.
type shims struct {
	dir    string
	server *http.Server
}

// hooks are called by the shims.
type hooks struct {
	// settle waits until all earlier changes are in effect. It is called before curl, and before the calls of kubectl
	// that Postern answers from its caches.
	settle func(context.Context) error
	// rollOut runs the installed Postern. It is called before "kubectl rollout status".
	rollOut func(context.Context) error
}

// shimScript calls back over a unix socket.
const shimScript = `#!/bin/bash
call() { %[2]s --silent --show-error --fail-with-body --unix-socket %[3]s "http://test/$1" >&2 || exit 125; }
case "%[1]s $*" in
"kubectl rollout status"*) call roll-out ;;
curl*|*webhook*|*whd*|*--raw*|*create*-f*|"kubectl postern"*) call settle ;;
esac
exec %[4]s "$@"
`

// newShims serves until close is called. programs maps names to paths.
func newShims(dir string, programs map[string]string, h hooks) (*shims, error) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		return nil, fmt.Errorf("the documentation uses curl: %w", err)
	}
	socket := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	const headerTimeout = 10 * time.Second
	mux := http.NewServeMux()
	mux.Handle("/settle", handle(h.settle))
	mux.Handle("/roll-out", handle(h.rollOut))
	s := &shims{dir: dir, server: &http.Server{ReadHeaderTimeout: headerTimeout, Handler: mux}}
	go func() { _ = s.server.Serve(listener) }() // until close
	errs := []error{s.write("curl", curl, curl, socket)}
	for name, path := range programs {
		errs = append(errs, s.write(name, path, curl, socket))
	}
	return s, errors.Join(errs...)
}

func handle(hook func(context.Context) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := hook(req.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}

func (s *shims) write(name, path, curl, socket string) error {
	const executable = 0o700
	return os.WriteFile(filepath.Join(s.dir, name), fmt.Appendf(nil, shimScript, name, curl, socket, path), executable)
}

func (s *shims) close() error { return s.server.Close() }
