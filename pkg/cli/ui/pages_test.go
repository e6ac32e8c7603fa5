// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bufio"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli/doctor"
	"postern.dev/postern/pkg/cli/story"
	"postern.dev/postern/pkg/generated/clientset/versioned/fake"
)

// hostile is a text that a sender or an owner of an object could choose. U+202E turns around what follows.
const hostile = "\"><script>alert(1)</script>' onmouseover=alert(2) {{.}} \u202e\x1b[2J\r\n\u2028 " +
	"https://evil.example/x.js"

// checkEscaped checks that a page shows the hostile text, and that it does nothing.
func checkEscaped(t *testing.T, name, html string) {
	t.Helper()
	for _, forbidden := range []string{
		"<script>", "\u202e", "\x1b", "\r", "\u2028", `' onmouseover`, `href="javascript`,
	} {
		if strings.Contains(html, forbidden) {
			t.Errorf("%s contains %q", name, forbidden)
		}
	}
	if !strings.Contains(html, `\u202e`) {
		t.Errorf("%s does not show the hostile text: %s", name, html)
	}
}

func hostileDelivery() *v1alpha1.WebhookDelivery {
	d := newDelivery(1)
	now := metav1.NewMicroTime(time.Now())
	event := v1alpha1.DeliveryEvent{
		Source: hostile, Event: hostile, Ref: hostile, RefType: hostile, Repository: "javascript:alert(1)" + hostile,
		Revision: hostile, DeliveryID: hostile, Time: &now,
	}
	d.Name, d.Spec.Source, d.Spec.RedeliveryOf = hostile, hostile, hostile
	d.Spec.Target = nil
	d.Spec.Events = []v1alpha1.DeliveryEvent{event}
	d.Status = v1alpha1.WebhookDeliveryStatus{
		Phase: hostile, Reason: hostile, Message: hostile, AuditID: hostile,
		Targets: []v1alpha1.TargetResult{{
			Kind: hostile, Name: hostile, Ref: hostile, PreviousRef: hostile, Result: hostile, Reason: hostile,
			Message: hostile,
		}},
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionKept, Message: hostile}},
		Ignored:    []v1alpha1.IgnoredPart{{Reason: hostile, Message: hostile}},
		Sender:     &v1alpha1.Sender{Name: hostile, Method: hostile}, Payload: &v1alpha1.PayloadDigest{SHA256: hostile},
		Repeats: &v1alpha1.Repeats{Count: 2, LastSender: v1alpha1.Sender{Name: hostile}},
	}
	return d
}

