// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"postern.dev/postern/test/controlplane"
)

// repository is a git repository that a git daemon on 127.0.0.1 serves. A commit to its branch is pushed at once.
type repository struct {
	t    *testing.T
	dir  string
	url  string
	port string
}

// newRepository serves a repository with one branch, main, whose first commit has the files.
func (w *world) newRepository(name string, files map[string]string) *repository {
	w.T.Helper()
	base := w.T.TempDir()
	r := &repository{t: w.T, dir: filepath.Join(base, name), port: freePort(w.T)}
	r.url = "git://127.0.0.1:" + r.port + "/" + name
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		w.T.Fatal(err)
	}
	r.git("init", "--quiet", "--initial-branch=main")
	r.commit(files)
	// Not "git daemon", which would run it as a child that survives.
	daemon := w.RunProgram(w.T, controlplane.ProgramOptions{
		Name: "git-" + name + "-" + w.Namespace,
		Path: filepath.Join(r.git("--exec-path"), "git-daemon"),
		Args: []string{"--reuseaddr", "--listen=127.0.0.1", "--port=" + r.port, "--base-path=" + base, "--export-all",
			"--enable=receive-pack"},
	})
	w.waitForPort(r.port, daemon)
	return r
}

// git runs git in the repository, without the configuration of the user, and returns its output.
func (r *repository) git(args ...string) string {
	r.t.Helper()
	return runGit(r.t, r.dir, args...)
}

func runGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Jane", "GIT_AUTHOR_EMAIL=jane@example.com",
		"GIT_COMMITTER_NAME=Jane", "GIT_COMMITTER_EMAIL=jane@example.com",
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// commit adds a commit with the files to the current branch and returns its ID.
func (r *repository) commit(files map[string]string) string {
	r.t.Helper()
	for name, content := range files {
		path := filepath.Join(r.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	r.git("add", "--all")
	r.git("commit", "--quiet", "--allow-empty", "--message=Change")
	return r.git("rev-parse", "HEAD")
}

// tag tags the current commit, with an annotated tag.
func (r *repository) tag(name string) { r.git("tag", "--annotate", "--message=Release", name) }

// gate forwards connections to a port, and can hold what the server answers, as a slow network does.
type gate struct {
	port string

	mu     sync.Mutex
	opened chan struct{} // closed while the gate is open
	// holding is closed once an answer is held.
	holding chan struct{}
}

// newGate returns an open gate.
func newGate(t *testing.T, to string) *gate {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{port: port, opened: make(chan struct{})}
	close(g.opened)
	t.Cleanup(func() {
		_ = listener.Close()
		g.open()
	})
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go g.forward(client, to)
		}
	}()
	return g
}

func (g *gate) forward(client net.Conn, to string) {
	defer client.Close()
	server, err := (&net.Dialer{}).Dial("tcp", "127.0.0.1:"+to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(server, client) }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if n > 0 {
			g.pass()
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass returns once the gate is open.
func (g *gate) pass() {
	g.mu.Lock()
	opened := g.opened
	select {
	case <-opened:
	default:
		select {
		case <-g.holding:
		default:
			close(g.holding)
		}
	}
	g.mu.Unlock()
	<-opened
}

// close holds answers from now on. The returned channel is closed once one is held.
func (g *gate) close() (holding <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened, g.holding = make(chan struct{}), make(chan struct{})
	return g.holding
}

// open passes on what is held, and what follows.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.opened:
	default:
		close(g.opened)
	}
}
