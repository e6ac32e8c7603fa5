// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

const (
	// firstScreenGoal is the goal for the first screen of deliveries after the command was started, with manyRecords,
	// on a machine that lists them in idleList. A busy one has as much more time as it lists more slowly.
	firstScreenGoal = time.Second
	idleList        = 300 * time.Millisecond
	// memoryGoal bounds the memory of the command, in MiB, after all pages were opened.
	memoryGoal = 160
)

// The time is that of the first page after a start, so the deliveries have to be read.
func TestFirstScreen_ManyDeliveries(t *testing.T) {
	b := newBrowser(t)
	b.open("about:blank")
	best := math.Inf(1)
	for range 3 {
		list := timeList(t)
		c := runUI(t)
		began := time.Now()
		b.open(c.address)
		b.wait(`document.querySelectorAll("table.list tbody tr").length === 50`)
		took := time.Since(began)
		b.wait(`document.querySelector(".foot p").textContent.includes("of 10,0")`)
		t.Logf("the first screen took %s, all deliveries %s; a plain list of them %s", took.Round(time.Millisecond),
			time.Since(began).Round(time.Millisecond), list.Round(time.Millisecond))
		best = min(best, float64(took)/max(1, float64(list)/float64(idleList)))
		b.open("about:blank") // or the end of the command would be an error in the console
	}
	if best > float64(firstScreenGoal) {
		t.Errorf("the first screen took %s, if the machine were idle; want at most %s", time.Duration(best),
			firstScreenGoal)
	}
}

// timeList returns how long a plain client takes to list all deliveries, without decoding them.
func timeList(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	list, err := cluster.Deliveries.PosternV1alpha1().RESTClient().Get().Namespace(namespace).
		Resource("webhookdeliveries").DoRaw(t.Context())
	if err != nil || len(list) < manyRecords {
		t.Fatalf("listing returned %d bytes and error %v", len(list), err)
	}
	return time.Since(began)
}

func TestMemory_Bounded(t *testing.T) {
	c := runUI(t)
	b := newBrowser(t)
	b.enter(c)
	for range 3 {
		for _, path := range []string{"deliveries?namespace=demo", "deliveries", "rates?namespace=demo&period=72h",
			"senders?namespace=demo"} {
			b.open(c.page(path))
		}
	}
	highest := memoryOf(t, c, "VmHWM")
	t.Logf("memory: %d MiB, at the highest %d MiB", memoryOf(t, c, "VmRSS"), highest)
	if highest > memoryGoal {
		t.Errorf("the command took %d MiB, want at most %d", highest, memoryGoal)
	}
}

// memoryOf returns a figure of the kernel in MiB.
func memoryOf(t *testing.T, c *command, figure string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); fields[0] == figure+":" {
			kib, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return kib >> 10
		}
	}
	t.Fatalf("the kernel does not say %s", figure)
	return 0
}

// shown are the pages, with a name for the screenshot.
func shown(c *command, t *testing.T) [][2]string {
	harbor := nameOf(t, "harbor", applied)
	return [][2]string{
		{"deliveries", c.page("deliveries?namespace=demo")},
		{"delivery", c.page(harbor)},
		{"delivery-failed", c.page(nameOf(t, "generic", failed))},
		{"rates", c.page("rates?namespace=demo&period=72h")},
		{"senders", c.page("senders?namespace=demo")},
		{"sender", c.page("senders?namespace=demo&source=github")},
		{"redeliver", c.page("re" + strings.Replace(harbor, "delivery?", "deliver?", 1))},
		{"empty", c.page("deliveries?namespace=kube-public")},
		{"error", c.page("delivery?namespace=demo&name=missing")},
	}
}

