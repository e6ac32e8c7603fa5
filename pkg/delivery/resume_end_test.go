// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/component-base/metrics/testutil"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

func TestResume_EndsPendingDelivery(t *testing.T) {
	const (
		gone    = "the target does not exist: it was deleted or never created"
		warning = "Warning RefRequestFailed Deliver | stoker.io/v1alpha1 GatewaySync demo/plant | " +
			"postern.dev/v1alpha1 WebhookDelivery demo/generic-x | " +
			`generic requested "v2.0.0": `
	)
	down := unavailable(t)
	atPlant := at("plant", "Pending", "TargetUnavailable")
	atPlant.Kind, atPlant.Message = postern.TargetGatewaySync, "it was down"
	named := func() *postern.WebhookDelivery { return toNamed(unfinished(atPlant)) }
	cut := func() *postern.WebhookDelivery { return toNamed(unfinished()) }
	// postponed has a target that could not be looked up at first.
	postponed := func() *postern.WebhookDelivery {
		d := cut()
		d.Status.Reason, d.Status.Message = ReasonTargetUnavailable, "it was down"
		return d
	}
	failedAt := func(reason, message string) summary {
		return summary{"Failed", reason, message, []string{"plant v2.0.0: Failed " + reason}}
	}
	for name, test := range map[string]struct {
		delivery *postern.WebhookDelivery
		arrange  func(*pipeline)
		giveUp   bool
		want     summary
		event    string // a prefix
	}{
		"written": {
			named(), func(*pipeline) {}, false,
			summary{
				"Applied", "Requested", "it was written", []string{"plant v2.0.0: Written Requested"},
			}, "Normal RefRequested",
		},
		"written, at the last try": {
			named(), func(*pipeline) {}, true,
			summary{
				"Applied", "Requested", "it was written", []string{"plant v2.0.0: Written Requested"},
			}, "Normal RefRequested",
		},
		"outdated meanwhile": {
			named(), func(p *pipeline) {
				p.outcome = target.Result{Reason: target.ReasonSuperseded, Message: "it holds something newer"}
			}, false,
			summary{
				"Superseded", "Superseded", "it holds something newer", []string{"plant v2.0.0: Superseded Superseded"},
			}, "",
		},
		"refused": {
			named(), func(p *pipeline) { p.writeErr = errors.New("frozen") }, false,
			failedAt("TargetRefused", "frozen"), warning + "frozen",
		},
		"given up": {
			named(), func(p *pipeline) { p.writeErr = down }, true, failedAt("TargetUnavailable", "it was down"),
			warning + "it was down",
		},
		"given up, not to be found": {
			named(), func(p *pipeline) { p.resolveErr = down }, true, failedAt("TargetUnavailable", "it was down"),
			warning + "it was down",
		},
		"given up, never to be found": {
			postponed(), func(p *pipeline) { p.resolveErr = down }, true, failedAt("TargetUnavailable", "it was down"),
			warning + "it was down",
		},
		"given up after a crash": {
			cut(), func(p *pipeline) { p.resolveErr = down }, true,
			summary{
				"Failed", "TargetUnavailable", down.Error() + firstUnknown,
				[]string{"plant v2.0.0: Failed TargetUnavailable"},
			}, warning + down.Error(),
		},
		"deleted": {
			named(), func(p *pipeline) { p.resolveErr = notFound() }, false, failedAt("TargetGone", gone),
			warning + gone,
		},
		"deleted before it was found": {
			postponed(), func(p *pipeline) { p.resolveErr = notFound() }, false, failedAt("TargetGone", gone),
			warning + gone,
		},
		"forbidden to look for": {
			named(), func(p *pipeline) { p.resolveErr = errors.New("forbidden") }, false,
			failedAt("TargetRefused", "forbidden"), warning + "forbidden",
		},
		"forbidden, at the last try": {
			named(), func(p *pipeline) { p.resolveErr = errors.New("forbidden") }, true,
			failedAt("TargetRefused", "forbidden"), warning + "forbidden",
		},
		"nothing wants it any more": {
			unfinished(at("a", "Pending", "TargetUnavailable")), func(*pipeline) {}, false,
			summary{"Ignored", "NoTarget", "nothing in this namespace wants v2.0.0", nil}, "",
		},
		"nothing wanted it": {
			unfinished(), func(*pipeline) {}, false,
			summary{"Ignored", "NoTarget", "nothing in this namespace wants v2.0.0" + firstUnknown, nil}, "",
		},
		"the rest does not want it": {
			unfinished(at("a", "Pending", ""), at("b", "Written", "Requested")),
			func(p *pipeline) { p.matches = matching("demo", "b") }, false,
			summary{"Applied", "Requested", "", []string{"b v2.0.0: Written Requested"}}, "",
		},
		"all that took it is gone": {
			unfinished(at("a", "Pending", ""), at("b", "Written", "Requested")), func(*pipeline) {}, false,
			summary{"Applied", "Requested", "", []string{"b v2.0.0: Written Requested"}}, "",
		},
		"matches can't be found": {
			unfinished(), func(p *pipeline) { p.matches = noMatches(errors.New("no cache")) }, false,
			summary{"Failed", "TargetRefused", "no cache" + firstUnknown, nil}, "",
		},
		"matches can't be found again": {
			unfinished(at("a", "Pending", ""), at("b", "Written", "Requested")),
			func(p *pipeline) { p.matches = noMatches(errors.New("no cache")) }, false,
			summary{
				"Failed", "SomeTargetsFailed", "1 written, 0 unchanged, 0 skipped, 0 superseded, 0 pending, 1 failed",
				[]string{"a v2.0.0: Failed TargetRefused", "b v2.0.0: Written Requested"},
			},
			"Warning RefRequestFailed",
		},
		"given up, with no matches": {
			unfinished(), func(p *pipeline) { p.matches = noMatches(down) }, true,
			summary{"Failed", "TargetUnavailable", down.Error() + firstUnknown, nil}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newDefaultPipeline()
			test.arrange(p)
			if err := p.Resume(t.Context(), test.delivery, test.giveUp); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, summaryOf(test.delivery.Status)); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"update " + test.want.Phase}, updatesIn(p.journal)); diff != "" {
				t.Errorf("updates (-want +got):\n%s", diff)
			}
			if events := strings.Join(p.events, "\n"); !strings.HasPrefix(events, test.event) ||
				(test.event == "") != (events == "") {
				t.Errorf("events %q, want one that begins with %q", p.events, test.event)
			}
		})
	}
}

