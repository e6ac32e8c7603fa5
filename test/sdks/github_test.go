// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package sdks

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-github/v75/github"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/payload"
)

const commit = "3f1c9a2b7d5e4f60819a2b3c4d5e6f708192a3b4"

// completedRun returns the event of a run that succeeded for a push to main.
func completedRun() *github.WorkflowRunEvent {
	repository := &github.Repository{
		ID: github.Ptr[int64](7), FullName: github.Ptr("example/plant"), DefaultBranch: github.Ptr("main"),
		CloneURL: github.Ptr("https://github.com/example/plant.git"),
		SSHURL:   github.Ptr("git@github.com:example/plant.git"),
	}
	return &github.WorkflowRunEvent{
		Action: github.Ptr("completed"),
		WorkflowRun: &github.WorkflowRun{
			Name: github.Ptr("CI"), Event: github.Ptr("push"), Status: github.Ptr("completed"),
			Conclusion: github.Ptr("success"), HeadBranch: github.Ptr("main"), HeadSHA: github.Ptr(commit),
			CreatedAt:    &github.Timestamp{Time: happened},
			RunStartedAt: &github.Timestamp{Time: happened.Add(time.Hour)},
			UpdatedAt:    &github.Timestamp{Time: happened.Add(2 * time.Hour)}, RunAttempt: github.Ptr(2),
			Repository: repository, HeadRepository: repository,
		},
		Repo:   repository,
		Sender: &github.User{Login: github.Ptr("ada"), ID: github.Ptr[int64](1)},
	}
}

// decodeGitHub decodes an event that GitHub signs: what it requests must follow from the body alone.
func decodeGitHub(t *testing.T, name string, event any) payload.Decoded {
	t.Helper()
	body, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	got, err := payload.DecodeSigned(payload.Input{Header: http.Header{"X-Github-Event": {name}}, Body: body})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestGitHub_WorkflowRun(t *testing.T) {
	want := []postern.DeliveryEvent{{
		Source: "github", Event: "workflow_run", Ref: "main", RefType: postern.RefTypeBranch, DefaultBranch: true,
		Repository: "https://github.com/example/plant.git", SSHURL: "ssh://git@github.com/example/plant.git",
		Revision: commit, Passed: "workflow_run:CI", Time: &metav1.MicroTime{Time: happened},
	}}
	got := decodeGitHub(t, "workflow_run", completedRun())
	if got.Events[0].SSHURL != want[0].SSHURL { // its spelling is tested elsewhere
		want[0].SSHURL = got.Events[0].SSHURL
	}
	if diff := cmp.Diff(want, got.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestGitHub_WorkflowRunsThatPassNothing(t *testing.T) {
	for name, change := range map[string]func(*github.WorkflowRun){
		"of a pull request":      func(r *github.WorkflowRun) { r.Event = github.Ptr("pull_request") },
		"of pull_request_target": func(r *github.WorkflowRun) { r.Event = github.Ptr("pull_request_target") },
		"started by hand":        func(r *github.WorkflowRun) { r.Event = github.Ptr("workflow_dispatch") },
		"of a fork with the same name": func(r *github.WorkflowRun) {
			r.HeadRepository = &github.Repository{ID: github.Ptr[int64](8), FullName: github.Ptr("example/plant")}
		},
		"of a fork that was deleted":        func(r *github.WorkflowRun) { r.HeadRepository = nil },
		"failed":                            func(r *github.WorkflowRun) { r.Conclusion = github.Ptr("failure") },
		"skipped":                           func(r *github.WorkflowRun) { r.Conclusion = github.Ptr("skipped") },
		"of a tag that looks like a commit": func(r *github.WorkflowRun) { r.HeadBranch = github.Ptr(commit) },
	} {
		event := completedRun()
		change(event.WorkflowRun)
		if got := decodeGitHub(t, "workflow_run", event); len(got.Events) > 0 || len(got.Ignored) != 1 {
			t.Errorf("%s: got %+v, want one reason to ignore it", name, got)
		}
	}
}

// Deployments and their statuses contain the run that made them. They request nothing, with any header: all who can
// push may report that a deployment succeeded.
func TestGitHub_DeploymentIsNoRun(t *testing.T) {
	run := completedRun()
	deployment := &github.Deployment{
		Ref: github.Ptr("main"), SHA: github.Ptr(commit), Environment: github.Ptr("production"),
	}
	status := &github.DeploymentStatusEvent{
		Action: github.Ptr("created"), Deployment: deployment, Repo: run.Repo, Sender: run.Sender,
		DeploymentStatus: &github.DeploymentStatus{
			State: github.Ptr("success"), Environment: github.Ptr("production"),
		},
	}
	completed := *status
	completed.Action = run.Action
	for name, event := range map[string]any{
		"deployment": struct {
			Action string `json:"action"`
			*github.DeploymentEvent
		}{"completed", &github.DeploymentEvent{
			Deployment: deployment, WorkflowRun: run.WorkflowRun, Repo: run.Repo, Sender: run.Sender,
		}},
		"deployment_status":             withRun{status, run.WorkflowRun},
		"a completed deployment_status": withRun{&completed, run.WorkflowRun},
	} {
		body, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		for _, header := range []string{"deployment", "deployment_status", "workflow_run", ""} {
			got, err := payload.DecodeSigned(payload.Input{
				Source: "github", Header: http.Header{"X-Github-Event": {header}}, Body: body,
			})
			if err == nil && len(got.Events) > 0 {
				t.Errorf("%s as %q: got %+v", name, header, got)
			}
		}
	}
}

// withRun is the status of a deployment with the run that made it, which go-github leaves out.
type withRun struct {
	*github.DeploymentStatusEvent
	WorkflowRun *github.WorkflowRun `json:"workflow_run"`
}
