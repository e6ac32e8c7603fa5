// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// strategyCase is an Application that runs nginx with a strategy.
func strategyCase(strategy string) imageCase {
	constraint := ""
	if strategy == "digest" {
		constraint = ":latest"
	}
	return imageCase{
		annotations: []string{"image-list: web=nginx" + constraint, "web.update-strategy: " + strategy},
		tool:        "Kustomize", runs: []string{"nginx:1.0"},
		spec: `{"source": {"repoURL": "https://git.acme.io/shop"}}`,
	}
}

// imageEvent is a push of an image, with the times when it happened and was received.
func imageEvent(t *testing.T, ref string, happened, received int) Request {
	t.Helper()
	return withImage(t, ref, event("", "harbor", happened, received))
}

// kustomized returns the images that an Application is configured to run.
func kustomized(t *testing.T, document string) string {
	t.Helper()
	var object any
	decode(t, document, &object)
	images, _ := valueAt(object, "/spec/source/kustomize/images").([]any)
	return fmt.Sprint(images)
}

func TestWatermark_ImagesByTimeOrVersion(t *testing.T) {
	const superseded = ReasonSuperseded
	type push struct {
		ref                string
		happened, received int
		again              bool
	}
	for _, test := range []struct {
		name, strategy string
		pushes         []push
		want           []string
		runs           string
	}{
		{"a lower version is not older", "semver", []push{{"nginx:1.1", 20, 21, false}, {"nginx:1.2", 10, 22, false}},
			[]string{imageupdate.ReasonNewerVersion, imageupdate.ReasonNewerVersion}, "[nginx:1.2]"},
		{"a retried higher version", "semver", []push{{"nginx:1.1", 20, 21, false}, {"nginx:1.2", 10, 5, true}},
			[]string{imageupdate.ReasonNewerVersion, imageupdate.ReasonNewerVersion}, "[nginx:1.2]"},
		{"a lower version is not newer", "semver", []push{{"nginx:1.2", 10, 11, false}, {"nginx:1.1", 20, 21, false}},
			[]string{imageupdate.ReasonNewerVersion, imageupdate.ReasonOlderVersion}, "[nginx:1.2]"},
		{"a later name is not older", "alphabetical", []push{{"nginx:b", 20, 21, false}, {"nginx:c", 10, 22, false}},
			[]string{imageupdate.ReasonAlphabeticallyLater, imageupdate.ReasonAlphabeticallyLater}, "[nginx:c]"},
		{"a newer build", "newest-build", []push{{"nginx:b", 10, 11, false}, {"nginx:a", 20, 12, false}},
			[]string{imageupdate.ReasonNewestBuild, imageupdate.ReasonNewestBuild}, "[nginx:a]"},
		{"an older build", "newest-build", []push{{"nginx:b", 20, 21, false}, {"nginx:a", 10, 22, false}},
			[]string{imageupdate.ReasonNewestBuild, superseded}, "[nginx:b]"},
		{"a build of an unknown time", "newest-build", []push{{"nginx:b", 20, 21, false}, {"nginx:a", 0, 22, false}},
			[]string{imageupdate.ReasonNewestBuild, imageupdate.ReasonNewestBuild}, "[nginx:a]"},
		{"a retried build", "newest-build", []push{{"nginx:b", 0, 21, false}, {"nginx:a", 0, 20, true}},
			[]string{imageupdate.ReasonNewestBuild, superseded}, "[nginx:b]"},
		{"the same build again makes events in between stale", "newest-build",
			[]push{{"nginx:b", 10, 11, false}, {"nginx:b", 30, 31, false}, {"nginx:a", 20, 32, false}},
			[]string{imageupdate.ReasonNewestBuild, imageupdate.ReasonUpToDate, superseded}, "[nginx:b]"},
		{"an older digest", "digest", []push{{"nginx:latest@" + digestB, 20, 21, false},
			{"nginx:latest@" + digestA, 10, 22, false}},
			[]string{imageupdate.ReasonNothingToCompare, superseded}, "[nginx:latest@" + digestB + "]"},
		{"a newer digest", "digest", []push{{"nginx:latest@" + digestA, 10, 11, false},
			{"nginx:latest@" + digestB, 20, 22, false}},
			[]string{imageupdate.ReasonNothingToCompare, imageupdate.ReasonNewDigest},
			"[nginx:latest@" + digestB + "]"},
	} {
		t.Run(test.strategy+"/"+test.name, func(t *testing.T) {
			document, reasons := strategyCase(test.strategy).document(t), []string(nil)
			for _, push := range test.pushes {
				r := imageEvent(t, push.ref, push.happened, push.received)
				r.Retry = push.again
				var reason []string
				document, reason = oneByOne(t, postern.TargetApplication, document, r)
				reasons = append(reasons, reason...)
			}
			if diff := cmp.Diff(test.want, reasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if got := kustomized(t, document); got != test.runs {
				t.Errorf("will run %s, want %s", got, test.runs)
			}
		})
	}
}

func TestWatermark_ImagesAreIndependent(t *testing.T) {
	c := strategyCase("newest-build")
	c.annotations = []string{"image-list: web=nginx, db=postgres", "web.update-strategy: newest-build",
		"db.update-strategy: newest-build"}
	c.runs = append(c.runs, "postgres:1")
	document, reasons := oneByOne(t, postern.TargetApplication, c.document(t),
		imageEvent(t, "nginx:3", 30, 31), imageEvent(t, "postgres:2", 20, 32),
		imageEvent(t, "nginx:1", 10, 33), imageEvent(t, "postgres:0", 10, 34))
	want := []string{imageupdate.ReasonNewestBuild, imageupdate.ReasonNewestBuild, ReasonSuperseded, ReasonSuperseded}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := kustomized(t, document); got != "[nginx:3 postgres:2]" {
		t.Errorf("will run %s", got)
	}
	slots := watermarkSet{"image/web": imageEvent(t, "nginx:3", 30, 31).watermark(),
		"image/db": imageEvent(t, "nginx:3", 20, 32).watermark()}
	kept := parseWatermarks(appOf(t, document).Annotations)
	if diff := cmp.Diff(slots, kept, cmpopts.IgnoreFields(watermark{}, "Wrote")); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// An event that is stale for one alias may be new for another alias of the same image.
func TestWatermark_ImageLateForOneAlias(t *testing.T) {
	c := strategyCase("newest-build")
	c.annotations = []string{
		"image-list: stable=nginx, edge=nginx",
		"stable.update-strategy: semver", "edge.update-strategy: newest-build",
		"stable.helm.image-spec: stable", "edge.helm.image-spec: edge",
	}
	c.tool = "Helm"
	document, reasons := oneByOne(t, postern.TargetApplication, c.document(t), imageEvent(t, "nginx:1.1", 20, 21),
		imageEvent(t, "nginx:1.2", 10, 22))
	want := []string{imageupdate.ReasonNewerVersion, imageupdate.ReasonNewerVersion}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	values := map[string]string{}
	for _, parameter := range appOf(t, document).Spec.Source.Helm.Parameters {
		values[parameter.Name] = *parameter.Value
	}
	if diff := cmp.Diff(map[string]string{"stable": "nginx:1.2", "edge": "nginx:1.1"}, values); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
}

func TestWatermark_UnconfiguredImageHasOwnSlot(t *testing.T) {
	document := imageCase{spec: `{"source": {"repoURL": "https://git.acme.io/shop"}}`}.document(t)
	git := event("main", "harbor", 50, 51)
	after, reasons := oneByOne(t, postern.TargetApplication, document, git,
		imageEvent(t, "nginx:2", 20, 21), imageEvent(t, "nginx:1", 10, 22),
		imageEvent(t, "nginx:2", 40, 41), imageEvent(t, "nginx:3", 30, 42))
	want := []string{ReasonRequested, ReasonRequested, ReasonSuperseded, ReasonAlreadyRequested, ReasonSuperseded}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	slots := watermarkSet{"git": git.watermark(), "image": imageEvent(t, "nginx:2", 40, 41).watermark()}
	if diff := cmp.Diff(slots, parseWatermarks(appOf(t, after).Annotations)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

func TestWatermark_UsedVersionIsNotRewritten(t *testing.T) {
	document, _ := oneByOne(t, postern.TargetApplication, strategyCase("semver").document(t),
		imageEvent(t, "nginx:1.1", 10, 11))
	if got := decide(t, appOf(t, document), imageEvent(t, "nginx:1.1", 20, 21)); got.Patch != nil ||
		got.Reason != imageupdate.ReasonUpToDate {
		t.Errorf("got %+v", got)
	}
}
