// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// numbered are the headers of a release that GitHub gave that id.
func numbered(id string) map[string]string {
	return map[string]string{"X-GitHub-Event": "release", "X-GitHub-Delivery": id}
}

// checkRepeat fails the test unless an answer is that to a repeat of the delivery with this record.
func checkRepeat(t *testing.T, repeat, record *v1alpha1.WebhookDelivery) {
	t.Helper()
	checkOutcome(t, repeat, record.Status.Phase, "AlreadyDelivered")
	if repeat.Name != record.Name || repeat.UID != record.UID {
		t.Errorf("got delivery %s (%s), want the first, %s (%s)", repeat.Name, repeat.UID, record.Name, record.UID)
	}
}

func TestRepeatIsAnsweredWithTheFirstRecordAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	body := releaseOf(plantRepository, "v2", later)
	first := w.concluded(ci.mustPost(t, syncDoor("web"), body, numbered("a"), http.StatusAccepted).delivery(t).Name)
	before, record := w.get(gatewaySyncs, "web"), w.get(webhookDeliveries, first.Name)

	repeat := ci.mustPost(t, syncDoor("web"), body, numbered("a"), http.StatusAccepted).delivery(t)

	checkRepeat(t, repeat, first)
	w.mustBeUntouched(gatewaySyncs, before)
	w.mustBeUntouched(webhookDeliveries, record)
	w.mustHaveRecords(first.Name)
	if first.Status.Reason != "Requested" {
		t.Errorf("the record has the reason %s, want its own", first.Status.Reason)
	}
}

