// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package vendors

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// fields are the members of an object in a payload.
type fields map[string]any

// parse returns the fields of a body.
func parse(body []byte) (f fields, err error) {
	err = json.Unmarshal(body, &f)
	return f, err
}

// object returns the object at a path, or nil.
func (f fields) object(path ...string) fields {
	for _, name := range path {
		f = asFields(f[name])
	}
	return f
}

// asFields returns a value as an object, or nil.
func asFields(v any) fields {
	object, _ := v.(map[string]any)
	return object
}

// text returns the string at a path, or "".
func (f fields) text(path ...string) string {
	last := len(path) - 1
	s, _ := f.object(path[:last]...)[path[last]].(string)
	return s
}

// list returns the objects in the array of a name.
func (f fields) list(name string) (items []fields) {
	array, _ := f[name].([]any)
	for _, v := range array {
		item := asFields(v)
		items = append(items, item)
	}
	return items
}

// pushed returns what the push of a full ref requests. after is the new object id, of zeros if the ref was deleted.
func pushed(ref, after string) []string {
	if strings.Trim(after, "0") == "" {
		return nil
	}
	if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		return []string{"Branch " + branch}
	}
	if tag, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		return []string{"Tag " + tag}
	}
	return nil
}

// changedPullRequest returns what an event of a pull request requests if one of the words says what happened to it.
// Other events are about reviews, comments or assignees.
func changedPullRequest(number any, happened string, words ...string) []string {
	if n, ok := number.(float64); ok && slices.Contains(words, happened) {
		return []string{fmt.Sprintf("PullRequest pull/%.0f", n)}
	}
	return nil
}

// eventName returns the event of a file. Some files have the action in their names too.
func eventName(file string) string {
	name := strings.TrimSuffix(strings.ReplaceAll(file, "-", "_"), "_event")
	if action, ok := strings.CutPrefix(name, "pull_request_"); ok && !strings.HasPrefix(action, "review") {
		return "pull_request"
	}
	for prefix, event := range map[string]string{
		"push": "push", "release": "release", "pr_": "pull_request",
		"branch_create": "create", "tag_create": "create", "branch_delete": "delete", "tag_delete": "delete",
	} {
		if strings.HasPrefix(name, prefix) {
			return event
		}
	}
	return name
}

// gitHub reads a webhook of GitHub.
func gitHub(file string, body []byte) (Example, error) {
	f, err := parse(body)
	event, action := eventName(file), f.text("action")
	e := Example{Source: "github", Header: map[string]string{"X-Github-Event": event}, Body: body}
	switch {
	case event == "push" && f["deleted"] != true:
		e.Want = pushed(f.text("ref"), f.text("after"))
	case event == "release" && (action == "published" || action == "released"):
		e.Want = released(f)
	case event == "workflow_run" && action == "completed":
		e.Want = passedRun(f)
	case event == "pull_request":
		e.Want = changedPullRequest(f["number"], action,
			"opened", "closed", "reopened", "synchronize", "labeled", "unlabeled", "edited")
	case event == "package" || event == "registry_package":
		e.Source = "ghcr.io"
		if p := f.object(event); p.text("package_type") == "CONTAINER" && action == "published" {
			image := p.text("owner", "login") + "/" + p.text("name")
			e.Want = []string{"Image ghcr.io/" + image + ":" +
				p.text("package_version", "container_metadata", "tag", "name")}
		}
	}
	return e, err
}

// passedRun returns what a run of a workflow requests: the branch or tag of a push to the repository itself.
func passedRun(f fields) []string {
	run := f.object("workflow_run")
	if run.text("conclusion") != "success" || run.text("event") != "push" ||
		run.object("head_repository")["id"] != f.object("repository")["id"] {
		return nil
	}
	if run.text("head_branch") == f.text("repository", "default_branch") {
		return []string{"Branch " + run.text("head_branch")}
	}
	return []string{" " + run.text("head_branch")} // it may be a tag
}

