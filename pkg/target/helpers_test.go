// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// withEvent returns a request whose event is changed. The event of r, which is shared, stays as it is.
func withEvent(r Request, change func(*postern.DeliveryEvent)) Request {
	event := postern.DeliveryEvent{}
	if r.DeliveryEvent != nil {
		event = *r.DeliveryEvent
	}
	change(&event)
	r.DeliveryEvent = &event
	return r
}

// withRepository returns a request for a ref of a repository.
func withRepository(repository string, r Request) Request {
	return withEvent(r, func(e *postern.DeliveryEvent) { e.Repository = repository })
}

// withImage returns a request for an image.
func withImage(t testing.TB, reference string, r Request) Request {
	return withEvent(r, func(e *postern.DeliveryEvent) { e.Image = image(t, reference) })
}

// decide decides on a request for an object of any kind.
func decide(t testing.TB, obj object, r Request) decision {
	t.Helper()
	return decideIn(t, planState{}, obj, r)
}

// decideShared is decide for a target to which other processes write.
func decideShared(t testing.TB, obj object, r Request) decision {
	t.Helper()
	return decideIn(t, planState{shared: true}, obj, r)
}

func decideIn(t testing.TB, state planState, obj object, r Request) decision {
	t.Helper()
	return mustKind(kindOf(t, obj)).decide(obj, r, &state)
}

func mustKind(name postern.TargetKind) targetKind {
	kind, ok := lookupKind(name)
	if !ok {
		panic("no kind " + name)
	}
	return kind
}

// liveSnapshot is a target as read from the API server.
func liveSnapshot(t testing.TB, kind postern.TargetKind, document string) snapshot {
	t.Helper()
	return snapshot{kind: mustKind(kind), obj: parse(t, kind, document), document: []byte(document)}
}

// staleIn returns the decision about a request that is stale in a slot of a target whose ref is v1; otherwise nil.
func staleIn(slot string, annotations map[string]string, r Request) *decision {
	b := newPatchBuilder(annotations, r, &planState{})
	b.previous = "v1"
	return b.checkStale(slot)
}

// slotOf returns the slot of a request for a git ref of a target.
func slotOf(kind postern.TargetKind, r Request) string { return mustKind(kind).gitSlot(r) }

// trim drops what the cache does not keep.
func trim(t testing.TB, obj object) {
	t.Helper()
	mustKind(kindOf(t, obj)).resource().trim(obj)
}

// writeOne writes one request.
func writeOne(ctx context.Context, w *Writer, key postern.TargetKey, r Request, dryRun bool) (result Result,
	err error) {
	result = w.Write(ctx, key, []Request{r}, dryRun)[0]
	err, result.Err = result.Err, nil
	return result, err
}

// apply applies a patch with the library that the kube-apiserver uses.
func apply(document string, patch []operation) (string, error) {
	if len(patch) == 0 {
		return document, nil
	}
	encoded, err := json.Marshal(patch)
	if err != nil {
		return "", err
	}
	decoded, err := jsonpatch.DecodePatch(encoded)
	if err != nil {
		return "", err
	}
	// The kube-apiserver encodes objects as json.Marshal does.
	var object any
	if err := json.Unmarshal([]byte(document), &object); err != nil {
		return "", err
	}
	current, err := json.Marshal(object)
	if err != nil {
		return "", err
	}
	after, err := decoded.Apply(current)
	return string(after), err
}

func mustApply(t *testing.T, document string, patch []operation) string {
	t.Helper()
	after, err := apply(document, patch)
	if err != nil {
		t.Fatalf("could not apply %v to %s: %v", patch, document, err)
	}
	return after
}

func parse(t testing.TB, kind postern.TargetKind, document string) object {
	t.Helper()
	obj := mustKind(kind).resource().newObject()
	if err := json.Unmarshal([]byte(document), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

func kindOf(t testing.TB, obj object) postern.TargetKind {
	t.Helper()
	for _, kind := range kinds {
		if reflect.TypeOf(kind.resource().newObject()) == reflect.TypeOf(obj) {
			return kind.resource().kind
		}
	}
	t.Fatalf("no kind for %T", obj)
	return ""
}

// removeKey removes a key at any depth.
func removeKey(value any, key string) {
	switch value := value.(type) {
	case map[string]any:
		delete(value, key)
		for _, member := range value {
			removeKey(member, key)
		}
	case []any:
		for _, item := range value {
			removeKey(item, key)
		}
	}
}

// expectPatch compares a patch with JSON, regardless of white space and the order of members.
func expectPatch(t *testing.T, want string, got []operation) {
	t.Helper()
	var wanted []operation
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(t, wanted), lines(t, got)); diff != "" {
		t.Errorf("patch (-want +got):\n%s", diff)
	}
}

// lines encodes a patch, one operation per line.
func lines(t *testing.T, patch []operation) string {
	t.Helper()
	var out strings.Builder
	for _, operation := range patch {
		encoded, err := json.Marshal(operation)
		if err != nil {
			t.Fatal(err)
		}
		var sorted any
		if err := json.Unmarshal(encoded, &sorted); err != nil {
			t.Fatal(err)
		}
		if encoded, err = json.Marshal(sorted); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s\n", encoded)
	}
	return out.String()
}

// advance advances the clock of a synctest bubble.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // not the wall clock
}

