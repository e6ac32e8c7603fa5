// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"

	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// stoker reconciles the GatewaySyncs of one namespace by the rules of Stoker's controller, v0.5.1, whose module no
// proxy serves. It shows which ref and commit the gateways get. Source:
// https://github.com/ia-eknorr/stoker-operator, internal/controller.
type stoker struct {
	t       *testing.T
	client  dynamic.ResourceInterface
	queue   workqueue.TypedRateLimitingInterface[string]
	objects cache.GenericLister
	// clock is advanced by tests, to let polling intervals pass.
	clock *clocktesting.FakeClock
}

const (
	stokerFinalizer = "stoker.io/finalizer"
	// pollingInterval is how long Stoker trusts a commit, also where polling is off.
	pollingInterval = time.Minute
)

// stoker runs Stoker for the duration of the test.
func (w *world) stoker() *stoker {
	w.T.Helper()
	s := &stoker{
		t:      w.T,
		client: w.Objects.Resource(testcluster.GatewaySyncs).Namespace(w.Namespace),
		queue:  workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
		clock:  clocktesting.NewFakeClock(time.Now()),
	}
	informers := dynamicinformer.NewFilteredDynamicSharedInformerFactory(w.Objects, 0, w.Namespace, nil)
	informer := informers.ForResource(testcluster.GatewaySyncs)
	_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { s.queue.Add(obj.(*unstructured.Unstructured).GetName()) },
		UpdateFunc: func(before, after any) {
			old, changed := before.(*unstructured.Unstructured), after.(*unstructured.Unstructured)
			if old.GetGeneration() != changed.GetGeneration() ||
				!maps.Equal(old.GetAnnotations(), changed.GetAnnotations()) {
				s.queue.Add(changed.GetName())
			}
		},
	})
	if err != nil {
		w.T.Fatal(err)
	}
	s.objects = informer.Lister()
	ctx, cancel := context.WithCancel(context.Background())
	informers.Start(ctx.Done())
	informers.WaitForCacheSync(ctx.Done())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.run(ctx)
	}()
	w.T.Cleanup(func() {
		cancel()
		s.queue.ShutDown()
		<-ended
		informers.Shutdown()
	})
	return s
}

func (s *stoker) run(ctx context.Context) {
	for {
		name, shutdown := s.queue.Get()
		if shutdown {
			return
		}
		if err := s.reconcile(ctx, name); err != nil && ctx.Err() == nil {
			s.t.Logf("stoker: %s: %v", name, err)
			s.queue.AddRateLimited(name)
		} else {
			s.queue.Forget(name)
		}
		s.queue.Done(name)
	}
}

// gatewaySync is what Stoker reads of a GatewaySync, and its status.
type gatewaySync struct {
	Spec struct {
		Git struct {
			Repo string `json:"repo"`
			Ref  string `json:"ref"`
		} `json:"git"`
		Paused bool `json:"paused"`
	} `json:"spec"`
	Status stokerStatus `json:"status"`
}

type stokerStatus struct {
	LastSyncRef         string      `json:"lastSyncRef,omitempty"`
	LastSyncCommit      string      `json:"lastSyncCommit,omitempty"`
	LastSyncTime        metav1.Time `json:"lastSyncTime,omitzero"`
	RefResolutionStatus string      `json:"refResolutionStatus,omitempty"`
}

func (s *stoker) reconcile(ctx context.Context, name string) error {
	got, err := s.client.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	sync := &gatewaySync{}
	if err := convert(got, sync); err != nil {
		return err
	}
	if sync.Spec.Paused {
		return nil
	}
	if got.GetDeletionTimestamp() != nil {
		return s.patch(ctx, name, `{"metadata":{"finalizers":null}}`)
	}
	if len(got.GetFinalizers()) == 0 {
		if err := s.patch(ctx, name, `{"metadata":{"finalizers":["`+stokerFinalizer+`"]}}`); err != nil {
			return err
		}
	}
	ref := got.GetAnnotations()[stokerv1alpha1.AnnotationRequestedRef]
	requested := ref != ""
	if !requested {
		ref = sync.Spec.Git.Ref
	}
	status, resolveErr := s.resolve(ctx, sync.Spec.Git.Repo, ref, sync.Status)
	if err := s.patchStatus(ctx, name, status); err != nil {
		return errors.Join(resolveErr, err)
	}
	if requested && strings.TrimPrefix(ref, "v") == strings.TrimPrefix(sync.Spec.Git.Ref, "v") {
		err = s.patch(ctx, name, `{"metadata":{"annotations":{"`+stokerv1alpha1.AnnotationRequestedRef+`":null}}}`)
	}
	return errors.Join(resolveErr, err)
}

var commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)

// resolve returns the status for a ref. It asks git only if the last answer is for another ref, or old.
func (s *stoker) resolve(ctx context.Context, repository, ref string, last stokerStatus) (stokerStatus, error) {
	now := s.clock.Now()
	if last.RefResolutionStatus == "Resolved" && last.LastSyncRef == ref &&
		now.Sub(last.LastSyncTime.Time) < pollingInterval {
		return last, nil
	}
	commit := ref
	if !commitID.MatchString(ref) {
		var err error
		if commit, err = listRemote(ctx, repository, ref); err != nil {
			last.RefResolutionStatus = "Error"
			return last, err
		}
	}
	last.RefResolutionStatus = "Resolved"
	if last.LastSyncCommit != commit {
		last.LastSyncRef, last.LastSyncCommit, last.LastSyncTime = ref, commit, metav1.NewTime(now)
	}
	return last, nil
}

// listRemote returns the commit of a tag or a branch.
func listRemote(ctx context.Context, repository, ref string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", "ls-remote", repository, "refs/tags/"+ref+"^{}", "refs/tags/"+ref,
		"refs/heads/"+ref).Output()
	if err != nil {
		return "", fmt.Errorf("git ls-remote: %w", err)
	}
	commits := map[string]string{}
	for line := range strings.Lines(string(out)) {
		commit, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		commits[name] = commit
	}
	for _, name := range []string{"refs/tags/" + ref + "^{}", "refs/tags/" + ref, "refs/heads/" + ref} {
		if commit := commits[name]; commit != "" {
			return commit, nil
		}
	}
	return "", fmt.Errorf("the repository has no ref %q", ref)
}

func (s *stoker) patch(ctx context.Context, name, patch string, subresources ...string) error {
	_, err := s.client.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...)
	return err
}

func (s *stoker) patchStatus(ctx context.Context, name string, status stokerStatus) error {
	patch, err := json.Marshal(map[string]stokerStatus{"status": status})
	if err != nil {
		return err
	}
	return s.patch(ctx, name, string(patch), "status")
}

func convert(from *unstructured.Unstructured, to any) error {
	data, err := from.MarshalJSON()
	if err != nil {
		return err
	}
	return json.Unmarshal(data, to)
}

// newPlant serves a repository, and creates the GatewaySync of its branch main, which Stoker has synced when it
// returns.
func (w *world) newPlant() *repository {
	w.T.Helper()
	r := w.newRepository("plant", map[string]string{"project.json": `{"version": 1}`})
	w.Create(testcluster.GatewaySyncs, fmt.Sprintf(`
apiVersion: stoker.io/v1alpha1
kind: GatewaySync
metadata: {name: plant}
spec:
  git: {repo: %q, ref: main}
  gateway: {api: {secretName: key}}
  sync: {profiles: {default: {mappings: [{source: ., destination: .}]}}}
  polling: {enabled: false}
`, r.url))
	w.waitGateways(r, "main", r.git("rev-parse", "HEAD"))
	return r
}

// waitGateways waits until Stoker has synced the ref at the commit, and checks that an agent gets the same.
func (w *world) waitGateways(r *repository, ref, commit string) {
	w.T.Helper()
	w.Eventually(testcluster.Patience, func() error {
		got := &gatewaySync{}
		object := w.Get(testcluster.GatewaySyncs, "plant")
		if err := convert(object, got); err != nil {
			return err
		}
		if s := got.Status; s.LastSyncRef != ref || s.LastSyncCommit != commit || s.RefResolutionStatus != "Resolved" {
			return fmt.Errorf("Stoker synced %q at %q, %s; want %q at %q; annotations %v", s.LastSyncRef,
				s.LastSyncCommit, s.RefResolutionStatus, ref, commit, object.GetAnnotations())
		}
		return nil
	})
	clone := w.T.TempDir()
	runGit(w.T, clone, "-c", "advice.detachedHead=false", "clone", "--quiet", "--depth=1", "--branch="+ref, r.url,
		"clone")
	if got := runGit(w.T, clone+"/clone", "rev-parse", "HEAD"); got != commit {
		w.T.Errorf("an agent gets %s, want %s", got, commit)
	}
}

