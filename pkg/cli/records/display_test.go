// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli/story"
)

// newRow returns a row that was created at a second, at a version.
func newRow(name string, second int64, version uint64) row {
	return row{
		NamespacedName: types.NamespacedName{Namespace: "demo", Name: name}, uid: types.UID(name),
		created: time.Unix(second, 0), version: version, cells: map[string]string{"Name": name},
	}
}

func names(rows []row) string {
	var all []string
	for _, r := range rows {
		all = append(all, r.Name)
	}
	return strings.Join(all, " ")
}

func TestBoard_KeepsNewest(t *testing.T) {
	b := &board{limit: 2}
	for _, tt := range []struct {
		change
		shown bool
		want  string
	}{
		{change{newRow("b", 2, 20), false}, true, "b"},
		{change{newRow("a", 1, 10), false}, true, "b a"},
		{change{newRow("c", 3, 30), false}, true, "c b"},
		{change{newRow("a", 1, 31), false}, false, "c b"}, // too old to be shown
		{change{newRow("b", 2, 20), false}, false, "c b"}, // seen already
		{change{newRow("b", 2, 32), false}, true, "c b"},
		{change{newRow("d", 3, 33), false}, true, "d c"}, // in the same second, later
		{change{newRow("c", 3, 34), true}, true, "d"},
		{change{newRow("c", 3, 34), true}, false, "d"},
	} {
		if shown := b.apply(tt.change); shown != tt.shown || names(b.rows) != tt.want {
			t.Errorf("after %s: shown %t, rows %q; expected %t, %q", tt.Name, shown, names(b.rows), tt.shown, tt.want)
		}
	}
}

func TestScreen_FitsTerminal(t *testing.T) {
	s := &screen{
		size:  func() (width, height int) { return 20, 6 },
		clock: clocktesting.NewFakeClock(time.Unix(100, 0)),
	}
	var rows []row
	for i := range 10 {
		rows = append(rows, newRow(fmt.Sprintf("delivery-with-a-long-name-%d", i), 10, 1))
	}
	drawn, err := s.frame(rows, "note")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(drawn, "\r\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[5], "note") || !strings.HasPrefix(lines[0], toTop+"NAME") {
		t.Errorf("got %q", lines)
	}
	for _, line := range lines {
		text := strings.TrimPrefix(strings.TrimSuffix(strings.TrimSuffix(line, clearBelow), clearLine), toTop)
		if len(text) > 20 || strings.Contains(text, "\x1b") {
			t.Errorf("the line %q does not fit", text)
		}
	}
	if drawn, err := s.frame(nil, ""); err != nil || !strings.Contains(drawn, "No deliveries yet.") {
		t.Errorf("got %q, %v", drawn, err)
	}
}

// A long ref must not push the outcome out of the terminal.
func TestScreen_ShortensRefsBeforeTheOutcome(t *testing.T) {
	width := 72
	s := &screen{
		size:  func() (int, int) { return width, 6 },
		clock: clocktesting.NewFakeClock(time.Unix(100, 0)),
	}
	r := newRow("one", 10, 1)
	r.cells["Ref"], r.cells["Phase"] = "registry.example.com/a/long/path/to/till:2.1.0", "Superseded"
	drawn, err := s.frame([]row{r}, "")
	if err != nil || !strings.Contains(drawn, "...") || !strings.Contains(drawn, "till:2.1.0   Superseded") {
		t.Errorf("got %q, %v", drawn, err)
	}
	width = 200
	if drawn, err := s.frame([]row{r}, ""); err != nil || !strings.Contains(drawn, r.cells["Ref"]) {
		t.Errorf("got %q, %v", drawn, err)
	}
}

// TestLive_DrawsLastOfBurst changes the board faster than it is drawn.
func TestLive_DrawsLastOfBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, drawn := io.Pipe()
		s := &screen{out: drawn, size: func() (width, height int) { return 80, 24 }, clock: clock.RealClock{}}
		l, done, ended := newLive(), make(chan struct{}), make(chan error, 1)
		go func() { ended <- l.run(s, done) }()
		read := func() string {
			frame := make([]byte, 4096)
			n, err := out.Read(frame)
			if err != nil {
				t.Fatal(err)
			}
			return string(frame[:n])
		}
		show := func(name string) {
			if err := l.show(&board{rows: []row{newRow(name, 1, 1)}}, nil); err != nil {
				t.Fatal(err)
			}
		}
		show("first")
		if got := read(); !strings.Contains(got, "first") {
			t.Errorf("got %q", got)
		}
		show("second")
		show("third")
		if got := read(); !strings.Contains(got, "third") || strings.Contains(got, "second") {
			t.Errorf("got %q", got)
		}
		l.interrupted(errors.New("gone\x1b[31m"))
		if got := read(); !strings.Contains(got, `trying again: gone\x1b[31m`) || !strings.Contains(got, "third") {
			t.Errorf("got %q", got)
		}
		began := time.Now()
		if got := read(); !strings.Contains(got, "third") || time.Since(began) < refreshPause/2 {
			t.Errorf("after %s it drew %q", time.Since(began), got)
		}
		close(done)
		if got := read(); got != "\n" {
			t.Errorf("got %q", got)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestPage_EscapesHostileTexts tells a story whose texts are written to take over a terminal.
func TestPage_EscapesHostileTexts(t *testing.T) {
	const hostile = "\x1b]0;owned\x07\u202e\u009b31m\r"
	told := &story.Story{
		Delivery: &v1alpha1.WebhookDelivery{
			Spec: v1alpha1.WebhookDeliverySpec{
				Source: hostile, RedeliveryOf: hostile,
				Events: []v1alpha1.DeliveryEvent{{Ref: hostile, DeliveryID: hostile}},
			},
			Status: v1alpha1.WebhookDeliveryStatus{
				Reason: hostile, Message: hostile, Sender: &v1alpha1.Sender{Name: hostile},
				Ignored: []v1alpha1.IgnoredPart{{Reason: hostile, Message: hostile}},
			},
		},
		Summary: hostile, Advice: hostile,
		Targets: []story.TargetStory{{
			TargetResult: v1alpha1.TargetResult{Kind: "Application", Name: hostile, Reason: hostile},
			Explanation:  hostile, CurrentRef: hostile, SupersededBy: hostile, Problem: hostile,
			Changes: []story.Change{{Field: hostile, Old: hostile, New: hostile, Now: hostile}},
		}},
	}
	p := &page{now: time.Now()}
	p.story(told)
	p.plan(told.Delivery)
	writeDiff(&p.text, told, false)
	if strings.ContainsAny(p.text.String(), "\x1b\x07\u202e\u009b\r") {
		t.Errorf("got %q", p.text.String())
	}
	if count := strings.Count(p.text.String(), `\x1b]0;owned`); count < 15 {
		t.Errorf("only %d texts are shown", count)
	}
}