const newDigest = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

// imageCase is an Application on the API server, and a pushed image.
type imageCase struct {
	// annotations are "key: value"; keys of Image Updater have no prefix.
	annotations []string
	// updater is the spec of an ImageUpdater object, as YAML; empty if there is none.
	updater string
	// tool renders the Application, or each of its sources.
	tool string
	// runs are the running images.
	runs []string
	// spec is the spec of the Application, in JSON.
	spec   string
	pushed string
}

// document returns the Application in JSON, with fields that our types lack.
func (c imageCase) document(t *testing.T) string {
	t.Helper()
	annotations := map[string]string{"team": "shop"}
	for _, annotation := range c.annotations {
		key, value, _ := strings.Cut(annotation, ": ")
		if !strings.Contains(key, "/") {
			key = iuv1alpha1.AnnotationPrefix + key
		}
		annotations[key] = value
	}
	tools := strings.Fields(c.tool)
	status := map[string]any{
		"sync": map[string]any{"status": "Synced"}, "sourceType": c.tool, "sourceTypes": tools,
		"summary": map[string]any{"images": c.runs, "externalURLs": []string{"https://shop.example.com"}},
	}
	if len(tools) > 1 {
		delete(status, "sourceType")
	}
	return encode(t, map[string]any{
		"metadata": map[string]any{"namespace": "demo", "name": "shop", "labels": map[string]string{"a": "b"},
			"annotations": annotations},
		"spec":   json.RawMessage(c.spec),
		"status": status,
	})
}

func (c imageCase) updaters(t *testing.T) []*imageupdate.Updater {
	t.Helper()
	if c.updater == "" {
		return nil
	}
	updater := &iuv1alpha1.ImageUpdater{}
	updater.Namespace, updater.Name = "demo", "images"
	if err := yaml.UnmarshalStrict([]byte(c.updater), &updater.Spec); err != nil {
		t.Fatal(err)
	}
	return []*imageupdate.Updater{imageupdate.NewUpdater(updater)}
}

func (c imageCase) request(t *testing.T) Request {
	t.Helper()
	return Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, c.pushed), Source: "harbor"}, At: noon}
}

