// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package ui tests the page of "kubectl postern ui" in a real control plane, as a browser without JavaScript uses it.
// Package test/ui tests it in a browser.
package ui

import (
	"bufio"
	"context"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// program is the plugin, as "make kubectl-postern" builds it.
const program = "../../../bin/kubectl-postern"

var (
	cluster *testcluster.Cluster
	postern *controlplane.Postern
)

func TestMain(m *testing.M) {
	testcluster.Main(m, func(ctx context.Context) (err error) {
		cluster, postern, err = testcluster.StartWithPostern(ctx)
		return err
	}, func(ctx context.Context) error { return errors.Join(postern.Kill(), cluster.Stop(ctx)) })
}

// page is a running "kubectl postern ui", and a browser that has opened it.
type page struct {
	t       *testing.T
	root    string
	browser *http.Client
	command *exec.Cmd
}

// open runs the command with a kubeconfig and opens its page. At the end of the test the command is interrupted.
func open(t *testing.T, kubeconfig, namespace string) *page {
	t.Helper()
	command := exec.Command(program, "ui", "--no-browser", "--kubeconfig="+kubeconfig, "--namespace="+namespace)
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	command.Stderr = &stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the command printed no address: %v, %v: %s", err, command.Wait(), &stderr)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &page{t: t, browser: &http.Client{Jar: jar, Timeout: time.Minute}, command: command}
	p.root = address[:strings.LastIndex(address, "/")+1]
	t.Cleanup(func() {
		if command.ProcessState == nil {
			p.interrupt()
		}
	})
	code, body := p.get(strings.TrimPrefix(strings.TrimSpace(address), p.root))
	if code != http.StatusOK {
		t.Fatalf("opening the page was answered %d: %s", code, body)
	}
	return p
}

// interrupt is Ctrl-C. The command has to end with success.
func (p *page) interrupt() {
	p.t.Helper()
	began := time.Now()
	if err := p.command.Process.Signal(syscall.SIGINT); err != nil {
		p.t.Error(err)
	}
	if err := p.command.Wait(); err != nil {
		p.t.Errorf("the command ended with %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		p.t.Errorf("the command took %s to end", took)
	}
}

// get returns a page.
func (p *page) get(path string) (code int, body string) {
	p.t.Helper()
	return p.request(http.MethodGet, path, "")
}

// request sends a form, as a browser does after a page of the same origin.
func (p *page) request(method, path, form string) (code int, body string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.root+path, strings.NewReader(form))
	if err != nil {
		p.t.Fatal(err)
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	resp, err := p.browser.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}

// expect gets a page, and checks its code and that it has all of the texts. It returns the HTML.
func (p *page) expect(code int, path string, texts ...string) string {
	p.t.Helper()
	got, body := p.get(path)
	if got != code {
		p.t.Errorf("%s was answered %d, want %d: %s", path, got, code, body)
	}
	for _, text := range texts {
		if !strings.Contains(html.UnescapeString(body), text) {
			p.t.Errorf("%s does not contain %q: %s", path, text, body)
		}
	}
	return body
}