func TestPages_EscapeHostileTexts(t *testing.T) {
	d := hostileDelivery()
	told := &story.Story{
		Delivery: d, Summary: hostile, Advice: hostile,
		Targets: []story.TargetStory{{
			TargetResult: d.Status.Targets[0], Explanation: hostile, CurrentRef: hostile, SupersededBy: hostile,
			Problem: hostile, Changes: []story.Change{{Field: hostile, Old: hostile, New: hostile, Now: hostile + "x"}},
		}},
		Events: []corev1.Event{{Type: hostile, Reason: hostile, Message: hostile,
			InvolvedObject: corev1.ObjectReference{Kind: hostile, Name: hostile}}},
	}
	rows := []*record{trim(d)}
	unlisted := extent{ListProblem: hostile, WatchProblem: hostile}
	for i, page := range []struct {
		name    string
		content any
	}{
		{"deliveries", &deliveriesContent{
			extent: extent{Kept: 1, WatchProblem: hostile}, Rows: rows, AllNamespaces: true, Sources: []string{hostile},
			Filter: filter{Target: hostile, Source: hostile, Phase: hostile}, Phases: countPhases(rows), OlderPage: 2,
		}},
		{"deliveries", &deliveriesContent{extent: unlisted}},
		{"delivery", &deliveryContent{Story: told, Requests: d.Spec.Events, WatchProblem: hostile, Redeliverable: true,
			TakenBack: &d.Status.Conditions[0]}},
		{"redeliver", &confirmContent{Delivery: d, Trial: d, Targets: d.Status.Targets, Form: "form"}},
		{"redeliver", &confirmContent{Delivery: d, Problem: hostile}},
		{"senders", &sendersContent{
			Examined: hostile, Unfinished: hostile, Problem: hostile,
			Findings: []doctor.Finding{{Step: hostile, Level: hostile, Message: hostile, Command: hostile}},
			Sources: []v1alpha1.WebhookSource{{ObjectMeta: metav1.ObjectMeta{Name: hostile},
				Status: v1alpha1.WebhookSourceStatus{Requests: hostile, Methods: []string{hostile},
					SecretKeys: []string{hostile}, Path: hostile}}},
		}},
		{"rates", &ratesContent{Filter: filter{Target: hostile}, Sources: []string{hostile}, Periods: periods,
			Period: periods[0], Plot: newPlot(rows, time.Now(), periods[0]), BySource: bySource(rows)}},
		{"error", hostile},
	} {
		t.Run(fmt.Sprint(i, page.name), func(t *testing.T) {
			v := &view{Title: hostile, Page: page.name, Namespace: hostile, Namespaces: []string{hostile},
				Cluster: hostile, Live: "version", News: hostile, Content: page.content}
			checkEscaped(t, page.name, string(execute(page.name, "layout.html", v)))
		})
	}
}

// rowLink is the link in a row of the list.
var rowLink = regexp.MustCompile(`<a id="d-[^"]*" href="[^"]*">([^<]*)</a>`)

func TestDeliveries_FiltersAndPages(t *testing.T) {
	objects := deliveriesUpTo(120)
	for i := 100; i < 110; i++ {
		d := objects[i].(*v1alpha1.WebhookDelivery)
		d.Spec.Source, d.Status.Phase = "harbor", v1alpha1.DeliveryFailed
		d.Spec.Target.Name = "till"
	}
	s := serveFake(t, fake.NewSimpleClientset(objects...))
	client := s.browser(t)
	for _, test := range []struct{ query, first, says string }{
		{"namespace=demo", "github-00119", "Showing 1 to 50 of 120, the newest first."},
		{"namespace=demo&page=3", "github-00019", "Showing 101 to 120 of 120,"},
		{"namespace=demo&page=99", "github-00019", "Showing 101 to 120 of 120,"},
		{"namespace=demo&page=-1", "github-00119", "Showing 1 to 50 of 120,"},
		{"namespace=demo&source=harbor", "github-00109", "Showing 1 to 10 of 10 that match, of 120,"},
		{"namespace=demo&phase=Failed", "github-00109", "Showing 1 to 10 of 10 that match, of 120,"},
		{"namespace=demo&target=+Application/TILL", "github-00109", "Showing 1 to 10 of 10 that match, of 120,"},
		{"namespace=demo&target=shop&page=2", "github-00059", "Showing 51 to 100 of 110 that match, of 120,"},
		{"namespace=demo&source=harbor&phase=Applied", "", "None of the 120 deliveries"},
		{"namespace=other", "", "Nothing was delivered to other"},
		{"", "github-00119", "Showing 1 to 50 of 120,"},
	} {
		code, body := get(t, client, s.url+"deliveries?"+test.query)
		if code != http.StatusOK || !strings.Contains(body, test.says) {
			t.Errorf("%s: got %d without %q: %s", test.query, code, test.says, body)
		}
		first := ""
		if found := rowLink.FindStringSubmatch(body); found != nil {
			first = found[1]
		}
		if first != test.first {
			t.Errorf("%s: the first row is %q, want %q", test.query, first, test.first)
		}
	}
}

