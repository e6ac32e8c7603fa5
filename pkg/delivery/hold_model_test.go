// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/target"
)

// A sequence of deliveries, holds, rollbacks by hand, releases, failures, restarts and writes of another replica must
// end with what the order of the deliveries says, and with a true record of each.
func TestHold_Model(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newHoldModel(t, seed)
			for range 30 {
				m.step()
			}
			m.end()
		})
	}
}

// modelTargets are the GatewaySyncs of the model. The first two are named by deliveries, the others follow main.
var modelTargets = []string{"plant", "mill", "north", "south"}

// modelRepository is the repository of the GatewaySyncs that follow main.
const modelRepository = "https://git.acme.io/shop"

// holdModel runs two replicas against one API server and one storage, and the same deliveries against targets that are
// never held.
type holdModel struct {
	*testing.T
	*rand.Rand
	api, reference *modelAPI
	referenceOf    *target.Writer
	records        *memoryRecords
	replicas       []*pipeline

	// timed is whether the events have times. Some with and some without have no order that does not depend on when
	// each is written.
	timed bool
	log   []string
	// kept are the values that must not change until a release, by target.
	kept map[string]string
	// byHand are the values that were last set by hand and that no delivery has replaced, by target.
	byHand map[string]string
	ids    int
}

func newHoldModel(t *testing.T, seed uint64) *holdModel {
	m := &holdModel{
		T: t, Rand: rand.New(rand.NewPCG(seed, 7)), api: newModelAPI(t), reference: newModelAPI(t),
		records: &memoryRecords{}, kept: map[string]string{}, byHand: map[string]string{},
	}
	m.timed = m.IntN(2) == 0
	m.referenceOf = m.writer(m.reference)
	m.replicas = []*pipeline{m.replica(), m.replica()}
	return m
}

func (m *holdModel) writer(api *modelAPI) *target.Writer {
	w, err := target.NewWriter(&rest.Config{Host: api.URL, QPS: -1}, nil)
	if err != nil {
		m.Fatal(err)
	}
	return w
}

// replica starts a replica, which learns from the records.
func (m *holdModel) replica() *pipeline {
	w := m.writer(m.api)
	w.Shared = true
	p := pipelineOn(m.records, func(c *Config) { c.Targets, c.Shared = followingMain{w, m.api}, true })
	for _, record := range m.records.all() {
		p.HandleRecord(record)
	}
	m.Cleanup(p.Drain)
	return p
}

// followingMain finds the targets that follow main without an index.
type followingMain struct {
	*target.Writer
	api *modelAPI
}

// IsHeld is what a cache that is up to date says.
func (f followingMain) IsHeld(key postern.TargetKey) bool {
	_, held := target.HoldOf(f.api.annotationsOf(key.Name))
	return held
}

func (followingMain) Matches(namespace string, _ target.Request) (matches []target.Match, err error) {
	for _, name := range modelTargets[2:] {
		matches = append(matches, target.Match{Key: modelKey(name)})
	}
	return matches, nil
}

func modelKey(name string) postern.TargetKey {
	return postern.TargetKey{Kind: postern.TargetGatewaySync, Namespace: "demo", Name: name}
}

func (m *holdModel) note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *holdModel) fail(format string, args ...any) {
	m.Helper()
	m.Fatalf("%s\nafter:\n  %s", fmt.Sprintf(format, args...), strings.Join(m.log, "\n  "))
}

func pickOf[T any](m *holdModel, of ...T) T { return of[m.IntN(len(of))] }

