// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/component-base/metrics/testutil"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
	"postern.dev/postern/pkg/text"
)

func TestMain(m *testing.M) {
	RegisterMetrics()
	os.Exit(m.Run())
}

func TestEvents_DescribeResultAtTarget(t *testing.T) {
	down := unavailable(t)
	const regarding = "stoker.io/v1alpha1 GatewaySync demo/plant | postern.dev/v1alpha1 WebhookDelivery demo/generic-x"
	for name, test := range map[string]struct {
		arrange func(*pipeline, *Request)
		dryRun  bool
		want    []string
	}{
		"written": {
			arrange: func(*pipeline, *Request) {},
			want: []string{
				"Normal RefRequested Deliver | " + regarding + ` | generic requested "v2.0.0": it was written`,
			},
		},
		"failed": {
			arrange: func(p *pipeline, _ *Request) { p.writeErr = errors.New("100% full") },
			want: []string{
				"Warning RefRequestFailed Deliver | " + regarding + ` | generic requested "v2.0.0": 100% full`,
			},
		},
		"written, with a message that is longer than a note": {
			arrange: func(p *pipeline, _ *Request) { p.outcome.Message = strings.Repeat("a", 2000) },
			want: []string{"Normal RefRequested Deliver | " + regarding + ` | generic requested "v2.0.0": ` +
				strings.Repeat("a", 1021-len(`generic requested "v2.0.0": `)) + "…"},
		},
		"unchanged": {arrange: func(p *pipeline, _ *Request) { p.outcome.Changes = nil }},
		"pending":   {arrange: func(p *pipeline, _ *Request) { p.writeErr = down }},
		"outdated": {
			arrange: func(p *pipeline, _ *Request) { p.outcome = target.Result{Reason: target.ReasonSuperseded} },
		},
		"skipped": {
			arrange: func(p *pipeline, _ *Request) { p.outcome = target.Result{Reason: target.ReasonNotApplicable} },
		},
		"ignored":   {arrange: func(_ *pipeline, in *Request) { *in = ping() }},
		"dry run":   {arrange: func(*pipeline, *Request) {}, dryRun: true},
		"no target": {arrange: func(p *pipeline, _ *Request) { p.resolveErr = notFound() }},
	} {
		t.Run(name, func(t *testing.T) {
			p, in := newDefaultPipeline(), release()
			test.arrange(p, &in)
			_, _ = p.Deliver(t.Context(), toPlant(), in, test.dryRun)
			if diff := cmp.Diff(test.want, p.events); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// The API server rejects an Event with a longer note.
func TestEvents_NotesAreBounded(t *testing.T) {
	for _, test := range []struct{ note, want string }{
		{strings.Repeat("a", 1024), strings.Repeat("a", 1024)},
		{strings.Repeat("a", 1025), strings.Repeat("a", 1021) + "…"},
		{strings.Repeat("é", 1024), strings.Repeat("é", 510) + "…"},
	} {
		got := text.Truncate(test.note, maxNoteBytes)
		if got != test.want || len(got) > 1024 || !utf8.ValidString(got) {
			t.Errorf("got %d bytes, want %d", len(got), len(test.want))
		}
	}
}

// A rejected delivery has no name, and may have no sender. An empty or partial name in a log line misleads.
func TestLog_NamesOnlyKnownSources(t *testing.T) {
	for name, test := range map[string]struct {
		arrange func(*Request)
		want    string
	}{
		"delivered": {
			func(*Request) {},
			`"Delivered" outcome="Applied" source="generic" delivery="demo/generic-x" ` +
				`sender="system:serviceaccount:ci:release" method="ServiceAccount" `,
		},
		"rejected": {
			func(in *Request) { in.User = nil },
			`"Rejected a delivery" outcome="Rejected" source="" namespace="demo" kind=`,
		},
		"refused": {
			func(in *Request) { in.Body = []byte("v2.0.0") },
			`"Refused a delivery" outcome="Invalid" source="" namespace="demo" ` +
				`sender="system:serviceaccount:ci:release" method="ServiceAccount" kind=`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log lockedBuffer
			ctx := klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log))))
			p, in := newDefaultPipeline(), release()
			test.arrange(&in)
			_, _ = p.Deliver(ctx, toPlant(), in, false) // other tests check the errors
			p.Drain()
			if !strings.Contains(log.String(), test.want) {
				t.Errorf("want %s in the log:\n%s", test.want, &log)
			}
		})
	}
}

