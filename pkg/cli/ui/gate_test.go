// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/generated/clientset/versioned/fake"
)

// served is a page that is served on loopback.
type served struct {
	*server

	listener net.Listener
	url      string // of the root
}

// serveFake serves the deliveries of a fake cluster for the duration of a test.
func serveFake(t *testing.T, client *fake.Clientset) *served {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s, err := newServer(ctx, &cli.Cluster{
		Config: &rest.Config{Host: "https://user:password@cluster.example"}, Namespace: "demo",
		Kubernetes: kubefake.NewClientset(), Postern: client,
	}, listener)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &served{s, listener, "http://" + listener.Addr().String() + s.gate.root}
}

// browser returns a client that has entered.
func (s *served) browser(t *testing.T) *http.Client {
	t.Helper()
	client := newBrowser(t)
	if code, body := get(t, client, s.address(s.listener, s.gate.token)); code != http.StatusOK {
		t.Fatalf("entering was answered %d: %s", code, body)
	}
	return client
}

// newBrowser returns a client that keeps cookies.
func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

func get(t *testing.T, client *http.Client, address string) (code int, body string) {
	t.Helper()
	resp, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}

func TestGate_LetsOnlyTheUsersBrowserIn(t *testing.T) {
	s := serveFake(t, fake.NewSimpleClientset(deliveriesUpTo(3)...))
	host := s.listener.Addr().String()
	_, port, _ := net.SplitHostPort(host)
	cookie := "postern=" + s.gate.session
	page := s.gate.root + "deliveries?namespace=demo"
	for _, test := range []struct {
		name, method, path string
		header             map[string]string
		want               int
	}{
		{"the user", "GET", page, map[string]string{"Cookie": cookie}, 200},
		{"the user, who typed it", "GET", page, map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "none"}, 200},
		{"by another name of loopback", "GET", page,
			map[string]string{"Cookie": cookie, "Host": "localhost:" + port}, 200},
		{"without a cookie", "GET", page, nil, 403},
		{"with another cookie", "GET", page, map[string]string{"Cookie": "postern=guess"}, 403},
		{"with the token as the cookie", "GET", page, map[string]string{"Cookie": "postern=" + s.gate.token}, 403},
		{"with a wrong token", "GET", s.gate.root + "enter?token=guess", nil, 403},
		{"without a token", "GET", s.gate.root + "enter", nil, 403},
		{"with the token elsewhere", "GET", s.gate.root + "deliveries?token=" + s.gate.token, nil, 403},
		{"outside of the root", "GET", "/", nil, 403},
		{"assets without a cookie", "GET", s.gate.root + "assets/style.css", nil, 403},
		{"a name that resolves to loopback", "GET", page,
			map[string]string{"Cookie": cookie, "Host": "evil.example:" + port}, 421},
		{"the same without a port", "GET", page, map[string]string{"Cookie": cookie, "Host": "127.0.0.1"}, 421},
		{"another page", "GET", page, map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "cross-site"}, 403},
		{"a page on another port", "GET", page,
			map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "same-site"}, 403},
		{"a form of another page", "POST", s.gate.root + "redeliver?namespace=demo&name=github-00001",
			map[string]string{"Cookie": cookie, "Origin": "https://evil.example"}, 403},
		{"a form of a page on another port", "POST", s.gate.root + "redeliver?namespace=demo&name=github-00001",
			map[string]string{"Cookie": cookie, "Origin": "http://127.0.0.1:1"}, 403},
		{"a form of a sandboxed page", "POST", s.gate.root + "redeliver?namespace=demo&name=github-00001",
			map[string]string{"Cookie": cookie, "Origin": "null"}, 403},
		{"a form that was not shown", "POST", s.gate.root + "redeliver?namespace=demo&name=github-00001",
			map[string]string{"Cookie": cookie, "Origin": "http://" + host, "Sec-Fetch-Site": "same-origin"}, 403},
		{"another method", "PUT", page, map[string]string{"Cookie": cookie}, 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), test.method, "http://"+host+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range test.header {
				req.Header.Set(name, value)
				if name == "Host" {
					req.Host = value
				}
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != test.want {
				t.Errorf("got %d, want %d", resp.StatusCode, test.want)
			}
			checkHeaders(t, resp.Header)
			if len(resp.Cookies()) > 0 {
				t.Errorf("a cookie was set: %v", resp.Cookies())
			}
		})
	}
}