// step does something, and checks what holds after each step.
func (m *holdModel) step() {
	name := pickOf(m, modelTargets...)
	switch m.IntN(14) {
	case 0, 1, 2, 3:
		m.deliver(false)
	case 4:
		m.deliver(true)
	case 5, 6:
		m.hold(name)
	case 7:
		m.release(name)
	case 8:
		m.setByHand(pickOf(m, modelTargets[:2]...))
	case 9:
		m.redeliver()
	case 10:
		m.settle(name)
	case 11:
		m.resume()
	case 12:
		i := m.IntN(2)
		m.replicas[i].Drain()
		m.replicas[i] = m.replica()
		m.note("restart %d", i)
	case 13:
		m.approve()
	}
	for target, want := range m.kept {
		if got := m.api.valueOf(target); got != want {
			m.fail("%s has %s instead of %s although it is held", target, got, want)
		}
	}
	m.checkRecords()
}

// deliver delivers a new ref to a target, or a push of main to those that follow it.
func (m *holdModel) deliver(push bool) {
	m.ids++
	p := m.replicas[m.IntN(2)]
	event := postern.DeliveryEvent{Source: pickOf(m, "github", "generic"), Ref: pickOf(m, "v%d.0.0", "release-%d")}
	event.Ref = fmt.Sprintf(event.Ref, m.IntN(6)) // also again what was requested before
	if m.timed {
		// No two events are at the same time: which of those wins can depend on a third, also without holds.
		unique := time.Duration(m.ids) * time.Microsecond
		at := metav1.NewMicroTime(now.Add(time.Duration(m.IntN(40)-80)*time.Second + unique))
		event.Source, event.Time = "github", &at
	}
	d := &postern.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: fmt.Sprintf("d%02d", m.ids)},
		Spec:       postern.WebhookDeliverySpec{Source: event.Source},
	}
	if push {
		event.Ref, event.RefType, event.Repository = "main", postern.RefTypeBranch, modelRepository
		event.Revision = fmt.Sprintf("%040d", m.ids)
	} else {
		d.Spec.Target = &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: pickOf(m, modelTargets[:2]...)}
	}
	if m.IntN(10) == 0 {
		d.Annotations = map[string]string{postern.AnnotationHold: "awaits approval"}
	}
	d.Spec.Events = []postern.DeliveryEvent{event}
	m.api.failures = m.IntN(40) / 36
	p.setReceipt(m.Context(), d, nil)
	p.setSender(d, ci, credential.Proof{Method: credential.MethodServiceAccount})
	record, err := p.execute(m.Context(), &Request{Delivery: d})
	m.api.failures = 0
	if err != nil {
		m.fail("could not deliver %+v: %v", d, err)
	}
	p.Drain()
	m.note("deliver %s %s %v own %t: %s %s", record.Name, describeModel(d), event.Time, d.Annotations != nil,
		record.Status.Phase, record.Status.Reason)
}

func describeModel(d *postern.WebhookDelivery) string {
	name := "main's"
	if d.Spec.Target != nil {
		name = d.Spec.Target.Name
	}
	return fmt.Sprintf("%s to %s by %s", d.Spec.Events[0].Ref, name, d.Spec.Source)
}

func (m *holdModel) redeliver() {
	all := m.records.all()
	isWaiting := func(d *postern.WebhookDelivery) bool {
		return d.Status.Phase == postern.DeliveryHeld || d.Status.Phase == postern.DeliveryPending
	}
	// The time of a waiting event that a redelivery replaces is recorded nowhere, so that events before it may follow.
	if len(all) == 0 || m.timed && slices.ContainsFunc(all, isWaiting) {
		return
	}
	original := pickOf(m, all...)
	record, err := m.replicas[m.IntN(2)].Redeliver(m.Context(), original, ci, false)
	if err != nil {
		m.fail("could not redeliver: %v", err)
	}
	m.note("redeliver %s as %s, %s: %s", original.Name, record.Name, describeModel(record), record.Status.Phase)
}

func (m *holdModel) hold(name string) {
	m.note("hold %s", name)
	m.api.annotate(name, postern.AnnotationHold, "a freeze")
	m.kept[name] = m.api.valueOf(name)
}

func (m *holdModel) release(name string) {
	m.note("release %s", name)
	m.api.annotate(name, postern.AnnotationHold, "")
	delete(m.kept, name)
	m.settle(name)
}