func TestMetrics_DeliveryIsCountedOnceByResult(t *testing.T) {
	down := unavailable(t)
	for name, test := range map[string]struct {
		arrange func(*pipeline, *Request)
		dryRun  bool
		want    string
	}{
		"applied": {func(*pipeline, *Request) {}, false, `method="ServiceAccount",outcome="Applied",source="generic"`},
		"dry run": {func(*pipeline, *Request) {}, true, ""},
		"ignored": {
			func(_ *pipeline, in *Request) { *in = ping() }, false,
			`method="ServiceAccount",outcome="Ignored",source="github"`,
		},
		"rejected": {
			func(_ *pipeline, in *Request) { in.User = nil }, false, `method="",outcome="Rejected",source="unknown"`,
		},
		"rejected when the body identified the source": {
			func(_ *pipeline, in *Request) {
				*in = Request{Body: []byte(docker), Header: http.Header{"X-Hub-Signature-256": {sign([]byte(docker))}}}
			},
			false, `method="",outcome="Rejected",source="docker.io"`,
		},
		"denied by mutating admission": {
			func(p *pipeline, _ *Request) { p.onMutate = denied },
			false, `method="ServiceAccount",outcome="Denied",source="generic"`,
		},
		"denied by validating admission": {
			func(p *pipeline, _ *Request) { p.onValidate = denied },
			false, `method="ServiceAccount",outcome="Denied",source="generic"`,
		},
		"invalid": {
			func(_ *pipeline, in *Request) { in.Body = []byte("v2.0.0") },
			false, `method="ServiceAccount",outcome="Invalid",source="unknown"`,
		},
		"no target": {
			func(p *pipeline, _ *Request) { p.resolveErr = notFound() },
			false, `method="ServiceAccount",outcome="NotFound",source="generic"`,
		},
		"outdated": {
			func(p *pipeline, _ *Request) { p.outcome = target.Result{Reason: target.ReasonSuperseded} },
			false, `method="ServiceAccount",outcome="Superseded",source="generic"`,
		},
		"pending": {
			func(p *pipeline, _ *Request) { p.writeErr = down },
			false, `method="ServiceAccount",outcome="Pending",source="generic"`,
		},
		"pending, since its target is unknown": {
			func(p *pipeline, _ *Request) { p.resolveErr = down },
			false, `method="ServiceAccount",outcome="Pending",source="generic"`,
		},
		"failed": {
			func(p *pipeline, _ *Request) { p.writeErr = errors.New("refused") },
			false, `method="ServiceAccount",outcome="Failed",source="generic"`,
		},
		"name taken": {
			func(p *pipeline, _ *Request) { p.onRecord = nameTaken },
			false, `method="ServiceAccount",outcome="Invalid",source="generic"`,
		},
		"not recorded": {
			func(p *pipeline, _ *Request) { p.onRecord = noSpace },
			false, `method="ServiceAccount",outcome="Unavailable",source="generic"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			deliveries.Reset()
			p, in := newDefaultPipeline(), release()
			test.arrange(p, &in)
			_, _ = p.Deliver(t.Context(), toPlant(), in, test.dryRun)
			want := map[string]int{test.want: 1}
			if test.want == "" {
				want = nil
			}
			expectCounted(t, want)
		})
	}
}

// Otherwise a client could create series without limit.
func TestMetrics_ClaimMakesNoSeries(t *testing.T) {
	deliveries.Reset()
	for _, source := range []string{"unknown", "unknown-2", "Github", `a",b="c`} {
		d := toPlant()
		d.Spec.Source = source
		_, err := newDefaultPipeline().Deliver(t.Context(), d, release(), false)
		if got := answered(t, err).Code; got != http.StatusBadRequest {
			t.Errorf("%q: answered %d, want 400", source, got)
		}
		d = toPlant()
		d.Spec.Source = source
		if _, err = newDefaultPipeline().Deliver(t.Context(), d, Request{}, false); err == nil {
			t.Errorf("%q: accepted without a credential", source)
		}
	}
	expectCounted(t, map[string]int{
		`method="",outcome="Rejected",source="unknown"`:              4,
		`method="ServiceAccount",outcome="Invalid",source="unknown"`: 4,
	})
}

func TestMetrics_RejectionBySourceAndReason(t *testing.T) {
	rejected.Reset()
	signedWrongly := release()
	signedWrongly.User, signedWrongly.Header = nil, http.Header{
		"X-Github-Event": {"push"}, "X-Hub-Signature-256": {sign([]byte("other"))},
	}
	anonymous := release()
	anonymous.User = nil
	claimed := toPlant()
	claimed.Spec.Source = "unknown"
	for _, attempt := range []struct {
		delivery *postern.WebhookDelivery
		in       Request
	}{{toPlant(), signedWrongly}, {toPlant(), anonymous}, {claimed, anonymous}, {toPlant(), release()}} {
		_, _ = newDefaultPipeline().Deliver(t.Context(), attempt.delivery, attempt.in, false)
	}
	want := `# HELP postern_rejected_deliveries_total [BETA] Webhooks whose credential was rejected, ` +
		`by type of sender and reason.
# TYPE postern_rejected_deliveries_total counter
postern_rejected_deliveries_total{reason="NoCredential",source="unknown"} 2
postern_rejected_deliveries_total{reason="SignatureMismatch",source="github"} 1
`
	if err := testutil.GatherAndCompare(legacyregistry.DefaultGatherer, strings.NewReader(want),
		"postern_rejected_deliveries_total"); err != nil {
		t.Error(err)
	}
}

// expectCounted checks that exactly these series exist.
func expectCounted(t *testing.T, want map[string]int) {
	t.Helper()
	var text strings.Builder
	if len(want) > 0 {
		text.WriteString("# HELP postern_deliveries_total [BETA] " +
			"Webhooks by type of sender, authentication method and outcome.\n" +
			"# TYPE postern_deliveries_total counter\n")
	}
	for labels, count := range want {
		fmt.Fprintf(&text, "postern_deliveries_total{%s} %d\n", labels, count)
	}
	if err := testutil.GatherAndCompare(legacyregistry.DefaultGatherer, strings.NewReader(text.String()),
		"postern_deliveries_total"); err != nil {
		t.Error(err)
	}
}

// A namespace must not take the Events of another.
func TestEvents_NamespacesAreSeparate(t *testing.T) {
	for name, limiter := range map[string]eventLimiter{"normal": newNormalEvents(), "warning": newWarningEvents()} {
		allowed := 0
		for limiter.allows("busy", now) {
			allowed++
		}
		if allowed != limiter.ofNamespace.burst {
			t.Errorf("%s: a namespace has %d Events at once, want %d", name, allowed, limiter.ofNamespace.burst)
		}
		if !limiter.allows("quiet", now) {
			t.Errorf("%s: another namespace has none", name)
		}
		for i := range 100 {
			for limiter.allows(fmt.Sprint("other-", i), now) {
				allowed++
			}
		}
		if all := limiter.all.Burst(); allowed+1 != all {
			t.Errorf("%s: all namespaces have %d Events at once, want %d", name, allowed+1, all)
		}
	}
}