// released returns what the publication of a release requests.
func released(f fields) []string {
	if f.object("release")["draft"] == true {
		return nil
	}
	return []string{"Tag " + f.text("release", "tag_name")}
}

// gitLab reads a webhook or a system hook of GitLab.
func gitLab(file string, body []byte) (Example, error) {
	f, err := parse(body)
	kind := cmp.Or(f.text("object_kind"), f.text("event_name"))
	header := title(kind) + " Hook"
	if strings.HasPrefix(file, "system-") {
		header = "System Hook"
	}
	e := Example{Source: "gitlab", Header: map[string]string{"X-Gitlab-Event": header}, Body: body}
	switch {
	case kind == "push" || kind == "tag_push":
		e.Want = pushed(f.text("ref"), f.text("after"))
	case kind == "release" && f.text("action") == "create":
		e.Want = []string{"Tag " + f.text("tag")}
	case kind == "merge_request":
		e.Want = changedPullRequest(f.object("object_attributes")["iid"], f.text("object_attributes", "action"),
			"open", "close", "reopen", "update", "merge")
	case kind == "pipeline" && f.text("object_attributes", "status") == "success" &&
		f.text("object_attributes", "source") == "push":
		refType := map[bool]string{false: "Branch ", true: "Tag "}[f.object("object_attributes")["tag"] == true]
		e.Want = []string{refType + f.text("object_attributes", "ref")}
	}
	return e, err
}

