// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

// holdTest is a target in a holdList.
type holdTest struct {
	list     *holdList
	key      postern.TargetKey
	document string
	version  int
	reports  []TakenBack
}

func newHoldTest(kind postern.TargetKind, document string) *holdTest {
	return &holdTest{
		list: newHoldList(), version: 10, document: document,
		key: postern.TargetKey{Kind: kind, Namespace: "demo", Name: "x"},
	}
}

// read returns the target at a version, with managed fields.
func (h *holdTest) read(t *testing.T, managedFields ...metav1.ManagedFieldsEntry) object {
	t.Helper()
	obj := parse(t, h.key.Kind, h.document)
	obj.SetNamespace("demo")
	obj.SetUID("u-1")
	obj.SetResourceVersion(fmt.Sprint(h.version))
	obj.SetManagedFields(managedFields)
	return obj
}

// write writes a request, and calls meanwhile between the write and its answer.
func (h *holdTest) write(t *testing.T, r Request, meanwhile func()) {
	t.Helper()
	r.OnTakenBack = func(taken TakenBack) { h.reports = append(h.reports, taken) }
	d := decide(t, h.read(t), r)
	begun := h.list.begin(h.key, []Request{r}, []decision{d})
	h.version++
	h.document = mustApply(t, h.document, d.Patch)
	written := h.read(t, managed("postern", noon, `{}`))
	if meanwhile != nil {
		meanwhile()
	}
	h.list.end(begun, written)
}

// change changes the target as another client does, and delivers it.
func (h *holdTest) change(t *testing.T, patch string, managedFields ...metav1.ManagedFieldsEntry) {
	t.Helper()
	var operations []operation
	decode(t, patch, &operations)
	h.version++
	h.document = mustApply(t, h.document, operations)
	h.list.observe(h.key.Kind, h.read(t, managedFields...))
}

// managed is an entry of managedFields.
func managed(manager string, at time.Time, fields string) metav1.ManagedFieldsEntry {
	entry := metav1.ManagedFieldsEntry{Manager: manager, Operation: "Update", Time: &metav1.Time{Time: at}}
	entry.FieldsV1 = &metav1.FieldsV1{}
	_ = json.Unmarshal([]byte(fields), entry.FieldsV1)
	return entry
}

const (
	movingApp = `{"metadata": {"name": "x", "annotations": {"postern.dev/update-target-revision": "true"}},
		"spec": {"source": {"repoURL": "https://git.acme.io/shop", "targetRevision": "main"}}}`
	syncAtMain = `{"metadata": {"name": "x", "annotations": {"team": "a"}},
		"spec": {"git": {"repo": "https://git.acme.io/shop", "ref": "main"}}}`

	ownsRevision    = `{"f:spec": {"f:source": {"f:targetRevision": {}}}}`
	ownsStatus      = `{"f:status": {"f:health": {}}}`
	ownsAnnotations = `{"f:metadata": {"f:annotations": {"f:team": {}}}}`

	revertRevision = `[{"op": "add", "path": "/spec/source/targetRevision", "value": "main"}]`
	revertAll      = `[{"op": "add", "path": "/spec/source/targetRevision", "value": "main"},
		{"op": "add", "path": "/metadata/annotations", "value": {"postern.dev/update-target-revision": "true"}}]`
)

