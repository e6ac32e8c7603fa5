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

// numbered returns the headers of a GitHub release with that ID.
func numbered(id string) map[string]string {
	return map[string]string{"X-GitHub-Event": "release", "X-GitHub-Delivery": id}
}

// checkRepeat fails the test unless an answer is the answer to a repeat of the delivery with this record.
func checkRepeat(t *testing.T, repeat, record *v1alpha1.WebhookDelivery) {
	t.Helper()
	checkOutcome(t, repeat, record.Status.Phase, "AlreadyDelivered")
	if repeat.Name != record.Name || repeat.UID != record.UID {
		t.Errorf("got delivery %s (%s), want the first, %s (%s)", repeat.Name, repeat.UID, record.Name, record.UID)
	}
}

func TestDedup_AnsweredWithFirstRecord(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	body := releaseOf(plantRepository, "v2", later)
	first := w.concluded(ci.mustPost(t, gatewaySyncPath("web"), body, numbered("a"),
		http.StatusAccepted).delivery(t).Name)
	before := w.Get(gatewaySyncs, "web")

	_, other := w.releaser("web")
	repeat := other.mustPost(t, gatewaySyncPath("web"), body, numbered("a"), http.StatusAccepted).delivery(t)

	checkRepeat(t, repeat, first)
	w.mustBeUntouched(gatewaySyncs, before)
	var record *v1alpha1.WebhookDelivery
	w.eventually(func() error { // repeats are counted after the answer
		if record = w.concluded(first.Name); record.Status.Repeats == nil {
			return errors.New("the repeat is not counted yet")
		}
		return nil
	})
	if r := record.Status.Repeats; r.Count != 1 || r.LastSender.Name == first.Status.Sender.Name ||
		r.LastAuditID == "" {
		t.Errorf("the record has the repeats %+v, want one by another sender", r)
	}
	record.Status.Repeats = nil
	if diff := cmp.Diff(first.Status, record.Status); diff != "" {
		t.Errorf("the record was changed (-before +after):\n%s", diff)
	}
	w.mustHaveRecords(first.Name)
	if first.Status.Reason != "Requested" {
		t.Errorf("the record has the reason %s, want its own", first.Status.Reason)
	}
}

func TestDedup_ParallelMakeOneRecord(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	body := releaseOf(plantRepository, "v2", later)
	const many = 20
	answers := make([]answer, many)
	var group errgroup.Group
	for i := range answers {
		group.Go(func() (err error) {
			answers[i], err = ci.post(t.Context(), gatewaySyncPath("web"), []byte(body), numbered("a"))
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
			t.Errorf("an answer has delivery %s, want %s", d.Name, records[0].Name)
		}
		if d.Status.Reason == "AlreadyDelivered" {
			repeats++
		}
	}
	if repeats != many-1 {
		t.Errorf("%d answers have the reason of a repeat, want %d", repeats, many-1)
	}
	if phase := w.concluded(records[0].Name).Status.Phase; phase != v1alpha1.DeliveryApplied {
		t.Errorf("got phase %s, want Applied", phase)
	}
	w.eventually(func() error {
		if writes := w.writesTo("web"); writes == 0 {
			return errors.New("the audit log does not have the write yet")
		}
		return nil
	})
	if writes := w.writesTo("web"); writes != 1 {
		t.Errorf("the target was written %d times, want once", writes)
	}
	w.targetEvents("web", 1)
}

func TestDedup_OtherBodyTargetOrIDIsNone(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.gatewaySync("other")
	w.application("web", nil)
	ci := w.ci()
	body := releaseOf(plantRepository, "v2", later)
	names := map[string]bool{}
	for i, post := range []struct {
		path, body, id string
	}{
		{gatewaySyncPath("web"), body, "a"},
		{gatewaySyncPath("web"), body, "b"},
		{gatewaySyncPath("web"), body + " ", "a"},
		{gatewaySyncPath("other"), body, "a"},
		{applicationPath("web"), body, "a"},
	} {
		d := ci.mustPost(t, post.path, post.body, numbered(post.id), http.StatusAccepted).delivery(t)
		if d.Status.Reason == "AlreadyDelivered" || names[d.Name] {
			t.Errorf("delivery %d is treated as a repeat of %s", i, d.Name)
		}
		names[d.Name] = true
	}
	if got := len(w.records()); got != 5 {
		t.Errorf("got %d records, want 5", got)
	}
}

func TestDedup_SenderWithoutIDs(t *testing.T) {
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
			d := ci.mustPost(t, gatewaySyncPath(source), fmt.Sprintf(body, ref), nil, http.StatusAccepted).delivery(t)
			checkOutcome(t, d, v1alpha1.DeliveryApplied, "Requested")
			w.checkRequested(source, ref, source)
		}
		if got := len(w.records()) - before; got != 3 {
			t.Errorf("%s: got %d records, want 3", source, got)
		}
	}
}

