// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// found returns the names in an index, separated by spaces.
func found(t *testing.T, x *imageIndex, namespace, image string) string {
	t.Helper()
	names, err := x.find(namespace, image)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// notify passes an event to an index, as an informer would.
func notify(x *imageIndex, obj object, gone bool) {
	events := x.applicationHandler()
	if _, ok := obj.(*iuv1alpha1.ImageUpdater); ok {
		events = x.updaterHandler()
	}
	if gone {
		events.OnDelete(obj)
	} else {
		events.OnUpdate(obj, obj)
	}
}

func TestImageIndex_FollowsApplicationsAndUpdaters(t *testing.T) {
	x := &imageIndex{}
	add := func(obj object) func() { return func() { notify(x, obj, false) } }
	remove := func(obj object) func() { return func() { notify(x, obj, true) } }
	labeled := appWith("demo", "labeled", "")
	labeled.Labels = map[string]string{"tier": "web"}
	byLabel := updaterWith("demo", "by-label", "*", "nginx")
	byLabel.Spec.ApplicationRefs[0].LabelSelectors = &metav1.LabelSelector{MatchLabels: labeled.Labels}
	withStatus := appWith("demo", "annotated", "web=docker.io/library/nginx:~1.26, redis")
	withStatus.Status.Summary.Images = []string{"nginx:1.26"}

	for _, step := range []struct {
		what         string
		do           func()
		nginx, redis string
	}{
		{"nothing", func() {}, "", ""},
		{"an Application without configuration", add(appWith("demo", "plain", "")), "", ""},
		{"one with two images", add(appWith("demo", "annotated", "web=docker.io/library/nginx:~1.26, redis")),
			"annotated", "annotated"},
		{"its status changed", add(withStatus), "annotated", "annotated"},
		{"another, of another namespace", add(appWith("other", "annotated", "nginx")), "annotated", "annotated"},
		{"another that comes before", add(appWith("demo", "a", "index.docker.io/nginx")), "a annotated", "annotated"},
		{"another image", add(appWith("demo", "a", "redis")), "annotated", "a annotated"},
		{"an object that selects one, and overrules its annotations",
			add(updaterWith("demo", "images", "annotated", "busybox")), "", "a"},
		{"it selects all", add(updaterWith("demo", "images", "*", "nginx")), "a annotated plain", ""},
		{"an Application that it selects", add(appWith("demo", "new", "")), "a annotated new plain", ""},
		{"an Application without the label", add(appWith("demo", "labeled", "")), "a annotated labeled new plain",
			""},
		{"an object of another namespace", add(updaterWith("other", "images", "*", "redis")),
			"a annotated labeled new plain", ""},
		{"the object is gone", remove(updaterWith("demo", "images", "*", "nginx")), "annotated", "a annotated"},
		{"an object that selects by label", add(byLabel), "annotated", "a annotated"},
		{"the label", add(labeled), "annotated labeled", "a annotated"},
		{"the label is gone", add(appWith("demo", "labeled", "")), "annotated", "a annotated"},
		{"an Application is gone", remove(appWith("demo", "annotated", "")), "", "a"},
		{"the Application is gone again", remove(appWith("demo", "annotated", "")), "", "a"},
		{"an Application that no longer wants an image", add(appWith("demo", "a", " , ")), "", ""},
	} {
		step.do()
		if got := found(t, x, "demo", "docker.io/nginx"); got != step.nginx {
			t.Errorf("after %s: nginx is wanted by %q, want %q", step.what, got, step.nginx)
		}
		if got := found(t, x, "demo", "redis"); got != step.redis {
			t.Errorf("after %s: redis is wanted by %q, want %q", step.what, got, step.redis)
		}
	}
	for _, obj := range []object{
		byLabel, appWith("demo", "a", ""), appWith("demo", "plain", ""), appWith("demo", "new", ""),
		appWith("demo", "labeled", ""), appWith("other", "annotated", ""), updaterWith("other", "images", "*"),
	} {
		notify(x, obj, true)
	}
	if len(x.namespaces) > 0 {
		t.Errorf("the empty index has %v", x.namespaces)
	}
}

func TestImageIndex_MissedDeletions(t *testing.T) {
	x := &imageIndex{}
	notify(x, appWith("demo", "a", "nginx"), false)
	x.applicationHandler().OnDelete(cache.DeletedFinalStateUnknown{Key: "demo/a"})
	if got := found(t, x, "demo", "nginx"); got != "" {
		t.Errorf("found %q", got)
	}
}

func TestImageIndex_RefusesInvalidNames(t *testing.T) {
	for _, name := range []string{"", "nginx:1.26", "Nginx", "a b", "nginx@" + newDigest} {
		if names, err := (&imageIndex{}).find("demo", name); err == nil {
			t.Errorf("%q: got %q and no error", name, names)
		}
	}
}

// randomObject returns one of a few objects in one of a few states.
func randomObject(r *rand.Rand) object {
	images := []string{"nginx", "redis", "busybox", ""}
	if r.IntN(4) == 0 {
		return updaterWith("demo", fmt.Sprintf("u%d", r.IntN(3)), []string{"*", "a1*", "a2", "none"}[r.IntN(4)],
			images[r.IntN(3)], images[r.IntN(3)])
	}
	return appWith("demo", fmt.Sprintf("a%d", r.IntN(15)), images[r.IntN(4)]+","+images[r.IntN(4)])
}

// TestImageIndex_EqualsFullRead compares the index, after any sequence of changes, with the result of reading every
// object.
func TestImageIndex_EqualsFullRead(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	x := &imageIndex{}
	apps, updaters := map[string]*argov1alpha1.Application{}, map[string]*iuv1alpha1.ImageUpdater{}
	for range 3000 {
		obj, gone := randomObject(r), r.IntN(3) == 0
		switch obj := obj.(type) {
		case *argov1alpha1.Application:
			apps[obj.Name] = obj
			if gone {
				delete(apps, obj.Name)
			}
		case *iuv1alpha1.ImageUpdater:
			updaters[obj.Name] = obj
			if gone {
				delete(updaters, obj.Name)
			}
		}
		notify(x, obj, gone)
		if r.IntN(4) > 0 {
			continue // several changes may come before a read
		}
		var all []*imageupdate.Updater
		for _, updater := range updaters {
			all = append(all, imageupdate.NewUpdater(updater))
		}
		want := map[string][]string{}
		for _, app := range apps {
			config, _ := imageupdate.ConfigFor(app, all)
			for _, image := range config.Repositories() {
				want[image] = append(want[image], app.Name)
			}
		}
		for _, image := range []string{"nginx", "redis", "busybox"} {
			names := want["docker.io/library/"+image]
			slices.Sort(names)
			if diff := cmp.Diff(strings.Join(names, " "), found(t, x, "demo", image)); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", image, diff)
			}
		}
	}
}

