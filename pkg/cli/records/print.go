// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/cli/story"
)

// printStory prints a story in a format, or in words.
func printStory(w io.Writer, output *cli.Output, told *story.Story) error {
	if printed, err := output.Print(w, told); printed || err != nil {
		return err
	}
	p := &page{now: time.Now()}
	p.story(told)
	_, err := io.WriteString(w, p.text.String())
	return err
}

// page collects the lines of a story. Each text is escaped for terminals.
type page struct {
	text strings.Builder
	now  time.Time
	// indent is before each line.
	indent string
}

// maxTargets bounds the targets of which a story tells in words.
const maxTargets = 20

func (p *page) story(s *story.Story) {
	d := s.Delivery
	p.line("%s: %s", d.Name, d.Status.Phase)
	p.line("")
	p.line("%s", s.Summary)
	p.line("")
	p.sender(d)
	for i := range s.Targets[:min(len(s.Targets), maxTargets)] {
		p.target(&s.Targets[i])
	}
	if more := len(s.Targets) - maxTargets; more > 0 {
		p.line("")
		p.line("%d more targets: use -o yaml", more)
	}
	for _, ignored := range d.Status.Ignored {
		p.field("Ignored", "%s: %s", ignored.Reason, ignored.Message)
	}
	if len(s.Events) > 0 {
		p.line("")
		p.line("Events")
		for i := range s.Events {
			e := &s.Events[i]
			p.line("  %s  %s  %s  %s/%s: %s", p.age(story.EventTime(e)), e.Type, e.Reason,
				strings.ToLower(e.InvolvedObject.Kind), e.InvolvedObject.Name, e.Message)
		}
	}
	if s.Advice != "" {
		p.line("")
		p.line("Next:")
		p.line("  %s", s.Advice)
	}
}

// sender prints where the delivery came from, and what identifies it.
func (p *page) sender(d *v1alpha1.WebhookDelivery) {
	status := &d.Status
	received := cli.ReceivedAt(d)
	p.field("Received", "%s (%s ago)", received.UTC().Format(time.RFC3339), p.age(received))
	if sender := status.Sender; sender != nil {
		p.field("Sender", "%s, proved by %s", sender.Name, sender.Method)
	}
	for i := range d.Spec.Events[:min(len(d.Spec.Events), maxTargets)] {
		p.field("Event", "%s", describeEvent(&d.Spec.Events[i]))
	}
	if payload := status.Payload; payload != nil {
		p.field("Payload", "%d bytes, SHA-256 %s", payload.Bytes, payload.SHA256)
	}
	if d.Spec.RedeliveryOf != "" {
		p.field("Redelivery", "of %s", d.Spec.RedeliveryOf)
	}
	if repeats := status.Repeats; repeats != nil {
		p.field("Repeats", "%d, the last one %s ago by %s", repeats.Count, p.age(repeats.LastTime.Time),
			repeats.LastSender.Name)
	}
	if status.AuditID != "" {
		p.field("Audit ID", "%s", status.AuditID)
	}
}

// describeEvent describes an event of the payload in one line.
func describeEvent(e *v1alpha1.DeliveryEvent) string {
	words := []string{e.Source, e.Event, e.Ref}
	if e.RefType != "" {
		words = append(words, "("+strings.ToLower(string(e.RefType))+")")
	}
	switch {
	case e.Image != nil:
		words = append(words, "of", cli.ImageName(e.Image))
		if e.Image.Digest != "" {
			words = append(words, "with digest", e.Image.Digest)
		}
	case e.Repository != "":
		words = append(words, "of", e.Repository)
	}
	if e.Revision != "" {
		words = append(words, "at commit", e.Revision)
	}
	if e.Time != nil {
		words = append(words, "which happened at", e.Time.UTC().Format(time.RFC3339))
	}
	if e.DeliveryID != "" {
		words = append(words, "with the sender's id", e.DeliveryID)
	}
	return strings.Join(words, " ")
}

// target prints what happened to one target.
func (p *page) target(t *story.TargetStory) {
	p.line("")
	p.line("%s: %s (%s)", cli.TargetName(t.Kind, t.Name), t.Result, t.Reason)
	p.line("  %s", t.Explanation)
	for _, c := range t.Changes {
		p.line("  %s: %s → %s%s", c.Field, orNone(c.Old), orNone(c.New), nowIf(c, t))
	}
	if t.CurrentRef != "" && len(t.Changes) == 0 {
		p.line("  It has %s now.", t.CurrentRef)
	}
	if t.SupersededBy != "" {
		p.line("  The later delivery: %s", t.SupersededBy)
	}
	if t.Problem != "" {
		p.line("  What it has now is unknown: %s.", t.Problem)
	}
}

func nowIf(c story.Change, t *story.TargetStory) string {
	if t.Problem != "" || c.Held() {
		return ""
	}
	return ", now " + orNone(c.Now)
}

// orNone returns a value, or a word for none.
func orNone(value string) string {
	if value == "" {
		return "(none)"
	}
	return value
}

// age returns how long ago a time was.
func (p *page) age(t time.Time) string { return duration.HumanDuration(p.now.Sub(t)) }

// field prints a field of the delivery.
func (p *page) field(name, format string, args ...any) {
	p.line("%-12s"+format, append([]any{name + ":"}, args...)...)
}

// line prints a line.
func (p *page) line(format string, args ...any) {
	if line := cli.Printable(fmt.Sprintf(format, args...)); line != "" {
		p.text.WriteString(p.indent + line)
	}
	p.text.WriteByte('\n')
}

// plan prints what a dry run says that a delivery would do.
func (p *page) plan(d *v1alpha1.WebhookDelivery) {
	p.line("It would be %s: %s.", d.Status.Phase, strings.TrimSuffix(cmp.Or(d.Status.Message, d.Status.Reason), "."))
	for i := range d.Status.Targets[:min(len(d.Status.Targets), maxTargets)] {
		t := &d.Status.Targets[i]
		p.line("%s: %s (%s)", cli.TargetName(t.Kind, t.Name), t.Result, t.Reason)
		for _, c := range t.Changes {
			p.line("  %s: %s → %s", c.Field, orNone(c.Old), orNone(c.New))
		}
		if len(t.Changes) == 0 && t.Message != "" && len(d.Status.Targets) > 1 {
			p.line("  %s", t.Message)
		}
	}
	if more := len(d.Status.Targets) - maxTargets; more > 0 {
		p.line("%d more targets", more)
	}
}