func TestDedup_Ping(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	header := map[string]string{"X-GitHub-Event": "ping", "X-GitHub-Delivery": "a"}
	first := ci.mustPost(t, gatewaySyncPath("web"), ping, header, http.StatusAccepted).delivery(t)
	checkOutcome(t, first, v1alpha1.DeliveryIgnored, "Ping")
	checkRepeat(t, ci.mustPost(t, gatewaySyncPath("web"), ping, header, http.StatusAccepted).delivery(t), first)
	w.mustHaveRecords(first.Name)
}

func TestDedup_DoesNotUndoLaterDelivery(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.application("web", map[string]string{"postern.dev/update-target-revision": "true"})
	ci := w.ci()
	bodies := map[string]string{ // with event times that are equal, and without
		"gitea": `{"action": "published", "release": {"tag_name": "%s", "published_at": "2026-01-01T00:00:00Z"}, ` +
			`"repository": {"clone_url": "https://github.com/example/shop.git"}}`,
		"gitlab": `{"object_kind": "tag_push", "event_name": "tag_push", "ref": "refs/tags/%s", "after": "` +
			firstCommit + `",
			"checkout_sha": "` + firstCommit + `", "project": {"git_http_url": "https://github.com/example/shop.git"}}`,
	}
	headers := func(source, id string) map[string]string {
		if source == "gitea" {
			return map[string]string{"X-Gitea-Event": "release", "X-Gitea-Delivery": id}
		}
		return map[string]string{"X-Gitlab-Event": "Tag Push Hook", "X-Gitlab-Event-UUID": id, "Idempotency-Key": id}
	}
	for source, body := range bodies {
		for _, path := range []string{gatewaySyncPath("web"), applicationPath("web")} {
			send := func(tag, id string) *v1alpha1.WebhookDelivery {
				return ci.mustPost(t, path, fmt.Sprintf(body, tag), headers(source, source+id),
					http.StatusAccepted).delivery(t)
			}
			first := w.concluded(send("v1", "1").Name)
			checkOutcome(t, send("v2", "2"), v1alpha1.DeliveryApplied, "Requested")
			checkRepeat(t, send("v1", "1"), first)
		}
		w.mustHold(gatewaySyncs, "web", requestedRef, "v2")
		w.mustHold(applications, "web", appRequestedRef, "v2")
		if got := in[string](w.Get(applications, "web").Object, "spec", "source", "targetRevision"); got != "v2" {
			t.Errorf("%s: targetRevision is %s, want v2", source, got)
		}
	}
}