// nameOf returns the path of the page of a sample.
func nameOf(t *testing.T, source string, phase v1alpha1.DeliveryPhase) string {
	t.Helper()
	list, err := cluster.Deliveries.PosternV1alpha1().WebhookDeliveries(namespace).List(t.Context(), metav1.ListOptions{
		FieldSelector: "spec.source=" + source + ",status.phase=" + string(phase),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list.Items {
		if !strings.HasPrefix(string(d.UID), "00000000-") { // not a copy
			return "delivery?namespace=" + namespace + "&name=" + d.Name
		}
	}
	t.Fatalf("there is no delivery from %s that is %s", source, phase)
	return ""
}

// violation is a rule of axe-core that a page does not keep.
type violation struct {
	ID    string `json:"id"`
	Help  string `json:"help"`
	Nodes []struct {
		HTML           string `json:"html"`
		FailureSummary string `json:"failureSummary"`
	} `json:"nodes"`
}

func TestAccessibility(t *testing.T) {
	axe, err := os.ReadFile(root + "bin/axe/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("run \"hack/axe.sh\" first: %v", err)
	}
	c := runUI(t)
	b := newBrowser(t)
	b.enter(c)
	for _, m := range modes {
		b.look(m)
		for _, p := range shown(c, t) {
			t.Run(m.name+"/"+p[0], func(t *testing.T) {
				if p[0] == "error" {
					b.forget(t, p[1])
				} else {
					b.open(p[1])
				}
				evaluate[bool](b, string(axe)+"; true")
				result := evaluate[string](b, `axe.run(document).then(r => JSON.stringify(r.violations))`)
				var violations []violation
				if err := json.Unmarshal([]byte(result), &violations); err != nil {
					t.Fatal(err)
				}
				for _, v := range violations {
					t.Errorf("%s: %s", v.ID, v.Help)
					for _, n := range v.Nodes[:min(3, len(v.Nodes))] {
						t.Errorf("  %s\n  %s", n.HTML, n.FailureSummary)
					}
				}
				if wide := evaluate[int](b, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
					t.Errorf("the page is %d pixels wider than the window", wide)
				}
			})
		}
	}
}

// forget opens a page that is answered with an error, which the console shows.
func (b *browser) forget(t *testing.T, address string) {
	t.Helper()
	b.open(address)
	b.mu.Lock()
	defer b.mu.Unlock()
	var others []string
	for _, message := range b.messages {
		if !strings.Contains(message, "404 (Not Found)") {
			others = append(others, message)
		}
	}
	b.messages = others
}

// A delivery that arrives is shown and announced, and the keyboard stays where it was.
func TestLive_NewDelivery(t *testing.T) {
	c := runUI(t)
	b := newBrowser(t)
	b.enter(c)
	b.wait(`document.querySelectorAll("table.list tbody tr").length === 50`)
	b.do("focus", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := chromedp.Evaluate[bool](`document.querySelectorAll("table.list th a")[3].focus(); true`)(ctx, target)
		return err
	}))
	focused := evaluate[string](b, "document.activeElement.id")
	w := sample{by: byCI, path: "gatewaysyncs/plant", body: `{"ref": "v9.0.0"}`, wants: applied}
	if err := send(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	b.wait(`document.querySelector("table.list tbody code")?.textContent === "v9.0.0"`)
	t.Logf("the delivery was shown after %s", time.Since(began).Round(time.Millisecond))
	b.wait(`document.getElementById("news").textContent.startsWith("1 new delivery since ")`)
	if got := evaluate[string](b, "document.activeElement.id"); got != focused || focused == "" {
		t.Errorf("the focus moved from %q to %q", focused, got)
	}

	// After a pause nothing changes until it ends.
	b.do("pause", chromedp.Click(chromedp.ID("pause")))
	w.body = `{"ref": "v9.1.0"}`
	if err := send(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if shown := evaluate[string](b, `document.querySelector("table.list tbody code").textContent`); shown != "v9.0.0" {
		t.Errorf("%s was shown while updates were paused", shown)
	}
	b.do("resume", chromedp.Click(chromedp.ID("pause")))
	b.wait(`document.querySelector("table.list tbody code")?.textContent === "v9.1.0"`)
}

// All can be reached by the keyboard, in the order of the page, and the first thing is a link to the content.
func TestKeyboard(t *testing.T) {
	c := runUI(t)
	b := newBrowser(t)
	b.enter(c)
	var reached []string
	for range 12 {
		b.do("tab", chromedp.KeyEvent(kb.Tab))
		name := `(document.activeElement.textContent || document.activeElement.id).trim()`
		reached = append(reached, evaluate[string](b, name))
	}
	want := "Skip to the content, Postern, Deliveries, Rates, Senders, namespace, target"
	if got := strings.Join(reached, ", "); !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q first", got, want)
	}
	for _, p := range shown(c, t)[:2] {
		b.open(p[1])
		b.do("skip", chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
		b.wait(`document.activeElement.id === "main"`)
	}
}

func TestWithoutJavaScript(t *testing.T) {
	c := runUI(t)
	b := newBrowser(t)
	b.call("disable scripts", func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled,
			emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	})
	b.open(c.address)
	b.waitLocation("/deliveries?")
	b.do("open a delivery", chromedp.Click(chromedp.CSS(`table.list th a`)))
	b.waitLocation("/delivery?")
	b.do("redeliver", chromedp.Click(chromedp.CSS(`.title a.button`)))
	b.waitLocation("/redeliver?")
	before := b.location()
	b.do("confirm", chromedp.Click(chromedp.CSS(`button.primary`)))
	b.waitLocation("/delivery?")
	if b.location() == before {
		t.Error("there is no new delivery")
	}
	text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS(`.details`)))
	if err != nil || !strings.Contains(text, "Redelivery of") {
		t.Errorf("the details are %q, error %v", text, err)
	}
	text, err = chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS(`main`)))
	if err != nil || strings.Contains(text, "Pause") {
		t.Errorf("without scripts there is a button to pause, error %v", err)
	}
}