func TestHolds_ReportsWhoTookBackWhat(t *testing.T) {
	later := noon.Add(time.Hour).UTC().Truncate(time.Second)
	argo := managed("argocd-application-controller", later.Add(time.Minute), ownsStatus)
	for name, test := range map[string]struct {
		kind     postern.TargetKind
		document string
		change   string
		managers []metav1.ManagedFieldsEntry
		fields   []string // nil if nothing is reported
		manager  string
		note     string
	}{
		"the field's owner": {postern.TargetApplication, movingApp, revertRevision,
			[]metav1.ManagedFieldsEntry{argo, managed("kubectl-edit", later, ownsRevision)},
			[]string{"spec.source.targetRevision"}, "kubectl-edit", ""},
		"a removal, by a client that wrote since": {postern.TargetApplication, movingApp,
			`[{"op": "remove", "path": "/metadata/annotations/postern.dev~1requested-ref"}]`,
			[]metav1.ManagedFieldsEntry{argo, managed("kubectl-annotate", later, ownsAnnotations)},
			[]string{"postern.dev/requested-ref"}, "kubectl-annotate", ""},
		"a removal, by a client that left no trace": {postern.TargetApplication, movingApp,
			`[{"op": "remove", "path": "/metadata/annotations/postern.dev~1requested-ref"}]`,
			[]metav1.ManagedFieldsEntry{argo, managed("kubectl-create", noon.Add(-time.Hour), ownsAnnotations)},
			[]string{"postern.dev/requested-ref"}, "", ""},
		"all, by an ApplicationSet": {postern.TargetApplication,
			strings.Replace(movingApp, `"name": "x",`, `"name": "x", "ownerReferences": [
				{"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "shops", "uid": "1"}],`, 1),
			revertAll,
			[]metav1.ManagedFieldsEntry{argo, managed("argocd-applicationset-controller", noon.Add(-time.Hour),
				`{"f:metadata": {"f:ownerReferences": {}}}`)},
			[]string{"postern.dev/requested-ref", "spec.source.targetRevision"}, "argocd-applicationset-controller",
			`the ApplicationSet "shops" generates the Application`},
		"the status": {postern.TargetApplication, movingApp, `[{"op": "add", "path": "/status", "value": {}}]`,
			[]metav1.ManagedFieldsEntry{argo}, nil, "", ""},
		"another replica": {postern.TargetApplication, movingApp, revertRevision,
			[]metav1.ManagedFieldsEntry{managed("postern", later, ownsRevision)}, nil, "", ""},
		"a GatewaySync": {postern.TargetGatewaySync, syncAtMain,
			`[{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": "v0"}]`,
			[]metav1.ManagedFieldsEntry{managed("kubectl-annotate", later,
				`{"f:metadata": {"f:annotations": {"f:stoker.io/requested-ref": {}}}}`)},
			[]string{"stoker.io/requested-ref"}, "kubectl-annotate", ""},
		"a GatewaySync whose spec has the ref, so that Stoker removes it": {postern.TargetGatewaySync, syncAtMain,
			`[{"op": "remove", "path": "/metadata/annotations/stoker.io~1requested-ref"},
			{"op": "add", "path": "/spec/git/ref", "value": "2.0.0"}]`, nil, nil, "", ""},
		"a GatewaySync whose spec has another": {postern.TargetGatewaySync, syncAtMain,
			`[{"op": "remove", "path": "/metadata/annotations/stoker.io~1requested-ref"}]`, nil,
			[]string{"stoker.io/requested-ref"}, "", ""},
	} {
		for _, early := range []bool{false, true} {
			h := newHoldTest(test.kind, test.document)
			change := func() { h.change(t, test.change, test.managers...) }
			again := func() { h.change(t, `[]`, test.managers...) }
			if early { // the informer is faster than the answer
				h.write(t, event("v2.0.0", "github", 0, 1), func() {
					written := h.version
					change()
					h.version = written
				})
			} else {
				h.write(t, event("v2.0.0", "github", 0, 1), nil)
				change()
				again() // it is reported once
			}
			if test.fields == nil {
				if len(h.reports) > 0 {
					t.Errorf("%s, early %v: got %+v", name, early, h.reports)
				}
				continue
			}
			if len(h.reports) != 1 {
				t.Errorf("%s, early %v: got %d reports", name, early, len(h.reports))
				continue
			}
			got := h.reports[0]
			if diff := cmp.Diff(test.fields, got.Fields); diff != "" || got.Manager != test.manager ||
				!strings.HasPrefix(got.Note, test.note) || (got.Note == "") != (test.note == "") || got.Key != h.key ||
				got.UID != "u-1" {
				t.Errorf("%s, early %v: got %+v", name, early, got)
			}
		}
	}
}

