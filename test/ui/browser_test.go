// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"k8s.io/apimachinery/pkg/util/wait"
)

// browserPrograms are the names of the program in Debian and elsewhere.
var browserPrograms = []string{"chromium", "chromium-browser", "google-chrome"}

// command is a running "kubectl postern ui".
type command struct {
	*exec.Cmd

	address string
}

// runUI runs the command for the duration of a test.
func runUI(t *testing.T) *command {
	t.Helper()
	c := &command{Cmd: exec.Command(root+"bin/kubectl-postern", "ui", "--no-browser",
		"--kubeconfig="+cluster.AdminKubeconfig(), "--namespace="+namespace)}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("the command ended with %v", err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	c.address = strings.TrimSpace(line)
	return c
}

// page returns the address of a page.
func (c *command) page(path string) string {
	return c.address[:strings.LastIndex(c.address, "/")+1] + path
}

// browser is a tab of a browser. Its profile is new.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	messages []string
}

// newBrowser starts a browser for the duration of a test. The test fails if a page causes an error in its console.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	program := ""
	for _, name := range browserPrograms {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		t.Fatal("there is no Chromium: run hack/ui-packages.sh")
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir())}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "hide-scrollbars", "disable-dev-shm-usage",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	ctx, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(closeTab)
	b := &browser{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatalf("could not start %s: %v", program, err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, message := range b.messages {
			t.Errorf("the console of the browser has %s", message)
		}
	})
	return b
}

// note keeps errors: violations of the content security policy, exceptions, and what could not be loaded.
func (b *browser) note(event any) {
	message := ""
	switch event := event.(type) {
	case *log.EventEntryAdded:
		if event.Entry.Level == log.EntryLevelError || event.Entry.Level == log.EntryLevelWarning {
			message = event.Entry.Text
		}
	case *runtime.EventExceptionThrown:
		message = fmt.Sprint(event.ExceptionDetails)
	}
	if message != "" {
		b.mu.Lock()
		b.messages = append(b.messages, message)
		b.mu.Unlock()
	}
}

func (b *browser) call(what string, f func(context.Context, *chromedp.Target) error) {
	b.t.Helper()
	b.do(what, chromedp.Func(f))
}

// do runs actions, for at most a minute.
func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx); err != nil { // starts the browser, which must not end with the timeout
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// enter opens the address that the command printed, and waits until it has led to the deliveries.
func (b *browser) enter(c *command) {
	b.t.Helper()
	b.do("enter", chromedp.Navigate(c.address))
	b.wait(`location.pathname.endsWith("/deliveries")`)
}

func (b *browser) open(address string) {
	b.t.Helper()
	b.do("open "+address, chromedp.Navigate(address))
}

// wait waits until an expression is true. While the browser goes to another page, there is nothing to evaluate it in.
func (b *browser) wait(expression string) {
	b.t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(b.ctx, 20*time.Millisecond, time.Minute, true,
		func(ctx context.Context) (bool, error) {
			var holds bool
			holds, last = chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
			return holds && last == nil, nil
		})
	if err != nil {
		b.t.Fatalf("timed out: %s (%v)", expression, last)
	}
}

// evaluate returns the value of an expression.
func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// mode is how a user looks at a page.
type mode struct {
	name          string
	width, height int64
	dark          bool
}

var modes = []mode{
	{"light", 1280, 800, false},
	{"dark", 1280, 800, true},
	{"narrow", 390, 844, false},
	{"narrow-dark", 390, 844, true},
}

// look changes how the pages are seen.
func (b *browser) look(m mode) {
	b.t.Helper()
	scheme := "light"
	if m.dark {
		scheme = "dark"
	}
	b.do("look", chromedp.EmulateViewport(m.width, m.height), chromedp.Func(
		func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			return err
		}))
}
