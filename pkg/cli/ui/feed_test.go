// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/generated/clientset/versioned/fake"
)

// newDelivery returns a delivery whose number is its age.
func newDelivery(number int) *v1alpha1.WebhookDelivery {
	received := metav1.NewMicroTime(time.Unix(1_700_000_000+int64(number), 0))
	return &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("github-%05d", number), Namespace: "demo",
			UID:               types.UID(fmt.Sprintf("uid-%05d", number)),
			CreationTimestamp: metav1.NewTime(received.Time),
		},
		Spec: v1alpha1.WebhookDeliverySpec{
			Source: "github", Target: &v1alpha1.TargetReference{Kind: v1alpha1.TargetApplication, Name: "shop"},
			Events: []v1alpha1.DeliveryEvent{{Source: "github", Event: "push", Ref: fmt.Sprintf("v1.0.%d", number)}},
		},
		Status: v1alpha1.WebhookDeliveryStatus{
			Phase: v1alpha1.DeliveryApplied, ReceivedTime: &received,
			Sender: &v1alpha1.Sender{Name: "system:anonymous", Method: "HMAC"},
		},
	}
}

func deliveriesUpTo(n int) (objects []kruntime.Object) {
	for i := range n {
		objects = append(objects, newDelivery(i))
	}
	return objects
}

// runFeed runs a feed of the namespace demo for the duration of a test.
func runFeed(t *testing.T, client *fake.Clientset, limit int) *feed {
	t.Helper()
	f := newFeed(client.PosternV1alpha1().WebhookDeliveries("demo"), limit)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	waitCtx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f.wait(waitCtx)
	return f
}

// eventually waits until a condition of the feed holds.
func (f *feed) eventually(t *testing.T, what string, holds func(snapshot) bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		changed := f.changes()
		if holds(f.snapshot()) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("timed out: %s; got %+v", what, f.snapshot())
		}
	}
}

func TestFeed_FollowsDeliveries(t *testing.T) {
	client := fake.NewSimpleClientset(deliveriesUpTo(30)...)
	f := runFeed(t, client, 20)
	s := f.snapshot()
	if len(s.Records) != 20 || s.Older != 10 || !s.Complete {
		t.Fatalf("got %d records and %d older, complete %v", len(s.Records), s.Older, s.Complete)
	}
	if s.Records[0].Name != "github-00029" || s.Records[19].Name != "github-00010" {
		t.Errorf("got %s to %s, want the newest first", s.Records[0].Name, s.Records[19].Name)
	}
	deliveries := client.PosternV1alpha1().WebhookDeliveries("demo")
	if _, err := deliveries.Create(t.Context(), newDelivery(40), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually(t, "a new delivery is first", func(s snapshot) bool { return s.Records[0].Name == "github-00040" })
	changed := newDelivery(40)
	changed.Status.Phase = v1alpha1.DeliveryFailed
	if _, err := deliveries.Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually(t, "it fails", func(s snapshot) bool { return s.Records[0].Phase == v1alpha1.DeliveryFailed })
	if err := deliveries.Delete(t.Context(), "github-00040", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually(t, "it is deleted", func(s snapshot) bool { return s.Records[0].Name == "github-00029" })
}

func TestFeed_SaysWhatIsForbidden(t *testing.T) {
	forbidden := apierrors.NewForbidden(v1alpha1.Resource("webhookdeliveries"), "", errors.New("no role"))
	for _, verb := range []string{"list", "watch"} {
		t.Run(verb, func(t *testing.T) {
			client := fake.NewSimpleClientset(deliveriesUpTo(3)...)
			refuse := func(clienttesting.Action) (bool, kruntime.Object, error) { return true, nil, forbidden }
			client.PrependReactor(verb, "*", refuse)
			client.PrependWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
				return verb == "watch", nil, forbidden
			})
			f := runFeed(t, client, 10)
			f.eventually(t, "the refusal is known", func(s snapshot) bool {
				if verb == "list" {
					return apierrors.IsForbidden(s.ListProblem)
				}
				return apierrors.IsForbidden(s.WatchProblem) && len(s.Records) == 3
			})
		})
	}
}