func checkHeaders(t *testing.T, h http.Header) {
	t.Helper()
	if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self';") ||
		strings.Contains(csp, "unsafe") {
		t.Errorf("the policy is %q", csp)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
		"Referrer-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestGate_Cookie(t *testing.T) {
	s := serveFake(t, fake.NewSimpleClientset())
	resp, err := http.Get(s.address(s.listener, s.gate.token))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cookies := resp.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("got cookies %v", cookies)
	}
	c := cookies[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != s.gate.root || c.MaxAge != 0 ||
		!c.Expires.IsZero() || c.Domain != "" || strings.Contains(resp.Request.URL.String(), c.Value) {
		t.Errorf("got cookie %v", c)
	}
}

func TestGate_LaunchIsValidOnce(t *testing.T) {
	s := serveFake(t, fake.NewSimpleClientset())
	launch := s.address(s.listener, s.gate.launch)
	for i, want := range []int{200, 403, 403} {
		if code, _ := get(t, http.DefaultClient, launch); code != want {
			t.Errorf("opening it for the %d. time was answered %d, want %d", i+1, code, want)
		}
	}
	for range 2 {
		if code, _ := get(t, http.DefaultClient, s.address(s.listener, s.gate.token)); code != 200 {
			t.Errorf("the printed address was answered %d", code)
		}
	}
}

// Another user of the machine can read the arguments of the browser, and be faster than it.
func TestGate_WhoUsedTheLaunchOfTheBrowserIsShutOut(t *testing.T) {
	s := serveFake(t, fake.NewSimpleClientset(deliveriesUpTo(1)...))
	launch := s.address(s.listener, s.gate.launch)
	user, other := s.browser(t), newBrowser(t)
	const page = "deliveries?namespace=demo"
	for range 2 { // the browser may load the address again
		if code, _ := get(t, other, launch); code != http.StatusOK {
			t.Fatalf("entering was answered %d", code)
		}
	}
	stream := s.events(t, other, page+"&live=none")
	stream.next("content")

	if code, _ := get(t, newBrowser(t), launch); code != http.StatusForbidden {
		t.Errorf("entering a second time was answered %d", code)
	}
	if code, _ := get(t, other, s.url+page); code != http.StatusForbidden {
		t.Errorf("who was faster was answered %d", code)
	}
	for stream.scan.Scan() { // until it ends
	}
	if code, _ := get(t, user, s.url+page); code != http.StatusOK {
		t.Errorf("who opened the printed address was answered %d", code)
	}
}

func TestServer_BoundsBodies(t *testing.T) {
	s := serveFake(t, fake.NewSimpleClientset(deliveriesUpTo(3)...))
	form := url.Values{"form": {strings.Repeat("x", maxBody)}}
	resp, err := s.browser(t).PostForm(s.url+"redeliver?namespace=demo&name=github-00001", form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("got %d", resp.StatusCode)
	}
}

// inline matches what the policy forbids: it would not work in a browser.
var inline = regexp.MustCompile(`(?i)<script[^>]*>[^<]|<style|\sstyle=|\son[a-z]+=|javascript:|` +
	`https?://[^"<]*\.(js|css|woff)`)

func TestPages_AllowNothingInline(t *testing.T) {
	s := serveFake(t, fake.NewSimpleClientset(deliveriesUpTo(3)...))
	client := s.browser(t)
	for _, path := range []string{
		"deliveries?namespace=demo", "deliveries?namespace=demo&phase=Failed", "rates?namespace=demo", "rates",
		"senders", "nothing", "delivery?namespace=demo&name=missing", "delivery", "deliveries?namespace=Bad+Name",
	} {
		_, body := get(t, client, s.url+path)
		if !strings.Contains(body, "<h1>") {
			t.Errorf("%s has no heading: %s", path, body)
		}
		if found := inline.FindString(body); found != "" {
			t.Errorf("%s has %q", path, found)
		}
	}
}

func TestForms_ValidOnceAndBounded(t *testing.T) {
	var f forms
	token := f.add("a")
	if f.take(token, "b") || f.take("guess", "a") || f.take("", "a") {
		t.Error("a form was accepted that was not shown")
	}
	if !f.take(token, "a") || f.take(token, "a") {
		t.Error("a form was not accepted exactly once")
	}
	oldest := f.add("a")
	for range maxForms {
		f.add("a")
	}
	if f.take(oldest, "a") || len(f.open) != maxForms {
		t.Errorf("%d forms are open, want %d without the oldest", len(f.open), maxForms)
	}
}

func TestServer_ServesNothingOfItsDirectory(t *testing.T) {
	s := serveFake(t, fake.NewSimpleClientset())
	recorder := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, s.url+"assets/../server.go", nil)
	req.AddCookie(&http.Cookie{Name: cookieName, Value: s.gate.session})
	s.handler().ServeHTTP(recorder, req)
	if strings.Contains(recorder.Body.String(), "package ui") {
		t.Error("the source is served")
	}
}