// decide decides on an Application in JSON, as the Writer does after a live read.
func (c imageCase) decide(t *testing.T, document string) decision {
	t.Helper()
	d := c.decideOn(t, parse(t, postern.TargetApplication, document))
	if len(d.Patch) > 0 {
		var err error
		if d.Patch, err = exactTests(d.Patch, []byte(document)); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func (c imageCase) decideOn(t *testing.T, app object) decision {
	t.Helper()
	return decideIn(t, planState{updaters: c.updaters(t)}, app, c.request(t))
}

// after returns the Application once it holds the request.
func (c imageCase) after(t *testing.T, spec string) string {
	t.Helper()
	var object map[string]any
	decode(t, c.document(t), &object)
	object["spec"] = json.RawMessage(spec)
	annotations := object["metadata"].(map[string]any)["annotations"].(map[string]any)
	maps.Copy(annotations, map[string]any{
		"postern.dev/requested-ref":            c.pushed,
		"postern.dev/requested-at":             "2026-03-01T12:00:00Z",
		"postern.dev/requested-by":             "harbor",
		"argocd.argoproj.io/refresh":           "normal",
		"argocd.argoproj.io/refresh-timestamp": "2026-03-01T12:00:00.0000005Z",
	})
	if strings.Contains(spec, "sourceHydrator") {
		maps.Copy(annotations, map[string]any{
			"argocd.argoproj.io/hydrate":           "normal",
			"argocd.argoproj.io/hydrate-timestamp": "2026-03-01T12:00:00.0000005Z",
		})
	}
	return encode(t, object)
}

// image parses a reference. Unlike in an event, its name keeps its spelling.
func image(t testing.TB, ref string) *postern.ImageReference {
	t.Helper()
	parsed, err := imageupdate.ParseImage(ref)
	if err != nil {
		t.Fatal(err)
	}
	return &postern.ImageReference{Repository: parsed.Name, Tag: parsed.Tag, Digest: parsed.Digest}
}

// valueAt returns the value at a JSON pointer; nil if it does not exist.
func valueAt(document any, pointer string) any {
	_, value := lookup(document, pointer)
	return value
}

func encode(t testing.TB, value any) string {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func decode(t testing.TB, document string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(document), into); err != nil {
		t.Fatal(err)
	}
}

// expectObject compares all fields of objects in JSON.
func expectObject(t *testing.T, want, got string) {
	t.Helper()
	var wanted, gotten any
	decode(t, want, &wanted)
	decode(t, got, &gotten)
	if diff := cmp.Diff(wanted, gotten); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
}

// onSpec returns the edits of the spec and the tests of the edited fields.
func onSpec(patch []operation) []operation {
	return slices.DeleteFunc(slices.Clone(patch), func(o operation) bool {
		edited := slices.ContainsFunc(patch, func(edit operation) bool {
			return !edit.isTest() && strings.HasPrefix(edit.Path+"/", o.Path+"/")
		})
		return !strings.HasPrefix(o.Path, "/spec/") || o.probe || !edited
	})
}

// edits drops the operations that only test.
func edits(patch []operation) []operation {
	return slices.DeleteFunc(slices.Clone(patch), operation.isTest)
}

// appOf decodes an Application.
func appOf(t *testing.T, document string) *argov1alpha1.Application {
	t.Helper()
	return parse(t, postern.TargetApplication, document).(*argov1alpha1.Application)
}

func source(url, revision string) argov1alpha1.ApplicationSource {
	return argov1alpha1.ApplicationSource{RepoURL: url, TargetRevision: new(revision)}
}

// startCache runs a cache until the test ends.
func startCache(t *testing.T, api *fakeAPIServer) *Cache {
	t.Helper()
	cache, err := NewCache(api.config())
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if err := cache.Start(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { <-stopped })
	return cache
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 20*time.Second, true,
		func(context.Context) (bool, error) { return condition(), nil }); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// received is a request that a Writer receives now.
func received(w *Writer, ref string) Request {
	return Request{DeliveryEvent: &postern.DeliveryEvent{Ref: ref, Source: "generic"}, At: noon, Received: w.Stamp()}
}

// plantAfter is the GatewaySync demo/plant after it was written for a request.
func plantAfter(t *testing.T, r Request) string {
	t.Helper()
	document, _ := oneByOne(t, postern.TargetGatewaySync, plantAt("v0"), r)
	return document
}

const (
	shop   = "https://git.acme.io/shop.git"
	values = "https://git.acme.io/values.git"
)

// The types of pushes.
func branch(name string) Request {
	return Request{DeliveryEvent: &postern.DeliveryEvent{Ref: name, RefType: postern.RefTypeBranch,
		Repository: "git@git.acme.io:shop"}}
}

func defaultBranch(name string) Request {
	return withEvent(branch(name), func(e *postern.DeliveryEvent) { e.DefaultBranch = true })
}

func tag(name string) Request {
	return Request{DeliveryEvent: &postern.DeliveryEvent{Ref: name, RefType: postern.RefTypeTag,
		Repository: "git@git.acme.io:shop"}}
}

func syncOf(annotations map[string]string, ref string) *stokerv1alpha1.GatewaySync {
	return &stokerv1alpha1.GatewaySync{
		ObjectMeta: metav1.ObjectMeta{Annotations: annotations},
		Spec:       stokerv1alpha1.GatewaySyncSpec{Git: stokerv1alpha1.GitSpec{Repo: shop, Ref: ref}},
	}
}

func applicationOf(annotations map[string]string, sources ...argov1alpha1.ApplicationSource) *argov1alpha1.Application {
	return &argov1alpha1.Application{
		ObjectMeta: metav1.ObjectMeta{Annotations: annotations},
		Spec:       argov1alpha1.ApplicationSpec{Sources: sources, Source: new(source(shop, "unused"))},
	}
}

func ifFollowed(r Request) Request {
	r.IfFollowed, r.At = true, noon
	return withEvent(r, func(e *postern.DeliveryEvent) { e.Source = "github" })
}

// appWith is an Application whose annotations list images.
func appWith(namespace, name, images string) *argov1alpha1.Application {
	app := &argov1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if images != "" {
		app.Annotations = map[string]string{iuv1alpha1.AnnotationPrefix + "image-list": images}
	}
	return app
}

// updaterWith is an ImageUpdater object that selects Applications by a pattern.
func updaterWith(namespace, name, pattern string, images ...string) *iuv1alpha1.ImageUpdater {
	ref := iuv1alpha1.ApplicationRef{NamePattern: pattern}
	for _, image := range images {
		ref.Images = append(ref.Images, iuv1alpha1.ImageConfig{Alias: image, ImageName: image})
	}
	return &iuv1alpha1.ImageUpdater{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       iuv1alpha1.ImageUpdaterSpec{ApplicationRefs: []iuv1alpha1.ApplicationRef{ref}},
	}
}

// startCacheOf runs a cache of some objects until the test ends.
func startCacheOf(t *testing.T, objects ...object) (*fakeAPIServer, *Cache) {
	t.Helper()
	api := newFakeAPIServer(t, plantAt("v1"))
	items := map[string][]string{gatewaySyncs: nil, applications: nil, applicationSets: nil, imageUpdaters: nil}
	for i, obj := range objects {
		path := listOf(t, obj)
		items[path] = append(items[path], versioned(t, obj, i+1))
	}
	for path, list := range items {
		api.serve(path, &answer{text: strings.Join(list, ",")})
	}
	cache := startCache(t, api)
	eventually(t, "filled", func() bool { return cache.Ready() == nil })
	return api, cache
}

// versioned is an object as the API server would send it.
func versioned(t testing.TB, obj object, version int) string {
	t.Helper()
	var object map[string]any
	decode(t, encode(t, obj), &object)
	object["metadata"].(map[string]any)["resourceVersion"] = fmt.Sprint(version)
	list := lists[listOf(t, obj)]
	object["apiVersion"], object["kind"] = list[0], strings.TrimSuffix(list[1], "List")
	return encode(t, object)
}

// matched returns matches as "kind/name", with an exclamation mark for errors.
func matched(t *testing.T, c *Cache, namespace string, r Request) []string {
	t.Helper()
	matches, err := c.Matches(namespace, r)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, match := range matches {
		name := string(match.Key.Kind) + "/" + match.Key.Name
		if match.Key.Namespace != namespace {
			t.Errorf("%s is of %s", name, match.Key.Namespace)
		}
		if match.Err != nil {
			name += "!"
		}
		names = append(names, name)
	}
	return names
}

// noon is when test requests are written.
var noon = time.Date(2026, 3, 1, 13, 0, 0, 500, time.FixedZone("", 3600))

var batchTargets = []batchTarget{
	{
		key: plant, path: "/apis/stoker.io/v1alpha1/namespaces/demo/gatewaysyncs/plant",
		document: `{"apiVersion": "stoker.io/v1alpha1", "kind": "GatewaySync",
			"metadata": {"name": "plant", "namespace": "demo", "annotations": {"postern.dev/follow-tags": "*",
				"team": "a&b"}},
			"spec": {"git": {"repo": "https://git.acme.io/shop", "ref": "main", "auth": {}}, "paused": false}, "status":
				{"a": 1.50}}`,
		random: randomGitRequest,
	},
	{
		key: shopKey, path: "/apis/argoproj.io/v1alpha1/namespaces/demo/applications/shop",
		document: `{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
			"metadata": {"name": "shop", "namespace": "demo", "annotations": {
				"postern.dev/follow-tags": ">=1", "postern.dev/update-target-revision": "true", "team": "a&b",
				"argocd-image-updater.argoproj.io/image-list": "web=nginx, db=postgres",
				"argocd-image-updater.argoproj.io/web.update-strategy": "newest-build"}},
			"spec": {"sources": [
				{"repoURL": "https://git.acme.io/shop", "targetRevision": "main", "kustomize": {"images": ["redis:6"],
					"namePrefix": "x"}},
				{"repoURL": "https://git.acme.io/values", "ref": "values"}]},
			"status": {"sourceTypes": ["Kustomize", "Directory"], "summary": {"images": ["nginx:1.0",
				"postgres:1.0"]}}}`,
		random: func(t *testing.T, r *rand.Rand) Request {
			if r.IntN(2) == 0 {
				return randomGitRequest(t, r)
			}
			name := []string{"nginx", "postgres", "redis"}[r.IntN(3)]
			return timedAtRandom(r, Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, name+":1."+
				string(rune('0'+r.IntN(5))))}})
		},
	},
}

