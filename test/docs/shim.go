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

// shims are a directory of programs for the front of PATH: curl and kubectl, which first have settle called in this
// process where it matters, and are then the real ones.
type shims struct {
	dir    string
	server *http.Server
}

// shimScript calls back over a unix socket. Of kubectl's calls, those that Postern answers from what it has been told.
const shimScript = `#!/bin/bash
case "%[1]s $*" in
curl*|*webhook*|*whd*|*--raw*|*create*-f*)
  %[2]s --silent --show-error --fail-with-body --unix-socket %[3]s http://settle/ >&2 || exit 125 ;;
esac
exec %[4]s "$@"
`

// newShims serves until close is called. Real maps the name of a program to its path.
func newShims(dir string, real map[string]string, settle func(context.Context) error) (*shims, error) {
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
	s := &shims{dir: dir, server: &http.Server{ReadHeaderTimeout: headerTimeout, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, req *http.Request) {
			if err := settle(req.Context()); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})}}
	go func() { _ = s.server.Serve(listener) }() // until close
	errs := []error{s.write("curl", curl, curl, socket)}
	for name, path := range real {
		errs = append(errs, s.write(name, path, curl, socket))
	}
	return s, errors.Join(errs...)
}

func (s *shims) write(name, path, curl, socket string) error {
	const executable = 0o700
	return os.WriteFile(filepath.Join(s.dir, name), fmt.Appendf(nil, shimScript, name, curl, socket, path), executable)
}

func (s *shims) close() error { return s.server.Close() }