// TestImageIndex_ConcurrentUse is for the race detector. Its final state does not depend on the order of
// changes.
func TestImageIndex_ConcurrentUse(t *testing.T) {
	x := &imageIndex{}
	var running sync.WaitGroup
	for seed := range uint64(4) {
		running.Go(func() {
			r := rand.New(rand.NewPCG(seed, 5))
			for range 500 {
				notify(x, randomObject(r), r.IntN(3) == 0)
				names, err := x.find("demo", "nginx")
				if err != nil || !slices.IsSorted(names) {
					t.Errorf("got %q, %v", names, err)
				}
			}
		})
	}
	running.Wait()
	for i := range 3 {
		notify(x, updaterWith("demo", fmt.Sprintf("u%d", i), "a1", "redis"), false)
	}
	for i := range 15 {
		notify(x, appWith("demo", fmt.Sprintf("a%d", i), "nginx"), i > 3)
	}
	if got := found(t, x, "demo", "nginx"); got != "a0 a2 a3" {
		t.Errorf("got %q", got)
	}
	if got := len(x.namespaces["demo"].updaters); got != 3 {
		t.Errorf("got %d ImageUpdater objects", got)
	}
}

// TestImageIndex_NamespacesAreIndependent blocks one namespace in the middle of a change.
func TestImageIndex_NamespacesAreIndependent(t *testing.T) {
	x := &imageIndex{}
	notify(x, appWith("honest", "shop", "nginx"), false)
	x.update("hostile", func(*namespaceIndex) {
		if got := found(t, x, "honest", "nginx"); got != "shop" {
			t.Errorf("got %q", got)
		}
		notify(x, appWith("honest", "shop", "redis"), false)
		notify(x, updaterWith("other", "u", "*", "redis"), false)
	})
	if got := found(t, x, "honest", "redis"); got != "shop" {
		t.Errorf("got %q", got)
	}
	notify(x, appWith("honest", "shop", ""), true)
	notify(x, updaterWith("other", "u", "*", "redis"), true)
	if len(x.namespaces) != 0 {
		t.Errorf("%d empty namespaces are kept", len(x.namespaces))
	}
}

// TestImageIndex_UpdaterIsReadOncePerChange also updates one without a change, as a watch does after an interruption.
func TestImageIndex_UpdaterIsReadOncePerChange(t *testing.T) {
	x := &imageIndex{}
	notify(x, updaterWith("demo", "u", "*", "redis"), false)
	before := x.updatersIn("demo")
	notify(x, updaterWith("demo", "u", "*", "redis"), false)
	if again := x.updatersIn("demo"); len(before) != 1 || len(again) != 1 || again[0] != before[0] {
		t.Errorf("it was read again: %v, %v", before, again)
	}
	notify(x, updaterWith("demo", "u", "*", "nginx"), false)
	if again := x.updatersIn("demo"); len(again) != 1 || again[0] == before[0] {
		t.Errorf("it was not read again: %v", again)
	}
}