func TestStoker_Release(t *testing.T) {
	w := newWorld(t)
	reacted := scenario(t, "Stoker: GitHub release, annotated tag")
	w.stoker()
	g, r := w.github(), w.newPlant()

	commit := r.commit(map[string]string{"project.json": `{"version": 2}`})
	r.tag("v2.0.0")
	d, answered := g.release(toPlant, r, "v2.0.0")

	mustBeApplied(t, d)
	w.waitGateways(r, "v2.0.0", commit)
	reacted(answered)
}

func TestStoker_PushToTrackedBranch(t *testing.T) {
	w := newWorld(t)
	reacted := scenario(t, "Stoker: push to the tracked branch, after a polling interval")
	stoker := w.stoker()
	g, r := w.github(), w.newPlant()

	stoker.clock.Step(2 * pollingInterval)
	commit := r.commit(map[string]string{"project.json": `{"version": 2}`})
	d, answered := g.push(byGitHub, r, mainBranch, commit)

	mustBeApplied(t, d)
	w.waitGateways(r, "main", commit)
	reacted(answered)
	w.waitWithdrawn()
}

// waitWithdrawn waits until Stoker has removed the request.
func (w *world) waitWithdrawn() {
	w.T.Helper()
	w.Eventually(testcluster.Patience, func() error {
		annotations := w.Get(testcluster.GatewaySyncs, "plant").GetAnnotations()
		if ref, found := annotations[stokerv1alpha1.AnnotationRequestedRef]; found {
			return fmt.Errorf("the request of %q is still there", ref)
		}
		return nil
	})
}

// Stoker removes a request of the ref that the spec has, so the next push requests it again.
func TestStoker_PushAfterTheRequestWasRemoved(t *testing.T) {
	w := newWorld(t)
	reacted := scenario(t, "Stoker: push to the tracked branch again, after the request was removed")
	stoker := w.stoker()
	g, r := w.github(), w.newPlant()

	for i := range 2 {
		stoker.clock.Step(2 * pollingInterval)
		commit := r.commit(map[string]string{"project.json": fmt.Sprintf(`{"version": %d}`, i+2)})
		d, answered := g.push(byGitHub, r, mainBranch, commit)
		mustBeApplied(t, d)
		w.waitGateways(r, "main", commit)
		reacted(answered)
		w.waitWithdrawn()
	}
}

func TestStoker_SecondPushToRequestedBranch(t *testing.T) {
	for name, withoutTime := range map[string]bool{"with its time": false, "without a time": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			reacted := scenario(t, "Stoker: second push to a requested branch, after a polling interval, "+name)
			stoker := w.stoker()
			g, r := w.github(), w.newPlant()
			g.withoutTime = withoutTime
			r.git("checkout", "--quiet", "-b", "next")
			for i := range 2 {
				commit := r.commit(map[string]string{"project.json": fmt.Sprintf(`{"version": %d}`, i+2)})
				d, answered := g.push(toPlant, r, "refs/heads/next", commit)
				mustBeApplied(t, d)
				w.waitGateways(r, "next", commit)
				reacted(answered)
				stoker.clock.Step(2 * pollingInterval)
			}
		})
	}
}

// Stoker would accept a commit, but its agents clone a branch or a tag.
func TestStoker_CommitIsRefused(t *testing.T) {
	w := newWorld(t)
	scenario(t, "Stoker: a commit is not requested")
	w.stoker()
	ci, r := w.ci(), w.newPlant()
	tracked := r.git("rev-parse", "HEAD")
	commit := r.commit(map[string]string{"project.json": `{"version": 2}`})
	r.git("update-ref", mainBranch, tracked)

	w.Eventually(testcluster.Patience, func() error { // permissions take effect with a delay
		answer, _ := w.try(ci, toPlant, `{"ref": "`+commit+`"}`, nil)
		if answer.Code == http.StatusForbidden {
			return fmt.Errorf("got %d: %s", answer.Code, answer.Body)
		}
		if answer.Code < http.StatusBadRequest && !strings.Contains(string(answer.Body), `"phase":"Ignored"`) {
			t.Errorf("got %d: %s", answer.Code, answer.Body)
		}
		return nil
	})
	annotations := w.Get(testcluster.GatewaySyncs, "plant").GetAnnotations()
	if ref, found := annotations[stokerv1alpha1.AnnotationRequestedRef]; found {
		t.Errorf("got a request of %q, want none", ref)
	}
	w.waitGateways(r, "main", tracked)
}
