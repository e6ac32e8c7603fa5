// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

// happened returns a request of an event, for a commit that passed what is given.
func happened(r Request, name, passed string) Request {
	return withEvent(r, func(e *postern.DeliveryEvent) { e.Source, e.Event, e.Passed = "github", name, passed })
}

// deployingOn returns a target of each kind with the annotation, or without it.
func deployingOn(list ...string) []object {
	annotations := map[string]string{"team": "a"}
	for _, value := range list {
		annotations[AnnotationDeployOn] = value
	}
	return []object{syncOf(annotations, "main"), applicationOf(annotations, source(shop, "main"))}
}

func TestDeployOn_Listed(t *testing.T) {
	for _, test := range []struct {
		list  string // "none" for no annotation
		taken []string
	}{
		{"none", []string{"push", "release.published", "request"}},
		{"workflow_run", []string{"workflow_run", "workflow_run:CI", "workflow_run:CI.nightly"}},
		{"workflow_run:CI", []string{"workflow_run:CI"}},
		{" workflow_run:CI , release", []string{"workflow_run:CI", "release.published"}},
		{"release.published,request", []string{"release.published", "request"}},
		{"push", []string{"push"}},
		{"pipeline", nil},
		{"Workflow_run", nil},
		{"workflow", nil},
		{"", nil},
		{",,", nil},
		{strings.Repeat("push,", maxDeployOnBytes), nil},
	} {
		for _, event := range []string{
			"push", "release.published", "request", "workflow_run", "workflow_run:CI", "workflow_run:CI.nightly",
		} {
			r := ifFollowed(branch("main"))
			if name, _, _ := strings.Cut(event, ":"); name == "workflow_run" {
				r = happened(r, name, event)
			} else {
				r = happened(r, event, "")
			}
			var list []string
			if test.list != "none" {
				list = []string{test.list}
			}
			for _, obj := range deployingOn(list...) {
				got := decide(t, obj, r)
				want := ReasonNotDeployedOn
				if slices.Contains(test.taken, event) {
					want = ReasonRequested
				}
				if got.Reason != want || got.Held != (want == ReasonRequested) {
					t.Errorf("%T that deploys on %.40q, %s: %s (%s), want %s", obj, test.list, event, got.Reason,
						got.Message, want)
				}
				if len(got.Message) > maxMessageBytes {
					t.Errorf("the message has %d bytes", len(got.Message))
				}
			}
		}
	}
}

// The owner may set or remove the annotation between the decision and the write.
func TestDeployOn_TestedByThePatch(t *testing.T) {
	for value, r := range map[string]Request{
		"null":           happened(branch("main"), "push", ""),
		`"workflow_run"`: happened(branch("main"), "workflow_run", "workflow_run:CI"),
	} {
		var list []string
		if value != "null" {
			list = []string{"workflow_run"}
		}
		want := `{"op":"test","path":"/metadata/annotations/postern.dev~1deploy-on","value":` + value + `}`
		for _, obj := range deployingOn(list...) {
			if got := lines(t, decide(t, obj, r).Patch); !strings.Contains(got, want) {
				t.Errorf("%T: the patch lacks %q:\n%s", obj, want, got)
			}
		}
	}
}

func TestDeployOn_SaysHow(t *testing.T) {
	want := map[string]string{
		"none": `"workflow_run:CI" is an event that needs the annotation postern.dev/deploy-on of the target ` +
			`to list it`,
		"push": `the annotation postern.dev/deploy-on of the target is "push", which does not list "workflow_run:CI"`,
	}
	got := map[string]string{}
	for name, list := range map[string][]string{"none": nil, "push": {"push"}} {
		run := happened(branch("main"), "workflow_run", "workflow_run:CI")
		got[name] = decide(t, deployingOn(list...)[0], run).Message
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestDeployOn_NotForRedeliveriesImagesAndCharts(t *testing.T) {
	app := applicationOf(map[string]string{AnnotationDeployOn: "workflow_run"}, source(shop, "main"))
	for name, r := range map[string]Request{
		"a redelivery": onPurpose(happened(branch("main"), "push", "")),
		"an image":     happened(withImage(t, "ghcr.io/acme/shop:1", tag("1")), "push", ""),
		"a chart":      happened(withRepository("oci://ghcr.io/acme/charts", tag("1.0.0")), "push", ""),
	} {
		if got := decide(t, app, r); got.Reason == ReasonNotDeployedOn {
			t.Errorf("%s: %s", name, got.Message)
		}
	}
	// No opt-in is needed for a redelivery on purpose.
	run := onPurpose(happened(branch("main"), "workflow_run", "workflow_run"))
	if got := decide(t, deployingOn()[0], run); !got.Held {
		t.Errorf("a redelivered run: %s (%s)", got.Reason, got.Message)
	}
}

// A run that is repeated, or ends late, keeps the time of its push: it does not replace a run for a later push.
func TestDeployOn_LateRunIsSuperseded(t *testing.T) {
	run := func(commit string, created, received int) Request {
		r := pushed(happened(branch("main"), "workflow_run", "workflow_run:CI"), created, received)
		return withEvent(r, func(e *postern.DeliveryEvent) { e.Revision = commit })
	}
	for name, target := range orderedTargets {
		document := strings.Replace(target.document, `"name": "x"`,
			`"name": "x", "annotations": {"postern.dev/deploy-on": "workflow_run:CI"}`, 1)
		if name == "Application that moves" {
			document = strings.Replace(target.document, `"annotations": {`,
				`"annotations": {"postern.dev/deploy-on": "workflow_run:CI", `, 1)
		}
		after, reasons := oneByOne(t, target.kind, document,
			run("1111111111111111111111111111111111111111", 1, 11),
			run("2222222222222222222222222222222222222222", 2, 12),
			run("1111111111111111111111111111111111111111", 1, 20)) // run again
		want := []string{ReasonRequested, ReasonRequested, ReasonSuperseded}
		if diff := cmp.Diff(want, reasons); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got := parse(t, target.kind, after).GetAnnotations()[AnnotationRequestedRevision]; got[0] != '2' {
			t.Errorf("%s: the commit is %s", name, got)
		}
	}
}

// Without the annotation a target is not even mentioned in the record: most repositories have runs for each push.
func TestMatches_PassedOnlyForThoseThatDeployOnIt(t *testing.T) {
	named := func(obj object, name string) object {
		obj.SetNamespace("demo")
		obj.SetName(name)
		return obj
	}
	on, off := deployingOn("workflow_run:CI"), deployingOn()
	_, c := startCacheOf(t, named(on[0], "on"), named(on[1], "on"), named(off[0], "off"), named(off[1], "off"))
	for passed, want := range map[string][]string{
		"workflow_run:CI":   {"Application/on", "GatewaySync/on"},
		"workflow_run:Lint": nil,
		"":                  {"Application/off", "Application/on", "GatewaySync/off", "GatewaySync/on"},
	} {
		r := ifFollowed(happened(branch("main"), "any", passed))
		if diff := cmp.Diff(want, matched(t, c, "demo", r)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", passed, diff)
		}
	}
}
