// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// A log has other lines, lines without a time, and texts of senders.
const log = `2026-01-02T03:04:05.5Z I0102 03:04:05.500000 7 observe.go:144] "Rejected a delivery" ` +
	`outcome="Rejected" source="github" auditID="a" namespace="demo" kind="GatewaySync" target="demo/plant" ` +
	`reason="SignatureMismatch"
2026-01-02T03:04:06Z {"ts":1,"msg":"Rejected a delivery","outcome":"Rejected","source":"","namespace":"demo",` +
	`"target":{"name":"plant","namespace":"demo"},"reason":"NoCredential"}
2026-01-02T03:04:07Z I0102 03:04:07.000000 7 observe.go:151] "Delivered" source="github" reason="Requested"
2026-01-02T03:04:08Z I0102 03:04:08.000000 7 observe.go:144] "Rejected a delivery" ` +
	`source="x\" namespace=\"other" delivery="demo/by-hand" reason="NoIdentity"
I0102 03:04:09.000000 7 observe.go:144] "Rejected a delivery" namespace="demo" reason="NoCredential"
2026-01-02T03:04:10Z {"msg":"Rejected a delivery","namespace":
2026-01-02T03:04:11Z I0102 03:04:11.000000 7 observe.go:149] "Refused a delivery" ` +
	`source="github" namespace="demo" err="policy \"p\" says no"
2026-01-02T03:04:12Z I0102 03:04:12.000000 7 observe.go:151] "Delivered" namespace="demo" ` +
	`sender="Rejected a delivery" reason="NoCredential"
2026-01-02T03:04:13Z {"msg":"Delivered","sender":"Rejected a delivery","namespace":"demo","reason":"NoCredential"}
2026-01-02T03:04:14Z I0102 03:04:14.000000 7 observe.go:149] "Refused a delivery" source=<
2026-01-02T03:04:14Z 	I0102 03:04:14.000000 7 observe.go:144] "Rejected a delivery" ` +
	`namespace="demo" reason="NoCredential"
2026-01-02T03:04:14Z  >
`

func TestRefusalsIn_BothFormats(t *testing.T) {
	at := func(second int, fraction time.Duration) time.Time {
		return time.Date(2026, 1, 2, 3, 4, second, int(fraction), time.UTC)
	}
	want := []refusal{
		{at(5, 500*time.Millisecond), "demo", "github", "demo/plant", "SignatureMismatch", ""},
		{at(6, 0), "demo", "", "demo/plant", "NoCredential", ""},
		{at(8, 0), "demo", `x" namespace="other`, "", "NoIdentity", ""},
		{at(11, 0), "demo", "github", "", "", `policy "p" says no`},
		{time: at(14, 0)},
	}
	if diff := cmp.Diff(want, refusalsIn([]byte(log)), cmp.AllowUnexported(refusal{})); diff != "" {
		t.Errorf("refusals (-want +got):\n%s", diff)
	}
}

// A delivery with many refs has a line of almost any length.
func TestRefusalsIn_AfterALongLine(t *testing.T) {
	long := `2026-01-02T03:04:04Z I0102 03:04:04.000000 7 observe.go:151] "Delivered" refs=["` +
		strings.Repeat("v", 256<<10) + `"]` + "\n"
	if got := len(refusalsIn([]byte(long + log))); got != 5 {
		t.Errorf("got %d refusals, want 5", got)
	}
}

// Postern may run outside of the cluster, as "make up" starts it.
func TestExamineCredentials_WithoutPods(t *testing.T) {
	var got []Finding
	e := &examiner{
		Cluster: &cli.Cluster{Namespace: "demo", Kubernetes: kubefake.NewClientset()},
		found:   func(f Finding) { got = append(got, f) },
	}
	e.examineCredentials(t.Context())
	want := []Finding{{Level: Unknown, Message: "there is no Pod of Postern in postern-system. Where it runs, search " +
		`its log for "Rejected a delivery"`}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// Senders can make the log so long that its end is not read.
func TestExamineCredentials_OfPartOfTheLog(t *testing.T) {
	for size, want := range map[int]Level{maxLogBytes - 1: OK, maxLogBytes: Unknown} {
		client := kubefake.NewClientset(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: defaultSystemNamespace, Name: "postern-0",
			Labels: map[string]string{"app.kubernetes.io/name": "postern"},
		}})
		client.PrependReactor("get", "pods/log", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, &runtime.Unknown{Raw: make([]byte, size)}, nil
		})
		var got []Level
		e := &examiner{
			Cluster: &cli.Cluster{Namespace: "demo", Kubernetes: client},
			found:   func(f Finding) { got = append(got, f.Level) },
		}
		e.examineCredentials(t.Context())
		if !slices.Equal(got, []Level{want}) {
			t.Errorf("after %d bytes of the log: got %v, want %s", size, got, want)
		}
	}
}

func TestConcerns_SenderAndTarget(t *testing.T) {
	plant := &v1alpha1.TargetReference{Kind: v1alpha1.TargetGatewaySync, Name: "plant"}
	r := refusal{namespace: "demo", source: "github", target: "demo/plant"}
	for name, test := range map[string]struct {
		question Question
		r        refusal
		want     bool
	}{
		"the namespace":        {Question{}, r, true},
		"another namespace":    {Question{}, refusal{namespace: "other"}, false},
		"the sender":           {Question{Source: "github"}, r, true},
		"another sender":       {Question{Source: "gitlab"}, r, false},
		"a sender not known":   {Question{Source: "gitlab"}, refusal{namespace: "demo"}, true},
		"the target":           {Question{Target: plant}, r, true},
		"another target":       {Question{Target: plant}, refusal{namespace: "demo", target: "demo/x"}, false},
		"without a target":     {Question{Target: plant}, refusal{namespace: "demo"}, true},
		"a target by any name": {Question{Source: "github"}, refusal{namespace: "demo", target: "demo/x"}, true},
	} {
		e := &examiner{Cluster: &cli.Cluster{Namespace: "demo"}, Question: test.question}
		if got := e.concerns(test.r); got != test.want {
			t.Errorf("%s: got %t, want %t", name, got, test.want)
		}
	}
}