func TestHolds_ImageOverride(t *testing.T) {
	document := strings.Replace(newestBuild, `"name": "shop"`, `"name": "x"`, 1)
	for change, want := range map[string]int{
		`[{"op": "remove", "path": "/spec/source/kustomize/images"}]`:                        1,
		`[{"op": "add", "path": "/spec/source/kustomize/images/0", "value": "redis:7"}]`:     0,
		`[{"op": "replace", "path": "/spec/source/kustomize/images/0", "value": "nginx:0"}]`: 1,
	} {
		h := newHoldTest(postern.TargetApplication, document)
		h.write(t, withImage(t, "nginx:b2", event("", "quay.io", 0, 1)), nil)
		h.change(t, change)
		if len(h.reports) != want {
			t.Errorf("%s: got %+v", change, h.reports)
		}
	}
}

// A second webhook for the same push, whose receipt the target may record, does not end the watch.
func TestHolds_RepeatIsWatchedOn(t *testing.T) {
	again := event("v2", "github", 0, 2)
	h := newHoldTest(postern.TargetApplication, movingApp)
	h.write(t, event("v2", "github", 0, 1), nil)
	h.change(t, `[{"op": "add", "path": "/metadata/annotations/postern.dev~1event-time", "value": `+
		encode(t, watermarkSet{"git": again.watermark()}.String())+`}]`)
	h.change(t, revertRevision)
	if len(h.reports) != 1 || !cmp.Equal(h.reports[0].Fields, []string{"spec.source.targetRevision"}) {
		t.Errorf("got %+v", h.reports)
	}
}

func TestHolds_RecreatedTarget(t *testing.T) {
	for _, early := range []bool{false, true} {
		h := newHoldTest(postern.TargetApplication, movingApp)
		recreate := func() {
			h.version++
			obj := parse(t, h.key.Kind, movingApp)
			obj.SetNamespace("demo")
			obj.SetUID("u-2")
			obj.SetResourceVersion(fmt.Sprint(h.version + 1))
			h.list.observe(h.key.Kind, obj)
		}
		if early {
			h.write(t, event("v2", "github", 0, 1), recreate)
		} else {
			h.write(t, event("v2", "github", 0, 1), nil)
			recreate()
		}
		if len(h.reports) > 0 || len(h.list.holds) > 0 {
			t.Errorf("early %v: got %+v, %d targets are watched", early, h.reports, len(h.list.holds))
		}
	}
}

// What Postern itself replaces is not taken back.
func TestHolds_LaterRequestsReplaceThem(t *testing.T) {
	for name, then := range map[string]func(*holdTest){
		"a later request": func(h *holdTest) {
			h.write(t, event("v3", "github", 0, 2), nil)
			h.change(t, `[]`)
		},
		"a later request for another repository": func(h *holdTest) {
			r := event("v3", "github", 0, 2)
			r.DeliveryEvent = &postern.DeliveryEvent{Ref: "v3", RefType: r.RefType, Repository: shop}
			h.write(t, r, nil)
			h.change(t, `[]`)
		},
		"a later request of another process": func(h *holdTest) {
			h.change(t, `[
				{"op": "add", "path": "/metadata/annotations/postern.dev~1event-time", "value": `+
				encode(t, watermarkSet{"git": event("v3", "github", 0, 2).watermark()}.String())+`},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-ref", "value": "v3"},
				{"op": "add", "path": "/spec/source/targetRevision", "value": "v3"}]`)
			h.change(t, revertRevision)
		},
		"a write that failed": func(h *holdTest) {
			r := event("v3", "github", 0, 2)
			r.OnTakenBack = func(TakenBack) { t.Error("reported what was not written") }
			h.list.end(h.list.begin(h.key, []Request{r}, []decision{decide(t, h.read(t), r)}), nil)
			h.reports = append(h.reports, TakenBack{}) // the first request is still watched
			h.change(t, revertRevision)
			h.reports = h.reports[1:]
			if len(h.reports) != 1 {
				t.Errorf("a failed write ended the watch of the one before it")
			}
			h.reports = nil
		},
	} {
		h := newHoldTest(postern.TargetApplication, movingApp)
		h.write(t, event("v2", "github", 0, 1), nil)
		then(h)
		if len(h.reports) > 0 {
			t.Errorf("%s: got %+v", name, h.reports)
		}
	}
}