func (b *browser) location() string {
	b.t.Helper()
	location, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil {
		b.t.Fatal(err)
	}
	return location
}

func (b *browser) waitLocation(part string) {
	b.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(b.location(), part) {
		if time.Now().After(deadline) {
			b.t.Fatalf("the browser is at %s, want %s", b.location(), part)
		}
		b.do("wait", chromedp.WaitReady(chromedp.CSS("body")))
	}
}

// Pages of other sites, and of other ports of this machine, can't use a page that the browser has open, though they
// know its address. Those of other ports are of the same site, so the browser sends the cookie with their requests.
func TestOtherPages(t *testing.T) {
	c := runUI(t)
	b := newBrowser(t)
	b.enter(c)
	redeliver := c.page("re" + strings.Replace(nameOf(t, "harbor", applied), "delivery?", "deliver?", 1))
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `<!doctype html><title>Other</title><iframe src="%[1]s"></iframe>
			<form method="post" action="%[1]s"><button id="send">Send</button></form>
			<a id="link" href="%[1]s">Link</a>`,
			html.EscapeString(redeliver))
	}))
	defer other.Close()
	before := countRecords(t)
	for _, host := range []string{"127.0.0.1", "localhost"} {
		for _, click := range []string{"send", "link"} {
			b.open(strings.Replace(other.URL, "127.0.0.1", host, 1))
			if frame := evaluate[bool](b, `document.querySelector("iframe").contentDocument !== null`); frame {
				t.Errorf("a page of %s can read the page in a frame", host)
			}
			b.do("click", chromedp.Click(chromedp.ID(click)))
			b.wait(`document.title !== "Other"`)
			if text := evaluate[string](b, "document.body.textContent"); !strings.Contains(text, "Not opened") {
				t.Errorf("%s from a page of %s shows %s", click, host, text)
			}
		}
	}
	b.open(strings.Replace(c.page("deliveries"), "127.0.0.1", "localhost", 1)) // another site, without a cookie
	if text := evaluate[string](b, "document.body.textContent"); !strings.Contains(text, "Not opened") {
		t.Errorf("by another name it shows %s", text)
	}
	if after := countRecords(t); after != before {
		t.Errorf("there are %d records, before there were %d", after, before)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = nil // about what was refused
}

func countRecords(t *testing.T) int {
	t.Helper()
	deliveries := cluster.Deliveries.PosternV1alpha1().WebhookDeliveries(namespace)
	list, err := deliveries.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}