// trimmed is a target as the cache keeps it.
func trimmed(t *testing.T, kind postern.TargetKind, document string) snapshot {
	t.Helper()
	obj := parse(t, kind, document)
	trim(t, obj)
	return snapshot{kind: mustKind(kind), obj: obj}
}

// pushed is a push to the targets that follow it.
func pushed(r Request, happened, received int) Request {
	r = withEvent(ifFollowed(r), func(e *postern.DeliveryEvent) { e.Time = &metav1.MicroTime{Time: minute(happened)} })
	r.Received = minute(received)
	return r
}

// orderedTargets are targets of each kind that hold no request yet, as on the API server.
var orderedTargets = map[string]struct {
	kind     postern.TargetKind
	document string
}{
	"GatewaySync": {postern.TargetGatewaySync, `{"metadata": {"name": "x"}, "spec": {"git": {"repo": ` +
		`"https://git.acme.io/shop", "ref": "main"}}}`},
	"Application": {postern.TargetApplication, `{"metadata": {"name": "x"}, "spec": {"source": {"repoURL": ` +
		`"https://git.acme.io/shop", "targetRevision": "main"}}}`},
	"Application that moves": {postern.TargetApplication,
		`{"metadata": {"name": "x", "annotations": {"postern.dev/update-target-revision": "true"}},
		"spec": {"source": {"repoURL": "https://git.acme.io/shop", "targetRevision": "main"}}}`},
}