// An image replaces the annotations of a git ref, but not its targetRevision.
func TestHolds_OtherSlotKeepsSpec(t *testing.T) {
	h := newHoldTest(postern.TargetApplication, movingApp)
	h.write(t, event("v2", "github", 0, 1), nil)
	h.write(t, withImage(t, "nginx:b2", event("", "quay.io", 0, 2)), nil)
	h.change(t, `[]`)
	if len(h.reports) > 0 {
		t.Fatalf("got %+v", h.reports)
	}
	h.change(t, revertRevision)
	if len(h.reports) != 1 || !cmp.Equal(h.reports[0].Fields, []string{"spec.source.targetRevision"}) {
		t.Errorf("got %+v", h.reports)
	}
}

func TestHolds_EndAfterSomeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHoldTest(postern.TargetApplication, movingApp)
		h.write(t, event("v2", "github", 0, 1), nil)
		advance(holdTime)
		h.change(t, revertAll)
		if len(h.reports) > 0 || len(h.list.holds) > 0 || len(h.list.queue) > 0 {
			t.Errorf("got %+v, %d targets are left", h.reports, len(h.list.holds))
		}
	})
}

// A namespace that is written a lot leaves room for others.
func TestHolds_AreBoundedPerNamespace(t *testing.T) {
	list, app := newHoldList(), parse(t, postern.TargetApplication, movingApp)
	r := event("v2", "github", 0, 1)
	r.OnTakenBack = func(TakenBack) {}
	d := decide(t, app, r)
	begin := func(namespace string, i int) int {
		key := postern.TargetKey{Kind: postern.TargetApplication, Namespace: namespace, Name: fmt.Sprint(i)}
		return len(list.begin(key, []Request{r}, []decision{d}))
	}
	held := 0
	for i := range maxHolds + 1 {
		held += begin("greedy", i)
	}
	if held != maxHolds/2 || begin("modest", 0) != 1 {
		t.Errorf("one namespace holds %d of %d", held, maxHolds)
	}
}

// heldImages is an Application with many images and large managedFields, and a list that watches one request for each
// of some of the images. reports counts what is reported.
func heldImages(t *testing.T, requests int) (list *holdList, app *argov1alpha1.Application, reports *int) {
	t.Helper()
	app, list, reports = applicationOf(nil, source(shop, "main")), newHoldList(), new(0)
	app.Namespace, app.Name, app.ResourceVersion = shopKey.Namespace, shopKey.Name, "1"
	const path, images, annotations = "/spec/sources/0/kustomize/images", 500, 3000
	app.Spec.Sources[0].Kustomize = &argov1alpha1.ApplicationSourceKustomize{}
	for i := range images {
		app.Spec.Sources[0].Kustomize.Images = append(app.Spec.Sources[0].Kustomize.Images, fmt.Sprint("nginx:", i))
	}
	owned := map[string]any{}
	for i := range annotations {
		owned[fmt.Sprint("f:team-", i)] = struct{}{}
	}
	app.ManagedFields = []metav1.ManagedFieldsEntry{managed("kubectl", noon.Add(time.Hour),
		encode(t, map[string]any{"f:metadata": map[string]any{"f:annotations": owned}}))}
	for i := range requests {
		r := event("", "quay.io", 0, 1+i)
		r.OnTakenBack = func(TakenBack) { *reports++ }
		fields := make([]heldField, images)
		for k := range fields {
			fields[k] = heldField{Path: path, Value: fmt.Sprint("redis:", k), IsList: true}
		}
		d := decision{Result: Result{Held: true}, Slots: []string{fmt.Sprint("image/", i)}, Fields: fields}
		list.end(list.begin(shopKey, []Request{r}, []decision{d}), app)
	}
	app.ResourceVersion = "2"
	return list, app, reports
}