// A record is what is kept of a delivery, however large that is.
func TestRecord_IsSmall(t *testing.T) {
	large := newDelivery(0)
	large.Labels = map[string]string{"a": strings.Repeat("x", 1000)}
	large.Annotations = map[string]string{"a": strings.Repeat("x", 100_000)}
	large.Spec.Target = nil
	large.Status.Message = strings.Repeat("x", 10_000)
	large.Status.Sender.Name = strings.Repeat("x", 10_000)
	for i := range 1000 {
		large.Spec.Events = append(large.Spec.Events, v1alpha1.DeliveryEvent{Ref: strings.Repeat("x", 250)})
		large.Status.Targets = append(large.Status.Targets, v1alpha1.TargetResult{
			Kind: v1alpha1.TargetApplication, Name: fmt.Sprintf("%0253d", i), Message: strings.Repeat("x", 1000),
		})
	}
	const n = 1000
	records := make([]*record, n)
	before := heap()
	for i := range records {
		records[i] = trim(large)
	}
	const most = 2 << 10
	if each := (heap() - before) / n; each > most {
		t.Errorf("a record takes %d bytes, want at most %d", each, most)
	}
	r := records[0]
	if len(r.Targets) != maxTargets || r.MoreTargets != 1000-maxTargets || len(r.Sender) > maxText {
		t.Errorf("got %d targets and %d more, and a sender of %d bytes", len(r.Targets), r.MoreTargets, len(r.Sender))
	}
	runtime.KeepAlive(records)
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestRecord_Ref(t *testing.T) {
	for want, events := range map[string][]v1alpha1.DeliveryEvent{
		"": nil,
		"main, library/nginx:1.2, ghcr.io/shop@sha256:0, +1": {
			{Ref: "main"},
			{Ref: "1.2", Image: &v1alpha1.ImageReference{Host: "docker.io", Repository: "library/nginx", Tag: "1.2"}},
			{Image: &v1alpha1.ImageReference{Host: "ghcr.io", Repository: "shop", Digest: "sha256:0"}},
			{Ref: "v1"},
		},
	} {
		if got := refs(events); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// isOpen reports whether there is a feed of a namespace.
func (f *feeds) isOpen(namespace string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open[namespace] != nil
}

func TestFeeds_CloseWithoutWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		feeds := newFeeds(ctx, fake.NewSimpleClientset(deliveriesUpTo(3)...))
		first, release, err := feeds.watch("demo")
		if err != nil {
			t.Fatal(err)
		}
		again, releaseAgain, err := feeds.watch("demo")
		if err != nil || again != first {
			t.Fatalf("two watchers of a namespace have two feeds, error %v", err)
		}
		release()
		<-time.After(2 * linger)
		if !feeds.isOpen("demo") {
			t.Fatal("the feed was closed while it was watched")
		}
		releaseAgain()
		<-time.After(linger / 2)
		later, release, err := feeds.watch("demo")
		if err != nil || later != first {
			t.Fatalf("the feed did not live until the next watcher, error %v", err)
		}
		release()
		<-time.After(linger + time.Second)
		if feeds.isOpen("demo") {
			t.Error("the feed is open without watchers")
		}
	})
}

func TestFeeds_Bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		feeds := newFeeds(ctx, fake.NewSimpleClientset())
		var releases []func()
		for i := range maxFeeds {
			_, release, err := feeds.watch(fmt.Sprint("ns-", i))
			if err != nil {
				t.Fatal(err)
			}
			releases = append(releases, release)
		}
		if _, _, err := feeds.watch("one-more"); !errors.Is(err, errTooManyFeeds) {
			t.Errorf("got error %v", err)
		}
		for _, release := range releases[3:5] {
			release()
			<-time.After(time.Second)
		}
		if _, _, err := feeds.watch("one-more"); err != nil {
			t.Fatal(err)
		}
		if feeds.isOpen("ns-3") || !feeds.isOpen("ns-4") || !feeds.isOpen("one-more") {
			t.Error("not the feed that was idle for the longest time was closed")
		}
	})
}