// title returns the words of a name with capitals: "tag_push" becomes "Tag Push".
func title(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words {
		if word != "" {
			words[i] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, " ")
}

// gitea reads a webhook of Gitea, which has the headers of Gogs and GitHub too.
func gitea(file string, body []byte) (Example, error) {
	f, err := parse(body)
	event := eventName(file)
	e := Example{Source: "gitea", Header: map[string]string{}, Body: body}
	for _, host := range []string{"Gitea", "Gogs", "Github"} {
		e.Header["X-"+host+"-Event"], e.Header["X-"+host+"-Event-Type"] = event, event
	}
	switch {
	case event == "push" && f.text("before") != f.text("after"):
		e.Want = pushed(f.text("ref"), f.text("after"))
	case event == "release" && f.text("action") == "published":
		e.Want = released(f)
	case event == "create" && f.text("ref_type") == "tag" && f["default_branch"] != nil:
		// Gogs, and the Gitea that was a copy of it, send no push for a new tag.
		e.Want = []string{"Tag " + f.text("ref")}
	case event == "pull_request":
		e.Want = changedPullRequest(f["number"], f.text("action"),
			"opened", "closed", "reopened", "synchronized", "label_updated", "label_cleared", "edited")
	}
	return e, err
}

// gogs reads a webhook of Gogs.
func gogs(file string, body []byte) (Example, error) {
	e, err := gitea(file, body)
	e.Header = map[string]string{"X-Gogs-Event": eventName(file)}
	return e, err
}

// bitbucket reads a webhook of Bitbucket Cloud.
func bitbucket(file string, body []byte) (Example, error) {
	f, err := parse(body)
	event := strings.NewReplacer("pull-request-", "pullrequest:", "pr_", "pullrequest:",
		"declined", "rejected", "merged", "fulfilled").Replace(file)
	switch {
	case strings.HasPrefix(file, "push") || file == "repo-push":
		event = "repo:push"
	case !strings.Contains(event, ":"):
		event = strings.Replace(event, "-", ":", 1)
	}
	e := Example{Source: "bitbucket", Header: map[string]string{
		"X-Event-Key": event, "X-Hook-Uuid": "7f3c1a52-0b61-4a7c-9d1e-4a3c8f0b2e11", "X-Attempt-Number": "1",
	}, Body: body}
	e.Want = changedPullRequest(f.object("pullrequest")["id"], event,
		"pullrequest:created", "pullrequest:updated", "pullrequest:fulfilled", "pullrequest:rejected")
	for _, change := range f.object("push").list("changes") {
		switch change.text("new", "type") {
		case "branch":
			e.Want = append(e.Want, "Branch "+change.text("new", "name"))
		case "tag", "annotated_tag":
			e.Want = append(e.Want, "Tag "+change.text("new", "name"))
		}
	}
	return e, err
}

// bitbucketServer reads a webhook of Bitbucket Data Center.
func bitbucketServer(_ string, body []byte) (Example, error) {
	f, err := parse(body)
	event := f.text("eventKey")
	e := Example{Source: "bitbucket-server", Header: map[string]string{"X-Event-Key": event}, Body: body}
	e.Want = changedPullRequest(f.object("pullRequest")["id"], event,
		"pr:opened", "pr:from_ref_updated", "pr:modified", "pr:merged", "pr:declined", "pr:deleted")
	for _, change := range f.list("changes") {
		e.Want = append(e.Want, pushed(change.text("ref", "id"), change.text("toHash"))...)
	}
	return e, err
}

// azureDevOpsTest is the id of the push that the button "Test" sends. All examples of pushes have it.
const azureDevOpsTest = "03c164c2-8912-4d5e-8009-3707d5f83734"

// azureDevOps reads a service hook of Azure DevOps. It gives a test the id of a push, so that it requests something.
func azureDevOps(_ string, body []byte) (Example, error) {
	body = bytes.ReplaceAll(body, []byte(azureDevOpsTest), []byte("5d2f8a14-6c3b-4e0f-8b77-1c9a2e4f6d30"))
	f, err := parse(body)
	e := Example{Source: "azure-devops", Body: body}
	e.Want = changedPullRequest(f.object("resource")["pullRequestId"], f.text("eventType"),
		"git.pullrequest.created", "git.pullrequest.updated", "git.pullrequest.merged")
	for _, update := range f.object("resource").list("refUpdates") {
		e.Want = append(e.Want, pushed(update.text("name"), update.text("newObjectId"))...)
	}
	return e, err
}

// dockerHub reads a webhook of Docker Hub.
func dockerHub(_ string, body []byte) (Example, error) {
	f, err := parse(body)
	image := "docker.io/" + f.text("repository", "repo_name") + ":" + f.text("push_data", "tag")
	return Example{Source: "docker.io", Body: body, Want: []string{"Image " + image}}, err
}

// argoCD reads a webhook that Argo CD's own tests send. The file names the sender and the event.
func argoCD(file string, body []byte) (Example, error) {
	host, event, _ := strings.Cut(file, "-")
	switch {
	case strings.HasPrefix(file, "github-commit") || strings.HasPrefix(file, "github-tag"):
		return gitHub("push", body)
	case host == "github":
		return gitHub(event, body)
	case host == "ghcr":
		return gitHub("package", body)
	case host == "gitlab":
		return gitLab(event, body)
	case host == "bitbucket":
		return bitbucketServer(event, body)
	case host == "azuredevops":
		return azureDevOps(event, body)
	case host == "gogs":
		return gogs("push", body)
	}
	return Example{Body: body}, nil // of no sender
}

// gitee reads a webhook of Gitee, which Postern does not know. Its pushes have the fields of GitHub's.
func gitee(_ string, body []byte) (Example, error) {
	f, err := parse(body)
	hook := f.text("hook_name")
	e := Example{Header: map[string]string{"X-Gitee-Event": hook}, Body: body}
	if hook == "push_hooks" || hook == "tag_push_hooks" {
		e.Want = pushed(f.text("ref"), f.text("after"))
	}
	return e, err
}

// harness reads a webhook of Harness, which Postern does not know.
func harness(_ string, body []byte) (Example, error) {
	f, err := parse(body)
	return Example{Header: map[string]string{"X-Harness-Trigger": f.text("trigger")}, Body: body}, err
}