func TestDedup_DoesNotUndoManualChange(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	body := releaseOf(plantRepository, "v2", later)
	first := w.concluded(ci.mustPost(t, gatewaySyncPath("web"), body, numbered("a"),
		http.StatusAccepted).delivery(t).Name)
	_, err := w.Objects.Resource(gatewaySyncs).Namespace(w.Namespace).Patch(t.Context(), "web", types.MergePatchType,
		[]byte(`{"metadata": {"annotations": {"`+requestedRef+`": "by-hand"}}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	checkRepeat(t, ci.mustPost(t, gatewaySyncPath("web"), body, numbered("a"), http.StatusAccepted).delivery(t), first)
	w.mustHold(gatewaySyncs, "web", requestedRef, "by-hand")
}

func TestDedup_IgnoredIsAppliedOnceMatched(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	subject, token := w.serviceAccount("pusher")
	w.allow(subject, "webhooksources")
	pusher := w.sender(token)
	path := sourcePath("github")
	push := `{"ref": "refs/heads/main", "after": "` + firstCommit + `", "head_commit": {"id": "` + firstCommit + `"},
		"repository": {"clone_url": "https://github.com/example/shop.git"}}`
	header := map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": "a"}
	var first *v1alpha1.WebhookDelivery
	w.eventually(func() error { // roles take effect with a delay
		got, err := pusher.post(t.Context(), path, []byte(push), header)
		if err == nil {
			err = answeredWith(http.StatusAccepted)(got)
		}
		if err == nil {
			first = got.delivery(t)
		}
		return err
	})
	checkOutcome(t, first, v1alpha1.DeliveryIgnored, "NoTarget")
	w.application("shop", nil)
	w.eventually(func() error { // once Postern's watch has delivered it
		repeat := pusher.mustPost(t, path, push, header, http.StatusAccepted).delivery(t)
		if repeat.Status.Phase != v1alpha1.DeliveryApplied {
			return fmt.Errorf("the repeat is answered as %s", repeat.Status.Phase)
		}
		return nil
	})
	w.mustHold(applications, "shop", appRequestedRef, "main")
	w.mustHaveRecords(first.Name)
}

func TestDedup_ObjectOfSameNameIsNone(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	body := releaseOf(plantRepository, "v2", later)
	expected := ci.mustPost(t, gatewaySyncPath("web")+dryRun, body, numbered("a"), http.StatusAccepted).delivery(t).Name
	w.deliver(delivery(expected, toWeb+", ref: v1"))
	object := w.concluded(expected)

	got := ci.mustPost(t, gatewaySyncPath("web"), body, numbered("a"), http.StatusAccepted).delivery(t)

	checkOutcome(t, got, v1alpha1.DeliveryApplied, "Requested")
	w.mustHold(gatewaySyncs, "web", requestedRef, "v2")
	if got.Name == expected {
		t.Errorf("the delivery has the name of the object, %s", expected)
	}
	checkRepeat(t, ci.mustPost(t, gatewaySyncPath("web"), body, numbered("a"), http.StatusAccepted).delivery(t),
		w.concluded(got.Name))
	if diff := cmp.Diff(object, w.concluded(expected)); diff != "" {
		t.Errorf("the object was changed (-before +after):\n%s", diff)
	}
}

func TestDedup_DryRun(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	body := releaseOf(plantRepository, "v2", later)
	tried := ci.mustPost(t, gatewaySyncPath("web")+dryRun, body, numbered("a"), http.StatusAccepted).delivery(t)
	w.mustHaveRecords()
	first := w.concluded(ci.mustPost(t, gatewaySyncPath("web"), body, numbered("a"),
		http.StatusAccepted).delivery(t).Name)
	if tried.Name != first.Name || tried.Status.Reason != "Requested" {
		t.Errorf("a dry run before: got %s, %s; want %s, Requested", tried.Name, tried.Status.Reason, first.Name)
	}
	w.deliver(delivery("moved-on", toWeb+", ref: v3"))
	before, record := w.Get(gatewaySyncs, "web"), w.Get(webhookDeliveries, first.Name)

	checkRepeat(t, ci.mustPost(t, gatewaySyncPath("web")+dryRun, body, numbered("a"), http.StatusAccepted).delivery(t),
		first)

	w.mustBeUntouched(gatewaySyncs, before)
	w.mustBeUntouched(webhookDeliveries, record)
}

func TestDedup_DeletedRecordIsDeliveredAgain(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	body := releaseOf(plantRepository, "v2", later)
	first := w.concluded(ci.mustPost(t, gatewaySyncPath("web"), body, numbered("a"),
		http.StatusAccepted).delivery(t).Name)
	w.kubectl("", "delete", "whd", first.Name)

	again := ci.mustPost(t, gatewaySyncPath("web"), body, numbered("a"), http.StatusAccepted).delivery(t)

	checkOutcome(t, again, v1alpha1.DeliveryApplied, "AlreadyRequested")
	if again.UID == first.UID {
		t.Error("got the record that was deleted")
	}
}