// setByHand sets an older ref than Postern wrote, which stays until a release.
func (m *holdModel) setByHand(name string) {
	if _, frozen := m.kept[name]; frozen || !strings.HasPrefix(m.api.valueOf(name), "v") ||
		m.api.wrote(name) != m.api.valueOf(name) {
		return
	}
	m.note("roll back %s", name)
	m.api.annotate(name, "stoker.io/requested-ref", "v0.0.0-by-hand")
	m.kept[name], m.byHand[name] = m.api.valueOf(name), m.api.valueOf(name)
}

// approve releases a delivery that is held itself.
func (m *holdModel) approve() {
	for _, d := range m.records.all() {
		if d.Annotations != nil {
			m.note("approve %s", d.Name)
			d.Annotations = nil
			if _, err := m.records.UpdateStatus(m.Context(), d); err != nil {
				m.fail("%v", err)
			}
			for _, name := range modelTargets {
				m.settle(name)
			}
			return
		}
	}
}

// settle does what the HoldController does for a target.
func (m *holdModel) settle(name string) {
	held := slices.DeleteFunc(m.records.all(), func(d *postern.WebhookDelivery) bool {
		return d.Status.Phase != postern.DeliveryHeld
	})
	m.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
	stored := map[*postern.WebhookDelivery][]postern.TargetKey{}
	for _, d := range held {
		stored[d], _ = HeldTargets(d)
	}
	heldAt := func(key postern.TargetKey) []*postern.WebhookDelivery {
		return slices.DeleteFunc(slices.Clone(held), func(d *postern.WebhookDelivery) bool {
			return !slices.Contains(stored[d], key)
		})
	}
	m.api.failures = m.IntN(20) / 19
	err := m.replicas[0].Settle(m.Context(), modelKey(name), heldAt)
	m.api.failures = 0
	m.note("settle %d at %s: %v", len(heldAt(modelKey(name))), name, err)
}

// resume does what the RetryController does.
func (m *holdModel) resume() {
	all := m.records.all()
	m.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, d := range all {
		if d.Status.Phase == postern.DeliveryPending {
			err := m.replicas[m.IntN(2)].Resume(m.Context(), d, false)
			m.note("resume %s: %s, %v", d.Name, d.Status.Phase, err)
		}
	}
}

// checkRecords checks what is true of each record at any time.
func (m *holdModel) checkRecords() {
	for _, d := range m.records.all() {
		held := slices.ContainsFunc(d.Status.Targets, isOnHold)
		if (d.Status.Phase == postern.DeliveryHeld) != held && d.Status.Phase != postern.DeliveryPending {
			m.fail("%s is %s with the results %+v", d.Name, d.Status.Phase, d.Status.Targets)
		}
		for _, r := range d.Status.Targets {
			if wasHeld(r) {
				m.fail("%s is pending and says that it is held: %+v", d.Name, r)
			}
		}
	}
}

// end releases all, and checks the outcome.
func (m *holdModel) end() {
	for _, d := range m.records.all() {
		if d.Annotations != nil {
			m.approve()
		}
	}
	for range 4 { // failures at random
		for _, name := range modelTargets {
			m.release(name)
		}
		m.resume()
	}
	records := m.records.all()
	slices.SortFunc(records, compareReceipts)
	for _, d := range records {
		m.deliverToReference(d)
	}
	for _, name := range modelTargets {
		got, want := m.api.valueOf(name), m.reference.valueOf(name)
		if got != want && (m.byHand[name] == "" || got != m.byHand[name]) {
			m.fail("%s has %s, and without holds %s", name, got, want)
		}
	}
	for _, d := range records {
		switch d.Status.Phase {
		case postern.DeliveryApplied, postern.DeliverySuperseded:
		case postern.DeliveryHeld, postern.DeliveryPending, postern.DeliveryFailed, postern.DeliveryIgnored:
			m.fail("%s ends as %+v", d.Name, d.Status)
		}
	}
}

