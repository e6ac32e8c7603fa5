// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strconv"
	"time"

	"postern.dev/postern/apis/postern"
)

var dockerHub = Sender{
	Name: "docker.io", Requests: RequestsImages, Expects: "push_data.tag and repository.repo_name",
	QueryToken: true, SecretFlag: true,
	shape:   allOf(has("push_data", "tag"), has("repository", "repo_name")),
	accepts: allOf(has("push_data", "tag"), has("repository", "name"), not(has("repository", "repo_full_name"))),
	decode:  decodeDockerHub,
}

// dockerHubPush contains the used fields of the webhook that Docker Hub sends for each pushed tag:
// https://docs.docker.com/docker-hub/repos/manage/webhooks/
//
// Docker Hub can neither sign nor set headers: https://github.com/docker/roadmap/issues/51. There is no id and no
// digest.
type dockerHubPush struct {
	PushData struct {
		Tag      string `json:"tag"`
		PushedAt epoch  `json:"pushed_at"`
	} `json:"push_data"`
	Repository struct {
		RepoName  string `json:"repo_name"`
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"repository"`
}

func decodeDockerHub(m message, out *Decoded) error {
	p, err := decodeAs[dockerHubPush](m)
	if err != nil {
		return err
	}
	name := fullName(p.Repository.RepoName, p.Repository.Namespace, p.Repository.Name)
	if err := require("repository.repo_name", name, "push_data.tag", p.PushData.Tag); err != nil {
		return err
	}
	host, repository, err := m.pullReference(registry{host: "docker.io"}, name)
	if err != nil {
		return err
	}
	out.addImage(postern.DeliveryEvent{Event: "push", Time: p.PushData.PushedAt.microTime()},
		postern.ImageReference{Host: host, Repository: repository, Tag: p.PushData.Tag})
	return nil
}

// epoch is a timestamp in seconds. Docker Hub has also sent it as a floating-point number, 1.417566161e+09.
type epoch struct{ timestamp }

// UnmarshalJSON returns a *json.UnmarshalTypeError, like timestamp.
func (e *epoch) UnmarshalJSON(raw []byte) error {
	if len(raw) > maxTimeBytes {
		return errNotTime(string(raw[:maxTimeBytes]))
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return e.timestamp.UnmarshalJSON(raw)
	}
	if seconds < 0 || seconds > maxEpoch {
		return errNotTime(string(raw))
	}
	if seconds > 0 {
		e.time = time.Unix(int64(seconds), 0).UTC()
	}
	return nil
}