func TestManyRepeatsAtOnceMakeOneRecordAndOneChange(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	body := releaseOf(plantRepository, "v2", later)
	const many = 20
	answers := make([]answer, many)
	var group errgroup.Group
	for i := range answers {
		group.Go(func() (err error) {
			answers[i], err = ci.post(t.Context(), syncDoor("web"), []byte(body), numbered("a"))
			return errors.Join(err, answeredWith(http.StatusAccepted)(answers[i]))
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}

	records := w.records()
	if len(records) != 1 {
		t.Fatalf("got %d records, want 1", len(records))
	}
	repeats := 0
	for _, a := range answers {
		d := a.delivery(t)
		if d.Name != records[0].Name {
			t.Errorf("an answer tells of delivery %s, want %s", d.Name, records[0].Name)
		}
		if d.Status.Reason == "AlreadyDelivered" {
			repeats++
		}
	}
	if repeats != many-1 {
		t.Errorf("%d answers say that they are to a repeat, want %d", repeats, many-1)
	}
	if phase := w.concluded(records[0].Name).Status.Phase; phase != v1alpha1.DeliveryApplied {
		t.Errorf("got phase %s, want Applied", phase)
	}
	w.eventually(func() error {
		if writes := w.writesTo("web"); writes == 0 {
			return errors.New("the audit log does not tell of the write yet")
		}
		return nil
	})
	if writes := w.writesTo("web"); writes != 1 {
		t.Errorf("the target was written %d times, want once", writes)
	}
	w.targetEvents("web", 1)
}

func TestAnotherBodyOrTargetOrIDIsNoRepeat(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.gatewaySync("other")
	w.application("web", nil)
	ci := w.ci()
	body := releaseOf(plantRepository, "v2", later)
	names := map[string]bool{}
	for i, post := range []struct {
		door, body, id string
	}{
		{syncDoor("web"), body, "a"},
		{syncDoor("web"), body, "b"},
		{syncDoor("web"), body + " ", "a"},
		{syncDoor("other"), body, "a"},
		{appDoor("web"), body, "a"},
	} {
		d := ci.mustPost(t, post.door, post.body, numbered(post.id), http.StatusAccepted).delivery(t)
		if d.Status.Reason == "AlreadyDelivered" || names[d.Name] {
			t.Errorf("delivery %d is taken for a repeat of %s", i, d.Name)
		}
		names[d.Name] = true
	}
	if got := len(w.records()); got != 5 {
		t.Errorf("got %d records, want 5", got)
	}
}

func TestSenderWithoutIDsMayAskForTheSameAgain(t *testing.T) {
	w := newWorld(t)
	ci := w.ci()
	for source, body := range map[string]string{
		"generic": `{"ref": "%s"}`,
		"kargo":   `{"freight": {"commits": [{"repoURL": "https://github.com/example/plant.git", "tag": "%s"}]}}`,
		"argocd":  `{"app": {"metadata": {"annotations": {"git.ref": "%s"}}}}`,
	} {
		w.gatewaySync(source)
		before := len(w.records())
		for _, ref := range []string{"v1", "v2", "v1"} {
			d := ci.mustPost(t, syncDoor(source), fmt.Sprintf(body, ref), nil, http.StatusAccepted).delivery(t)
			checkOutcome(t, d, v1alpha1.DeliveryApplied, "Requested")
			w.checkRequested(source, ref, source)
		}
		if got := len(w.records()) - before; got != 3 {
			t.Errorf("%s: got %d records, want 3", source, got)
		}
	}
}

func TestRepeatOfAPingIsAnsweredWithTheFirstRecord(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	header := map[string]string{"X-GitHub-Event": "ping", "X-GitHub-Delivery": "a"}
	first := ci.mustPost(t, syncDoor("web"), ping, header, http.StatusAccepted).delivery(t)
	checkOutcome(t, first, v1alpha1.DeliveryIgnored, "Ping")
	checkRepeat(t, ci.mustPost(t, syncDoor("web"), ping, header, http.StatusAccepted).delivery(t), first)
	w.mustHaveRecords(first.Name)
}

func TestRepeatBringsTheRefBackToATargetThatLostIt(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	body := releaseOf(plantRepository, "v2", later)
	first := w.concluded(ci.mustPost(t, syncDoor("web"), body, numbered("a"), http.StatusAccepted).delivery(t).Name)
	_, err := w.objects.Resource(gatewaySyncs).Namespace(w.namespace).Patch(t.Context(), "web", types.MergePatchType,
		[]byte(`{"metadata": {"annotations": {"`+requestedRef+`": "by-hand"}}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}

	var repeat *v1alpha1.WebhookDelivery
	w.eventually(func() error { // Postern may not have noticed the change yet
		repeat = ci.mustPost(t, syncDoor("web"), body, numbered("a"), http.StatusAccepted).delivery(t)
		checkRepeat(t, repeat, first)
		if got := w.annotations(gatewaySyncs, "web")[requestedRef]; got != "v2" {
			return fmt.Errorf("the target holds %q", got)
		}
		return nil
	})

	w.mustHaveRecords(first.Name)
	want := []v1alpha1.TargetResult{{
		Kind: v1alpha1.TargetGatewaySync, Name: "web", Ref: "v2", PreviousRef: "by-hand", Result: v1alpha1.TargetWritten,
		Reason: "Requested", Message: `stoker.io/requested-ref "by-hand" → "v2"`,
	}}
	if diff := cmp.Diff(want, w.concluded(first.Name).Status.Targets, ignoreTimes); diff != "" {
		t.Errorf("status.targets of the record (-want +got):\n%s", diff)
	}
}

func TestDryRunOfARepeatSaysThatItIsOneAndLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	body := releaseOf(plantRepository, "v2", later)
	tried := ci.mustPost(t, syncDoor("web")+dryRun, body, numbered("a"), http.StatusAccepted).delivery(t)
	w.mustHaveRecords()
	first := w.concluded(ci.mustPost(t, syncDoor("web"), body, numbered("a"), http.StatusAccepted).delivery(t).Name)
	if tried.Name != first.Name || tried.Status.Reason != "Requested" {
		t.Errorf("a dry run before: got %s, %s; want %s, Requested", tried.Name, tried.Status.Reason, first.Name)
	}
	w.deliver(delivery("moved-on", toWeb+", ref: v3"))
	before, record := w.get(gatewaySyncs, "web"), w.get(webhookDeliveries, first.Name)

	checkRepeat(t, ci.mustPost(t, syncDoor("web")+dryRun, body, numbered("a"), http.StatusAccepted).delivery(t), first)

	w.mustBeUntouched(gatewaySyncs, before)
	w.mustBeUntouched(webhookDeliveries, record)
}

func TestDeliveryWhoseRecordWasDeletedIsDeliveredAnew(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	body := releaseOf(plantRepository, "v2", later)
	first := w.concluded(ci.mustPost(t, syncDoor("web"), body, numbered("a"), http.StatusAccepted).delivery(t).Name)
	w.kubectl("", "delete", "whd", first.Name)

	again := ci.mustPost(t, syncDoor("web"), body, numbered("a"), http.StatusAccepted).delivery(t)

	checkOutcome(t, again, v1alpha1.DeliveryApplied, "AlreadyRequested")
	if again.UID == first.UID {
		t.Error("got the record that was deleted")
	}
}
