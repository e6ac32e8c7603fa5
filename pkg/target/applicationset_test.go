// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/client-go/util/workqueue"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

const refreshKey = argov1alpha1.AnnotationApplicationSetRefresh

// setWith returns the ApplicationSet demo/apps with generators, and annotations, which may be none.
func setWith(annotations, generators string) string {
	return fmt.Sprintf(`{"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "metadata": {"name": "apps",
		"namespace": "demo", "resourceVersion": "1", "annotations": {%s}}, "spec": {"generators": [%s]}}`,
		annotations, generators)
}

func gitGenerator(repository, revision string) string {
	return fmt.Sprintf(`{"git": {"repoURL": %q, "revision": %q, "directories": [{"path": "apps/*"}]}}`,
		repository, revision)
}

// pullRequestOf returns the request of a pull request of a repository.
func pullRequestOf(repository string) Request {
	return withRepository(repository, Request{
		DeliveryEvent: &postern.DeliveryEvent{Ref: "pull/7", RefType: postern.RefTypePullRequest}, At: noon,
	})
}

func TestApplicationSet_FollowsGit(t *testing.T) {
	push := func(r Request) Request { return withRepository("https://github.com/acme/apps", r) }
	viaSSH := withEvent(branch("main"), func(e *postern.DeliveryEvent) {
		e.Repository, e.SSHURL = "https://web.acme.io/apps", "git@git.acme.io:acme/apps.git"
	})
	const apps = "https://github.com/acme/apps"
	for name, test := range map[string]struct {
		generators string
		pushed     Request
		want       bool
	}{
		"branch":                   {gitGenerator(apps, "main"), push(branch("main")), true},
		"full name":                {gitGenerator(apps, "refs/heads/main"), push(branch("main")), true},
		"another branch":           {gitGenerator(apps, "main"), push(branch("dev")), false},
		"HEAD":                     {gitGenerator(apps, "HEAD"), push(defaultBranch("trunk")), true},
		"no revision":              {gitGenerator(apps, ""), push(defaultBranch("trunk")), true},
		"HEAD, not default branch": {gitGenerator(apps, "HEAD"), push(branch("trunk")), false},
		"tag":                      {gitGenerator(apps, "v1.0.0"), push(tag("v1.0.0")), true},
		"range of versions":        {gitGenerator(apps, ">=1.0.0"), push(tag("v1.2.0")), true},
		"outside of the range":     {gitGenerator(apps, ">=2.0.0"), push(tag("v1.2.0")), false},
		"SSH":                      {gitGenerator("git@github.com:acme/apps.git", "main"), push(branch("main")), true},
		"user, case and suffix": {
			gitGenerator("https://bot@GitHub.com/Acme/Apps.git/", "main"), push(branch("main")), true,
		},
		"SSH address of the sender": {gitGenerator("ssh://git@git.acme.io/acme/apps", "main"), viaSSH, true},
		"another repository":        {gitGenerator(apps+"2", "main"), push(branch("main")), false},
		"second":                    {`{"list": {}}, ` + gitGenerator(apps, "main"), push(branch("main")), true},
		"matrix": {
			`{"matrix": {"generators": [{"clusters": {}}, ` + gitGenerator(apps, "main") + `]}}`,
			push(branch("main")), true,
		},
		"merge in a matrix": {
			`{"matrix": {"generators": [{"clusters": {}}, {"merge": {"mergeKeys": ["x"], "generators": [{"list": {}},
				` + gitGenerator(apps, "main") + `]}}]}}`, push(branch("main")), true,
		},
		"matrix in a merge": {
			`{"merge": {"generators": [{"matrix": {"generators": [` + gitGenerator(apps, "main") + `]}}]}}`,
			push(branch("main")), true,
		},
		"nested too deep for Argo CD": {
			`{"merge": {"generators": [{"matrix": {"generators": [{"merge": {"generators": [` +
				gitGenerator(apps, "main") + `]}}]}}]}}`, push(branch("main")), false,
		},
		"template":     {gitGenerator("https://github.com/{{.org}}/apps", "main"), push(branch("main")), false},
		"plugin":       {`{"plugin": {"configMapRef": {"name": "x"}}}`, push(branch("any")), true},
		"scmProvider":  {`{"scmProvider": {"github": {"organization": "acme"}}}`, push(branch("main")), false},
		"pull request": {gitGenerator(apps, "main"), pullRequestOf(apps), false},
		"chart": {
			`{"plugin": {"configMapRef": {"name": "x"}}}`,
			withRepository("oci://ghcr.io/acme/apps", tag("1.0.0")), false,
		},
	} {
		set := parse(t, postern.TargetApplicationSet, setWith("", test.generators))
		if got, err := (applicationSetKind{}).follows(set, test.pushed); got != test.want || err != nil {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
		wantIndexed := test.want || name == "another branch"
		indexed := slices.ContainsFunc(applicationSetKind{}.repositories(set), func(repository string) bool {
			return test.pushed.isFromAny([]string{repository})
		})
		if wantIndexed && !indexed {
			t.Errorf("%s: is not found by the index", name)
		}
	}
}

// Each provider of Argo CD's pull request generator, by what its git host sends; see pkg/payload/testdata.
func TestApplicationSet_FollowsPullRequests(t *testing.T) {
	for generator, repositories := range map[string][2]string{
		`"github": {"owner": "Acme", "repo": "shop"}`: {
			"https://github.com/acme/shop.git", "https://github.com/acme/till.git"},
		`"github": {"owner": "acme", "repo": "shop", "api": "https://git.acme.io/api/v3/"}`: {
			"https://git.acme.io/acme/shop.git", "https://github.com/acme/shop.git"},
		`"github": {"owner": "acme", "repo": "shop", "api": "https://api.acme.ghe.com"}`: {
			"https://acme.ghe.com/acme/shop.git", "https://github.com/acme/shop.git"},
		`"gitlab": {"project": "acme%2Fteam/shop"}`: {
			"https://gitlab.com/acme/team/shop.git", "https://gitlab.com/acme/shop.git"},
		`"gitlab": {"project": "acme/shop", "api": "https://gitlab.acme.io/"}`: {
			"https://gitlab.acme.io/acme/shop.git", "https://gitlab.com/acme/shop.git"},
		`"gitea": {"owner": "acme", "repo": "shop", "api": "https://gitea.acme.io/"}`: {
			"https://gitea.acme.io/acme/shop.git", "https://gitea.acme.io/acme/till.git"},
		`"bitbucket": {"owner": "acme", "repo": "shop"}`: {
			"https://bitbucket.org/acme/shop", "https://bitbucket.org/other/shop"},
		`"bitbucket": {"owner": "acme", "repo": "shop", "api": "https://api.bitbucket.org/2.0"}`: {
			"https://bitbucket.org/acme/shop", "https://bitbucket.org/other/shop"},
		`"bitbucketServer": {"project": "ACME", "repo": "shop", "api": "https://bitbucket.acme.io/rest"}`: {
			"https://bitbucket.acme.io/scm/acme/shop", "https://bitbucket.acme.io/scm/other/shop"},
		`"bitbucketServer": {"project": "ACME", "repo": "till", "api": "https://bitbucket.acme.io/rest"}`: {
			"ACME/till", "ACME/shop"},
		`"azuredevops": {"organization": "acme", "project": "My Shop", "repo": "shop"}`: {
			"https://acme@dev.azure.com/acme/My%20Shop/_git/shop", "https://dev.azure.com/acme/Other/_git/shop"},
		`"azuredevops": {"organization": "acme", "project": "shop", "repo": "shop"}`: {
			"https://acme.visualstudio.com/DefaultCollection/_git/shop", "https://other.visualstudio.com/_git/shop"},
	} {
		set := parse(t, postern.TargetApplicationSet, setWith("", `{"pullRequest": {`+generator+`}}`))
		for i, repository := range repositories {
			want := i == 0
			if got, err := (applicationSetKind{}).follows(set, pullRequestOf(repository)); got != want || err != nil {
				t.Errorf("%s, pull request of %s: got %v, %v", generator, repository, got, err)
			}
		}
		push := withRepository(repositories[0], defaultBranch("main"))
		if got, _ := (applicationSetKind{}).follows(set, push); got {
			t.Errorf("%s follows a push", generator)
		}
	}
}

func TestApplicationSet_FollowsNumberedProject(t *testing.T) {
	numbered := func(repository, id string) Request {
		return withEvent(pullRequestOf(repository), func(e *postern.DeliveryEvent) { e.RepositoryID = id })
	}
	set := parse(t, postern.TargetApplicationSet,
		setWith("", `{"pullRequest": {"gitlab": {"project": "42", "api": "https://gitlab.acme.io:8443/api/v4"}}}`))
	for _, test := range []struct {
		r    Request
		want bool
	}{
		{numbered("https://gitlab.acme.io:8443/a/shop.git", "42"), true},
		{numbered("https://gitlab.acme.io:8443/a/shop.git", "43"), false},
		{numbered("https://gitlab.com/a/shop.git", "42"), false},
		{pullRequestOf("https://gitlab.acme.io:8443/a/shop.git"), false},
	} {
		if got, _ := (applicationSetKind{}).follows(set, test.r); got != test.want {
			t.Errorf("%+v: got %v", test.r.DeliveryEvent, got)
		}
	}
}

func TestApplicationSet_FollowsListedRepositories(t *testing.T) {
	listed := func(value string) string { return fmt.Sprintf("%q: %q", AnnotationFollowRepositories, value) }
	const shop = "https://github.com/acme/shop"
	push, pull := withRepository(shop, branch("x")), pullRequestOf(shop)
	for value, want := range map[string]bool{
		"https://github.com/acme/shop": true, "git@github.com:acme/till.git, git@github.com:acme/shop.git": true,
		"https://github.com/acme/a\n https://github.com/acme/shop\n": true, "*": true, "": false,
		"https://github.com/acme/till": false, "https://github.com/acme": false,
	} {
		set := parse(t, postern.TargetApplicationSet, setWith(listed(value), `{"scmProvider": {}}`))
		for _, r := range []Request{push, pull} {
			if got, err := (applicationSetKind{}).follows(set, r); got != want || err != nil {
				t.Errorf("%q: got %v, %v", value, got, err)
			}
		}
	}
	long := parse(t, postern.TargetApplicationSet, setWith(listed(strings.Repeat("*,", maxFollowedBytes)), ""))
	if got, err := (applicationSetKind{}).follows(long, push); got || err == nil ||
		!strings.Contains(err.Error(), "has 8192 bytes") {
		t.Errorf("too long: got %v, %v", got, err)
	}
}

func TestApplicationSet_LimitsGenerators(t *testing.T) {
	many := strings.Repeat(gitGenerator("https://github.com/acme/other", "main")+",", maxGenerators)
	set := parse(t, postern.TargetApplicationSet, setWith("", many+gitGenerator(shop, "main")))
	if got, _ := (applicationSetKind{}).follows(set, branch("main")); got {
		t.Error("looked at more generators")
	}
}

// The CRD has no schema for generators that are nested twice, so anyone who may create ApplicationSets in one namespace
// can put anything there. It must not keep those of others out of the cache.
func TestApplicationSet_IgnoresMalformedNesting(t *testing.T) {
	for _, nested := range []string{
		`"text"`, `7`, `[]`, `null`, `{"generators": {}}`, `{"generators": [{"git": "text"}]}`,
		`{"generators": [{"git": {"repoURL": 7}}]}`,
		strings.Repeat(`{"matrix":`, 5000) + "1" + strings.Repeat("}", 5000),
	} {
		for _, kind := range []string{"matrix", "merge"} {
			set := parse(t, postern.TargetApplicationSet, setWith("", fmt.Sprintf(
				`{"matrix": {"generators": [{%q: %s}, %s]}}`, kind, nested, gitGenerator(shop, "main"))))
			if got, _ := (applicationSetKind{}).follows(set, branch("main")); !got {
				t.Errorf("%s %.60s: the other generator is not followed", kind, nested)
			}
		}
	}
}

func TestApplicationSet_Decide(t *testing.T) {
	const before = "2026-03-01T11:59:59Z"
	at := noon.UTC().Format(time.RFC3339Nano)
	set := func(old string) []Change { return []Change{{refreshKey, old, at}} }
	pending := func(value string) string { return fmt.Sprintf("%q: %q", refreshKey, value) }
	repeat := func(r Request) Request { r.Again = true; return r }
	pullRequest := pullRequestOf("https://github.com/acme/shop")
	for name, test := range map[string]struct {
		annotations string
		r           Request
		want        []Change
		reason      string
	}{
		"none":                   {"", branch("main"), set(""), ReasonRequested},
		"of another client":      {pending("true"), branch("main"), set("true"), ReasonRequested},
		"pull request":           {"", pullRequest, set(""), ReasonRequested},
		"of another repository":  {"", withRepository(values, tag("x")), set(""), ReasonRequested},
		"repeat":                 {"", repeat(branch("main")), set(""), ReasonRequested},
		"requested a moment ago": {pending(before), branch("main"), set(before), ReasonRequested},
		"repeated a moment ago":  {pending(before), repeat(branch("main")), nil, ReasonAlreadyRequested},
		"image":                  {"", withImage(t, "nginx:1", Request{}), nil, ReasonNotApplicable},
		"chart":                  {"", withRepository("oci://ghcr.io/acme/x", tag("1.0.0")), nil, ReasonNotApplicable},
	} {
		test.r.At = noon
		document := setWith(test.annotations, "")
		d := decide(t, parse(t, postern.TargetApplicationSet, document), test.r)
		if diff := cmp.Diff(test.want, d.Changes); diff != "" || d.Reason != test.reason {
			t.Errorf("%s: reason %s (-want +got):\n%s", name, d.Reason, diff)
		}
		if wantHeld := test.reason != ReasonNotApplicable; d.Held != wantHeld || len(d.Fields)+len(d.Slots) > 0 {
			t.Errorf("%s: got %+v", name, d)
		}
		after := parse(t, postern.TargetApplicationSet, mustApply(t, document, d.Patch))
		if len(test.want) > 0 && after.GetAnnotations()[refreshKey] != at {
			t.Errorf("%s: got %v", name, after.GetAnnotations())
		}
	}
	for kind, document := range map[postern.TargetKind]string{
		postern.TargetGatewaySync: plantAt("v1"), postern.TargetApplication: `{"spec": {"source": {"repoURL": "x"}}}`,
	} {
		if d := decide(t, parse(t, kind, document), pullRequest); d.Reason != ReasonNotApplicable || d.Patch != nil {
			t.Errorf("%s: a pull request is %+v", kind, d.Result)
		}
	}
}

// A write to an ApplicationSet that was found depends on the generator, or the annotation, that wants the request.
func TestApplicationSet_PatchTestsWhatItFollows(t *testing.T) {
	matrix := `{"matrix": {"generators": [{"clusters": {}}, {"merge": {"generators": [%s]}}]}}`
	git, pull := branch("main"), pullRequestOf("https://github.com/acme/shop")
	github := `{"pullRequest": {"github": {"owner": "acme", "repo": %q}}}`
	elsewhere := `{"pullRequest": {"github": {"owner": "acme", "repo": "shop", "api": "https://git.acme.io"}}}`
	listed := func(value string) string { return fmt.Sprintf("%q: %q", AnnotationFollowRepositories, value) }
	for name, test := range map[string]struct {
		r             Request
		before, after string
	}{
		"repository": {git, setWith("", gitGenerator(shop, "main")), setWith("", gitGenerator(values, "main"))},
		"revision":   {git, setWith("", gitGenerator(shop, "main")), setWith("", gitGenerator(shop, "dev"))},
		"nested": {
			git, setWith("", fmt.Sprintf(matrix, gitGenerator(shop, "main"))),
			setWith("", fmt.Sprintf(matrix, gitGenerator(shop, "dev"))),
		},
		"pull request": {
			pull, setWith("", fmt.Sprintf(github, "shop")), setWith("", fmt.Sprintf(github, "till")),
		},
		"API": {pull, setWith("", fmt.Sprintf(github, "shop")), setWith("", elsewhere)},
		"plugin": {
			git, setWith("", `{"plugin": {"configMapRef": {"name": "x"}}}`), setWith("", `{"list": {}}`),
		},
		"listed": {git, setWith(listed(shop), ""), setWith(listed(values), "")},
	} {
		test.r.IfFollowed = true
		patch := decide(t, parse(t, postern.TargetApplicationSet, test.before), test.r).Patch
		if len(edits(patch)) != 1 {
			t.Errorf("%s: the patch is %s", name, lines(t, patch))
		}
		if _, err := apply(test.after, patch); err == nil {
			t.Errorf("%s: the patch passed although it changed:\n%s", name, lines(t, patch))
		}
		d := decide(t, parse(t, postern.TargetApplicationSet, test.after), test.r)
		if d.Reason != ReasonNotFollowed || d.Patch != nil {
			t.Errorf("%s, afterwards: got %+v", name, d.Result)
		}
	}
}

// Requests for an ApplicationSet have no order: none is superseded, and all of them cost one write.
func TestApplicationSet_EveryRequestCounts(t *testing.T) {
	older, newer := event("v1", "github", 10, 11), event("v2", "github", 20, 21)
	for i, requests := range [][]Request{{older, newer}, {newer, older}} {
		api := startSet(t, gitGenerator(shop, "main"))
		writer, _ := newTestWriter(t, api, nil)
		for _, result := range writer.writeBatch(t.Context(), appsSet, requests) {
			if result.Err != nil || result.Reason != ReasonRequested || !result.Held {
				t.Errorf("order %d: got %+v", i, result)
			}
		}
		requested, object := api.seen()
		if diff := cmp.Diff([]string{"GET", "PATCH fieldManager=postern"}, requested); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		if strings.Contains(object, "postern.dev/") {
			t.Errorf("wrote more than the refresh: %s", object)
		}
	}
}

var appsSet = postern.TargetKey{Kind: postern.TargetApplicationSet, Namespace: "demo", Name: "apps"}

// startSet serves the ApplicationSet demo/apps.
func startSet(t *testing.T, generators string) *fakeAPIServer {
	t.Helper()
	object := setWith("", generators)
	api := newFakeAPIServer(t, object)
	api.path = applicationSetPath
	api.serve(applicationSets, &answer{text: object})
	return api
}

const applicationSetPath = "/apis/argoproj.io/v1alpha1/namespaces/demo/applicationsets/apps"

// startRegenerator asks Argo CD once more until the test ends.
func startRegenerator(t *testing.T, api *fakeAPIServer) {
	t.Helper()
	writer, _ := newTestWriter(t, api, startCache(t, api))
	eventually(t, "filled", func() bool { _, found := writer.cache.get(appsSet); return found })
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- writer.RefreshAgain(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// A request of Postern that was served is made once more, and that of another client, or the second, is not.
func TestApplicationSet_AsksOnceMore(t *testing.T) {
	generators := gitGenerator(shop, "main")
	api := startSet(t, generators)
	startRegenerator(t, api)
	version := 1
	change := func(value string) {
		version++
		annotations := ""
		if value != "" {
			annotations = fmt.Sprintf("%q: %q", refreshKey, value)
		}
		object := strings.Replace(setWith(annotations, generators), `"resourceVersion": "1"`,
			fmt.Sprintf(`"resourceVersion": "%d"`, version), 1)
		api.mu.Lock()
		api.set(object)
		api.mu.Unlock()
		api.events[applicationSets] <- `{"type": "MODIFIED", "object": ` + strings.ReplaceAll(object, "\n", "") + `}`
	}
	asked := func() bool {
		_, object := api.seen()
		return strings.Contains(object, `"`+refreshKey+`":"true"`)
	}
	for _, value := range []string{"true", lastRefresh, noon.Format(time.RFC3339Nano)} {
		if asked() {
			t.Fatal("asked again for a request that is not Postern's first")
		}
		change(value)
		change("")
	}
	eventually(t, "asked again", asked)
}

// An ApplicationSet that was held after a request was served is not refreshed once more, even if the cache does not yet
// have the hold.
func TestApplicationSet_AsksNotWhileHeld(t *testing.T) {
	held := setWith(fmt.Sprintf("%q: %q", postern.AnnotationHold, "frozen"), gitGenerator(shop, "main"))
	for name, test := range map[string]struct {
		cached string
		want   []string
	}{
		"known":   {held, nil},
		"unknown": {setWith("", gitGenerator(shop, "main")), []string{"PATCH fieldManager=postern"}},
	} {
		api := newFakeAPIServer(t, held)
		api.path = applicationSetPath
		api.serve(applicationSets, &answer{text: test.cached})
		writer, _ := newTestWriter(t, api, startCache(t, api))
		eventually(t, "filled", func() bool { _, found := writer.cache.get(appsSet); return found })
		r := regenerator{
			client: writer.clients[postern.TargetApplicationSet], cache: writer.cache,
			queue: workqueue.NewTypedDelayingQueue[postern.TargetKey](),
		}
		r.process(t.Context(), appsSet)
		r.queue.ShutDown()
		requested, object := api.seen()
		if diff := cmp.Diff(test.want, requested, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: requests (-want +got):\n%s", name, diff)
		}
		if strings.Contains(object, refreshKey) {
			t.Errorf("%s: refreshed while it is held: %s", name, object)
		}
	}
}

func TestApplicationSet_IsServed(t *testing.T) {
	at := noon.Format(time.RFC3339Nano)
	const (
		pull   = `{"pullRequest": {"github": {"owner": "a", "repo": "b"}}}`
		plugin = `{"plugin": {"configMapRef": {"name": "x"}}}`
	)
	for name, test := range map[string]struct {
		before, after, generators string
		want                      bool
	}{
		"served":            {at, "", gitGenerator(shop, "main"), true},
		"with others":       {at, "", plugin + "," + gitGenerator(shop, "main"), true},
		"second":            {lastRefresh, "", gitGenerator(shop, "main"), false},
		"still pending":     {at, at, gitGenerator(shop, "main"), false},
		"requested":         {"", at, gitGenerator(shop, "main"), false},
		"only pull request": {at, "", pull, false}, // Argo CD does not cache them
		"only plugin":       {at, "", plugin, false},
	} {
		at := func(value string) *argov1alpha1.ApplicationSet {
			annotations := ""
			if value != "" {
				annotations = fmt.Sprintf("%q: %q", refreshKey, value)
			}
			document := setWith(annotations, test.generators)
			set, _ := parse(t, postern.TargetApplicationSet, document).(*argov1alpha1.ApplicationSet)
			return set
		}
		if got := isServed(at(test.before), at(test.after)); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