// deliverToReference writes what a record requests to the targets that are never held.
func (m *holdModel) deliverToReference(d *postern.WebhookDelivery) {
	names := modelTargets[2:]
	if d.Spec.Target != nil {
		names = []string{d.Spec.Target.Name}
	}
	for _, name := range names {
		request := target.Request{
			DeliveryEvent: &d.Spec.Events[0], At: now, Received: d.Status.ReceivedTime.Time,
			Override: d.Spec.RedeliveryOf != "", IfFollowed: d.Spec.Target == nil,
		}
		results := m.referenceOf.Write(m.Context(), modelKey(name), []target.Request{request}, false)
		if err := results[0].Err; err != nil {
			m.fail("%v", err)
		}
	}
}

// modelAPI is a kube-apiserver for the GatewaySyncs of the model.
type modelAPI struct {
	mu sync.Mutex // of objects: the targets of one delivery are written at the same time
	*httptest.Server
	objects map[string]string
	// failures makes all requests fail, of which patches are applied all the same, until it is zero again.
	failures int
}

func newModelAPI(t *testing.T) *modelAPI {
	api := &modelAPI{objects: map[string]string{}}
	for _, name := range modelTargets {
		api.objects[name] = fmt.Sprintf(`{"apiVersion": "stoker.io/v1alpha1", "kind": "GatewaySync", "metadata": {
			"namespace": "demo", "name": %q, "annotations": {"team": "a"}},
			"spec": {"git": {"repo": %q, "ref": "main"}}}`,
			name, modelRepository)
	}
	api.Server = httptest.NewServer(api)
	t.Cleanup(api.Close)
	return api
}

// ServeHTTP serves one request at a time.
func (a *modelAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Method == http.MethodPatch {
		patch, err := jsonpatch.DecodePatch(body)
		if err != nil {
			panic(err)
		}
		after, err := patch.Apply([]byte(a.objects[name]))
		if err != nil {
			refuse(w, http.StatusUnprocessableEntity, &metav1.StatusDetails{})
			return
		}
		a.objects[name] = string(after)
	}
	if a.failures > 0 {
		refuse(w, http.StatusInternalServerError, &metav1.StatusDetails{RetryAfterSeconds: 60}) // not in this step
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, a.objects[name])
}

func refuse(w http.ResponseWriter, code int, details *metav1.StatusDetails) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(code),
		Message: "the server rejected our request", Details: details,
	})
}

// annotate sets or removes an annotation, as kubectl does.
func (a *modelAPI) annotate(name, key, value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var object map[string]any
	if err := json.Unmarshal([]byte(a.objects[name]), &object); err != nil {
		panic(err)
	}
	annotations := object["metadata"].(map[string]any)["annotations"].(map[string]any)
	annotations[key] = value
	if value == "" {
		delete(annotations, key)
	}
	encoded, _ := json.Marshal(object)
	a.objects[name] = string(encoded)
}

func (a *modelAPI) annotationsOf(name string) map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var object struct{ Metadata metav1.ObjectMeta }
	if err := json.Unmarshal([]byte(a.objects[name]), &object); err != nil {
		panic(err)
	}
	return object.Metadata.Annotations
}

// valueOf returns what is requested of a target: a ref and a commit.
func (a *modelAPI) valueOf(name string) string {
	annotations := a.annotationsOf(name)
	return annotations["stoker.io/requested-ref"] + annotations["postern.dev/requested-revision"]
}

// wrote returns what Postern wrote last, as the target records it.
func (a *modelAPI) wrote(name string) string {
	var recorded map[string]struct{ Wrote struct{ Ref string } }
	_ = json.Unmarshal([]byte(a.annotationsOf(name)["postern.dev/event-time"]), &recorded)
	return recorded["git"].Wrote.Ref
}