// oneByOne applies decisions in order, each on the result of the ones before it, and returns their reasons.
func oneByOne(t *testing.T, kind postern.TargetKind, document string, requests ...Request) (after string,
	reasons []string) {
	t.Helper()
	return oneByOneIn(t, planState{}, kind, document, requests...)
}

// oneByOneIn is oneByOne with a state of each plan.
func oneByOneIn(
	t *testing.T, state planState, kind postern.TargetKind, document string, requests ...Request,
) (after string, reasons []string) {
	t.Helper()
	for _, r := range requests {
		decision := decideIn(t, state, parse(t, kind, document), r)
		document = mustApply(t, document, decision.Patch)
		reasons = append(reasons, decision.Reason)
	}
	return document, reasons
}

// requestedIn returns the requested ref of an object.
func requestedIn(obj object) string {
	switch obj := obj.(type) {
	case *stokerv1alpha1.GatewaySync:
		return obj.Annotations[stokerv1alpha1.AnnotationRequestedRef]
	case *argov1alpha1.Application:
		return obj.Annotations[AnnotationRequestedRef]
	}
	return ""
}

// minute returns the time m minutes after noon, in UTC. Zero is no time.
func minute(m int) time.Time {
	if m == 0 {
		return time.Time{}
	}
	return noon.UTC().Truncate(time.Hour).Add(time.Duration(m) * time.Minute)
}

// event is a request by name for a ref, which never moves, with the times when it happened and was received.
func event(ref, by string, happened, received int) Request {
	return Request{DeliveryEvent: &postern.DeliveryEvent{Ref: ref, Revision: "commit-of-" + ref, Source: by,
		Time: &metav1.MicroTime{Time: minute(happened)}}, At: noon, Received: minute(received)}
}

func again(r Request) Request { r.Retry = true; return r }

func onPurpose(r Request) Request { r.Override = true; return r }

var shopKey = postern.TargetKey{Kind: postern.TargetApplication, Namespace: "demo", Name: "shop"}

var plant = postern.TargetKey{Kind: postern.TargetGatewaySync, Namespace: "demo", Name: "plant"}

// plantAt is the GatewaySync demo/plant with a requested ref.
func plantAt(ref string) string {
	return `{"apiVersion": "stoker.io/v1alpha1", "kind": "GatewaySync",
		"metadata": {"name": "plant", "namespace": "demo", "resourceVersion": "1",
			"annotations": {"team": "a", "stoker.io/requested-ref": "` + ref + `"}},
		"spec": {"git": {"repo": "https://github.com/example/plant", "ref": "v1"}, "paused": true}}`
}

// newTestWriter returns a Writer that records its pauses instead of waiting.
func newTestWriter(t *testing.T, api *fakeAPIServer, cache *Cache) (*Writer, *[]time.Duration) {
	t.Helper()
	writer, err := NewWriter(api.config(), cache)
	if err != nil {
		t.Fatal(err)
	}
	pauses := &[]time.Duration{}
	writer.sleep = func(ctx context.Context, delay time.Duration) error {
		*pauses = append(*pauses, delay)
		return ctx.Err()
	}
	return writer, pauses
}