func noMatches(err error) func(target.Request) ([]target.Match, error) {
	return func(target.Request) ([]target.Match, error) { return nil, err }
}

// While the API server is down, it is unknown whether the target exists.
func TestResume_MissingTargetStaysPending(t *testing.T) {
	down := unavailable(t)
	p, d := newDefaultPipeline(), toNamed(unfinished())
	p.resolveErr = down
	for try, want := range []int{1, 1, 1} { // only the first try changes the record
		if err := p.Resume(t.Context(), d, false); !errors.Is(err, ErrStillPending) {
			t.Errorf("try %d: got %v, want ErrStillPending", try, err)
		}
		if got := len(updatesIn(p.journal)); got != want {
			t.Errorf("try %d: stored %d times, want %d", try, got, want)
		}
	}
	want := summary{"Pending", "TargetUnavailable", down.Error() + firstUnknown, nil}
	if diff := cmp.Diff(want, summaryOf(d.Status)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestResume_CountsByResult(t *testing.T) {
	resumed.Reset()
	down := unavailable(t)
	for _, giveUp := range []bool{false, true, true} {
		p := newDefaultPipeline()
		p.writeErr = down
		_ = p.Resume(t.Context(), toNamed(unfinished()), giveUp)
	}
	if err := newDefaultPipeline().Resume(t.Context(), toNamed(unfinished()), false); err != nil {
		t.Fatal(err)
	}
	want := "# HELP postern_resumed_deliveries_total [BETA] " +
		"Deliveries that were answered as Pending or interrupted by a crash and completed later, by outcome.\n" +
		"# TYPE postern_resumed_deliveries_total counter\n" +
		"postern_resumed_deliveries_total{outcome=\"Applied\"} 1\n" +
		"postern_resumed_deliveries_total{outcome=\"Failed\"} 2\n"
	if err := testutil.GatherAndCompare(legacyregistry.DefaultGatherer, strings.NewReader(want),
		"postern_resumed_deliveries_total"); err != nil {
		t.Error(err)
	}
}
