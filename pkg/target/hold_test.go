// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern"
)

const freeze = `"postern.dev/hold": "freeze until Monday"`

// heldPlant is the GatewaySync demo/plant at a ref, on hold.
func heldPlant(ref string) string {
	return strings.Replace(plantAt(ref), `"annotations": {`, `"annotations": {`+freeze+`, `, 1)
}

// annotatedApp is an Application demo/shop with some annotations, whose source is at a revision.
func annotatedApp(revision string, annotations ...string) string {
	return `{"metadata": {"namespace": "demo", "name": "shop",
		"annotations": {` + strings.Join(annotations, ", ") + `}},
		"spec": {"source": {"repoURL": "https://git.acme.io/shop", "targetRevision": "` + revision + `"}}}`
}

const moves = `"postern.dev/update-target-revision": "true"`

// renderedByKustomize returns an Application that Argo CD renders with Kustomize.
func renderedByKustomize(app string) string {
	return strings.TrimSuffix(app, "}") +
		`, "status": {"sourceType": "Kustomize", "summary": {"images": ["nginx:1.0"]}}}`
}

func TestHold_NothingIsWritten(t *testing.T) {
	app := annotatedApp("main", freeze, moves, `"argocd-image-updater.argoproj.io/image-list": "web=nginx"`,
		`"argocd-image-updater.argoproj.io/web.force-update": "true"`)
	app = renderedByKustomize(app)
	git := Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Source: "github",
		Repository: "https://git.acme.io/shop"}, At: noon, Received: minute(2)}
	followed := withEvent(git, func(e *postern.DeliveryEvent) { e.Ref, e.RefType = "main", postern.RefTypeBranch })
	followed.IfFollowed = true
	again, redelivered := git, git
	again.Again, redelivered.Override = true, true
	for name, test := range map[string]struct {
		kind     postern.TargetKind
		document string
		request  Request
		want     string
	}{
		"git ref":              {postern.TargetApplication, app, git, ReasonHeld},
		"followed":             {postern.TargetApplication, app, followed, ReasonHeld},
		"image":                {postern.TargetApplication, app, withImage(t, "nginx:1.1", git), ReasonHeld},
		"repeat":               {postern.TargetApplication, app, again, ReasonHeld},
		"redelivery":           {postern.TargetApplication, app, redelivered, ReasonHeld},
		"GatewaySync":          {postern.TargetGatewaySync, heldPlant("main"), git, ReasonHeld},
		"GatewaySync, present": {postern.TargetGatewaySync, heldPlant("v2"), git, ReasonHeld},
		"not applicable": {postern.TargetGatewaySync, heldPlant("main"), withImage(t, "nginx:1.1", git),
			ReasonNotApplicable},
		"value false": {postern.TargetApplication, strings.Replace(app, "freeze until Monday", "false", 1), git,
			ReasonRequested},
		"empty value": {postern.TargetApplication, strings.Replace(app, "freeze until Monday", "", 1), git, ReasonHeld},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(t, parse(t, test.kind, test.document), test.request)
			if d.Reason != test.want || d.OnHold != (test.want == ReasonHeld) {
				t.Errorf("got %+v", d.Result)
			}
			if d.OnHold && (len(d.Patch) > 0 || d.Held || !strings.Contains(d.Message, "kubectl annotate ")) {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestHold_OfDelivery(t *testing.T) {
	r := event("v2", "github", 1, 2)
	r.Hold = "awaits approval"
	d := decide(t, parse(t, postern.TargetGatewaySync, plantAt("v1")), r)
	if !d.OnHold || d.Reason != ReasonDeliveryHeld || len(d.Patch) > 0 || !strings.Contains(d.Message, r.Hold) {
		t.Errorf("got %+v", d)
	}
}

// A hold that is set between the decision and the patch prevents the patch.
func TestHold_SetDuringWrite(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	api.before = func(api *fakeAPIServer, method string, n int) *answer {
		if method == http.MethodPatch && n == 1 {
			api.object = heldPlant("v1")
		}
		return nil
	}
	writer, _ := newTestWriter(t, api, nil)
	result, err := writeOne(t.Context(), writer, plant, event("v2", "github", 1, 2), false)
	if err != nil || !result.OnHold {
		t.Errorf("got %+v, %v", result, err)
	}
	if _, object := api.seen(); requestedIn(parse(t, postern.TargetGatewaySync, object)) != "v1" {
		t.Errorf("the target was written: %s", object)
	}
}

// Of concurrent requests for a held target all wait: the delivery of the newest is not recorded yet, and may never be.
// Contest supersedes the others.
func TestHold_Coalesced(t *testing.T) {
	api := newFakeAPIServer(t, heldPlant("v0"))
	writer, _ := newTestWriter(t, api, nil)
	own := event("v4", "github", 4, 24)
	own.Hold = "awaits approval"
	results := writer.writeBatch(t.Context(), plant, []Request{
		event("v1", "github", 1, 21), event("v3", "github", 3, 23), event("v2", "github", 2, 22), own,
	})
	for i, want := range []string{ReasonHeld, ReasonHeld, ReasonHeld, ReasonDeliveryHeld} {
		if results[i].Reason != want {
			t.Errorf("request %d: got %+v, want %s", i, results[i], want)
		}
	}
}

func TestContest(t *testing.T) {
	const repository = "https://git.acme.io/shop"
	named := func(ref string, receivedAt int) Request {
		return withRepository(repository, event(ref, "generic", 0, receivedAt))
	}
	followed := func(ref string, receivedAt int) Request {
		r := named(ref, receivedAt)
		r.IfFollowed = true
		return withEvent(r, func(e *postern.DeliveryEvent) { e.RefType = postern.RefTypeTag })
	}
	own := func(r Request) Request {
		r.Hold = "awaits approval"
		return r
	}
	images := `"argocd-image-updater.argoproj.io/image-list": "web=nginx:1.x",
		"argocd-image-updater.argoproj.io/web.force-update": "true"`
	app := renderedByKustomize(annotatedApp("v1.0.0", freeze, moves, `"postern.dev/follow-tags": ">=1"`, images))
	imageOf := func(reference string, receivedAt int) Request {
		return withImage(t, reference, event("", "harbor", 0, receivedAt))
	}
	redelivered := named("v1.2.0", 13)
	redelivered.Override = true
	for name, test := range map[string]struct {
		requests []Request
		lost     []int
	}{
		"the newest":                {[]Request{named("v1.1.0", 11), named("v1.2.0", 12)}, []int{0}},
		"in any order":              {[]Request{named("v1.2.0", 12), named("v1.1.0", 11)}, []int{1}},
		"the last redelivery":       {[]Request{named("v1.3.0", 12), redelivered}, []int{0}},
		"after a redelivery":        {[]Request{redelivered, named("v1.3.0", 14)}, []int{0}},
		"the highest followed tag":  {[]Request{followed("v1.3.0", 11), followed("v1.2.0", 12)}, []int{1}},
		"the highest image":         {[]Request{imageOf("nginx:1.3", 11), imageOf("nginx:1.2", 12)}, []int{1}},
		"an image and a ref":        {[]Request{imageOf("nginx:1.3", 11), named("v1.2.0", 12)}, nil},
		"held itself replaces none": {[]Request{named("v1.1.0", 11), own(named("v1.2.0", 12))}, nil},
		"held itself is replaced":   {[]Request{own(named("v1.1.0", 11)), named("v1.2.0", 12)}, []int{0}},
		"of those held themselves":  {[]Request{own(named("v1.1.0", 11)), own(named("v1.2.0", 12))}, []int{0}},
		"three, one of them held itself": {
			[]Request{named("v1.1.0", 11), own(named("v1.2.0", 12)), named("v1.3.0", 13)}, []int{0, 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			served := batchTarget{
				key: shopKey, path: "/apis/argoproj.io/v1alpha1/namespaces/demo/applications/shop", document: app,
			}.serve(t)
			for i := range test.requests {
				test.requests[i].Retry = true
			}
			results, err := served.writer.Contest(t.Context(), shopKey, test.requests)
			if err != nil {
				t.Fatal(err)
			}
			var lost []int
			for i, result := range results {
				switch result.Reason {
				case "":
				case ReasonSuperseded:
					lost = append(lost, i)
				default:
					t.Errorf("got %+v", result)
				}
			}
			if !slices.Equal(lost, test.lost) {
				t.Errorf("%v lost, not %v: %+v", lost, test.lost, results)
			}
			_, after := served.api.seen()
			if !strings.Contains(after, "freeze") || strings.Contains(after, "requested") {
				t.Errorf("the target was written: %s", after)
			}
		})
	}
}

// Requests to a target that is held now and then, which are settled at random times, end as if all had been written
// in their order of receipt, and none that is older ever replaces a newer one.
func TestHold_OrderAsIfNotHeld(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		reference, tested := newHoldModel(t), newHoldModel(t)
		sender := pick1(r, "github", "generic") // of two types of sender, the first to be written may decide
		for n := range 12 {
			happened := 0 // unknown
			if sender == "github" {
				happened = 1 + r.IntN(10)
			}
			request := event(fmt.Sprint("v", n), sender, happened, 20+n)
			reference.deliver(request)
			if r.IntN(3) == 0 {
				tested.setHold(r.IntN(2) == 0)
			}
			tested.deliver(request)
			if r.IntN(3) == 0 {
				tested.settle()
			}
		}
		tested.setHold(false)
		tested.settle()
		if len(tested.held) > 0 {
			t.Errorf("seed %d: still held: %+v", seed, tested.held)
		}
		if got, want := tested.ref(), reference.ref(); got != want {
			t.Fatalf("seed %d: the target has %s, and without holds %s", seed, got, want)
		}
	}
}

// holdModel does what the pipeline and the HoldController do with the deliveries to one target.
type holdModel struct {
	*testing.T
	api    *fakeAPIServer
	writer *Writer
	held   []Request
}

func newHoldModel(t *testing.T) *holdModel {
	api := newFakeAPIServer(t, plantAt("v"))
	writer, _ := newTestWriter(t, api, nil)
	return &holdModel{T: t, api: api, writer: writer}
}

func (m *holdModel) deliver(r Request) {
	if m.write(r).OnHold {
		r.Retry = true
		m.held = append(m.held, r)
	}
}

func (m *holdModel) write(r Request) Result {
	result := m.writer.Write(context.Background(), plant, []Request{r}, false)[0]
	if result.Err != nil {
		m.Fatal(result.Err)
	}
	return result
}

func (m *holdModel) setHold(on bool) {
	m.api.mu.Lock()
	defer m.api.mu.Unlock()
	without := strings.Replace(m.api.object, freeze+`, `, "", 1)
	without = strings.Replace(without, `"postern.dev/hold":"freeze until Monday",`, "", 1)
	if on {
		without = strings.Replace(without, `"annotations":`, `"annotations": `, 1)
		without = strings.Replace(without, `"annotations": {`, `"annotations": {`+freeze+`, `, 1)
		without = strings.Replace(without, `"annotations":  {`, `"annotations": {`+freeze+`, `, 1)
	}
	m.api.object = without
}

// settle supersedes and, if the target is released, writes.
func (m *holdModel) settle() {
	results, err := m.writer.Contest(context.Background(), plant, m.held)
	if err != nil {
		m.Fatal(err)
	}
	var left []Request
	for i, r := range m.held {
		if results[i].Reason == "" {
			left = append(left, r)
		}
	}
	left = pick(left, orderByReceipt(left))
	m.held = nil
	for _, r := range left {
		r.Released = true
		if m.write(r).OnHold {
			m.held = append(m.held, r)
		}
	}
	if len(m.held) > 1 {
		m.Errorf("%d requests of one slot are held after they were settled", len(m.held))
	}
}

func (m *holdModel) ref() string {
	_, object := m.api.seen()
	return requestedIn(parse(m.T, postern.TargetGatewaySync, object))
}

// Who may annotate a target or a delivery writes nothing else to the terminals of those who read messages.
func TestHold_MessageIsPlain(t *testing.T) {
	for name, why := range map[string]string{"target": "\x1b[2J\nreleased \u202e", "delivery": ""} {
		request := Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Source: "generic"}, At: noon,
			Received: minute(2)}
		document := heldPlant("v1")
		if why == "" {
			document, request.Hold = plantAt("v1"), "\x1b[2J\nreleased \u202e"
		} else {
			document = strings.Replace(document, `"freeze until Monday"`, `"\u001b[2J\nreleased \u202e"`, 1)
		}
		got := decide(t, parse(t, postern.TargetGatewaySync, document), request)
		if !got.OnHold || !strings.Contains(got.Message, "?[2J released ?") {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}