func TestDeliveries_SaysWhatIsNotShown(t *testing.T) {
	s := serveFake(t, fake.NewSimpleClientset(deliveriesUpTo(120)...))
	s.feeds.limit = 100
	client := s.browser(t)
	for page, want := range map[string]string{
		"deliveries": "These are the newest 100 of 120 deliveries; this page does not search the 20 older ones.",
		"rates":      "There were no deliveries in this period.",
	} {
		if _, body := get(t, client, s.url+page+"?namespace=demo"); !strings.Contains(body, want) {
			t.Errorf("%s does not say %q: %s", page, want, body)
		}
	}
}

func TestPages_NameTheClusterWithoutACredential(t *testing.T) {
	s := serveFake(t, fake.NewSimpleClientset())
	_, body := get(t, s.browser(t), s.url+"deliveries?namespace=demo")
	if !strings.Contains(body, "</span>https://cluster.example</p>") || strings.Contains(body, "password") {
		t.Errorf("got %s", body)
	}
}

// events reads server-sent events.
type events struct {
	t    *testing.T
	scan *bufio.Scanner
}

func (s *served) events(t *testing.T, client *http.Client, path string) *events {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("got %s with code %d", got, resp.StatusCode)
	}
	return &events{t, bufio.NewScanner(resp.Body)}
}

// next returns the data of the next event of a name.
func (e *events) next(name string) string {
	e.t.Helper()
	var data []string
	current := ""
	for e.scan.Scan() {
		switch line := e.scan.Text(); {
		case strings.HasPrefix(line, "event: "):
			current, data = strings.TrimPrefix(line, "event: "), nil
		case strings.HasPrefix(line, "data: "):
			data = append(data, strings.TrimPrefix(line, "data: "))
		case line == "" && current == name:
			return strings.Join(data, "\n")
		}
	}
	e.t.Fatalf("the stream has ended before an event %s: %v", name, e.scan.Err())
	return ""
}

func TestLive_SendsWhatIsNew(t *testing.T) {
	cluster := fake.NewSimpleClientset(deliveriesUpTo(3)...)
	s := serveFake(t, cluster)
	client := s.browser(t)
	_, body := get(t, client, s.url+"deliveries?namespace=demo")
	_, version, _ := strings.Cut(body, `data-live="`)
	version, _, _ = strings.Cut(version, `"`)
	if version == "" {
		t.Fatal("the page has no version")
	}
	stream := s.events(t, client, "deliveries?namespace=demo&live="+version)
	d := newDelivery(7)
	now := metav1.NewMicroTime(time.Now().Add(time.Minute))
	d.Status.ReceivedTime = &now
	d.Name = "github-hostile"
	d.Spec.Events[0].Ref = hostile
	deliveries := cluster.PosternV1alpha1().WebhookDeliveries("demo")
	if _, err := deliveries.Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The first content is the new one: the browser had the one before.
	content := stream.next("content")
	if !strings.Contains(content, "github-hostile") || !strings.Contains(content, "Showing 1 to 4 of 4,") {
		t.Errorf("got %s", content)
	}
	checkEscaped(t, "the update", content)
	if news := stream.next("news"); !strings.HasPrefix(news, "1 new delivery since ") {
		t.Errorf("got news %q", news)
	}
}

func TestLive_Bounded(t *testing.T) {
	s := serveFake(t, fake.NewSimpleClientset(deliveriesUpTo(1)...))
	client := s.browser(t)
	for range maxLive {
		s.events(t, client, "deliveries?namespace=demo&live=none").next("content")
	}
	if code, _ := get(t, client, s.url+"deliveries?namespace=demo&live=none"); code != http.StatusServiceUnavailable {
		t.Errorf("one more was answered %d", code)
	}
}

func TestVisible_ShowsHiddenCharacters(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, 日本語 ✓\n\t": "plain text, 日本語 ✓\n\t",
		"a\u202eb\u200bc\u0007": `a\u202eb\u200bc\u0007`,
	} {
		if got := string(visible([]byte(in))); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