// The newest requests for a target are watched, and only some of the fields and of the managers are compared.
func TestHolds_AreBoundedPerTarget(t *testing.T) {
	list, app, reports := heldImages(t, 3*maxTargetHolds)
	holds := list.holds[shopKey]
	if len(holds) != maxTargetHolds || !holds[0].received.Equal(minute(1+2*maxTargetHolds)) {
		t.Fatalf("%d requests are watched, the first of %s", len(holds), holds[0].received)
	}
	for _, h := range holds {
		if len(h.fields) != maxHoldFields {
			t.Errorf("%d fields are watched", len(h.fields))
		}
	}
	if got := len(managersOf(slices.Repeat(app.ManagedFields, 2*maxManagers))); got != maxManagers {
		t.Errorf("%d managers are read", got)
	}
	list.observe(postern.TargetApplication, app)
	if *reports != maxTargetHolds || len(list.holds) > 0 {
		t.Errorf("got %d reports, and %d targets are left", *reports, len(list.holds))
	}
}

// A change of a large target is read once, however many requests are compared with it. The changes of all namespaces
// wait meanwhile.
func TestHolds_ReadTargetOnce(t *testing.T) {
	allocations := func(requests int) float64 {
		var runs []func()
		for range 2 {
			list, app, _ := heldImages(t, requests)
			runs = append(runs, func() { list.observe(postern.TargetApplication, app) })
		}
		return testing.AllocsPerRun(1, func() { runs[0](); runs = runs[1:] })
	}
	one, many := allocations(1), allocations(maxTargetHolds)
	if perRequest := (many - one) / (maxTargetHolds - 1); perRequest > one/20 {
		t.Errorf("one request costs %.0f allocations, each further one %.0f", one, perRequest)
	}
}

// A nil list, of a Writer without a cache, does nothing.
func TestHolds_WithoutCache(t *testing.T) {
	var list *holdList
	list.end(list.begin(plant, nil, nil), nil)
	list.observe(postern.TargetGatewaySync, parse(t, postern.TargetGatewaySync, syncAtMain))
}

func TestHolds_WatchOfCacheIsObserved(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	api.serve(gatewaySyncs, &answer{text: plantAt("v1")})
	cache := startCache(t, api)
	eventually(t, "listed", func() bool { return cachedRef(cache) == "v1" })
	writer, _ := newTestWriter(t, api, cache)
	taken := make(chan TakenBack, 1)
	r := event("v2", "github", 0, 1)
	r.OnTakenBack = func(by TakenBack) { taken <- by }
	if _, err := writeOne(t.Context(), writer, plant, r, false); err != nil {
		t.Fatal(err)
	}
	api.events[gatewaySyncs] <- `{"type": "MODIFIED", "object": ` +
		strings.Replace(plantAt("v1"), `"resourceVersion": "1"`, `"resourceVersion": "1000", "managedFields": [
			{"manager": "kubectl-annotate", "time": "2099-01-01T00:00:00Z", "fieldsV1":
				{"f:metadata": {"f:annotations": {"f:stoker.io/requested-ref": {}}}}}]`, 1) + `}`
	select {
	case got := <-taken:
		if got.Manager != "kubectl-annotate" || got.At.Year() != 2099 {
			t.Errorf("got %+v", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was reported")
	}
}
