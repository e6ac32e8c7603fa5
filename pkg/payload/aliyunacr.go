// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "time"

const sourceAliyunACR = "aliyun-acr"

// aliyunPush is the part that is read of what Alibaba Cloud Container Registry sends for each pushed tag:
// https://www.alibabacloud.com/help/en/acr/user-guide/manage-webhooks
//
// It can neither sign nor set a header, so nothing but ?secret= in the URL can prove it, and its callers have no
// Kubernetes identity. It sends over TLS only to port 443 with a certificate of a public authority. There is no id. The host
// of an Enterprise Edition instance is not told: registry_url in the webhook's URL must say it.
type aliyunPush struct {
	PushData struct {
		Digest   string `json:"digest"`
		PushedAt string `json:"pushed_at"`
		Tag      string `json:"tag"`
	} `json:"push_data"`
	Repository struct {
		Region       string `json:"region"`
		RepoFullName string `json:"repo_full_name"`
	} `json:"repository"`
}

func fitsAliyunACR(m message) bool {
	return m.has("push_data", "tag") && m.has("repository", "repo_full_name")
}

func decodeAliyunACR(m message, out *Decoded) error {
	p, err := decodeAs[aliyunPush](m)
	if err != nil {
		return err
	}
	host := ""
	if p.Repository.Region != "" {
		host = "registry." + p.Repository.Region + ".aliyuncs.com"
	}
	host, repository, err := m.pullReference(registry{source: sourceAliyunACR, host: host}, p.Repository.RepoFullName)
	if err != nil {
		return err
	}
	if err := require("repository.region, or registry_url in the URL", host,
		"repository.repo_full_name", p.Repository.RepoFullName, "push_data.tag", p.PushData.Tag); err != nil {
		return err
	}
	out.addImage(Event{Type: "push", Time: aliyunTime(p.PushData.PushedAt)},
		Image{Host: host, Repository: repository, Tag: p.PushData.Tag, Digest: p.PushData.Digest})
	return nil
}

// aliyunTime reads a time without a zone. It is taken for China's, which all of Alibaba Cloud's own clocks show, and needs
// to be right only relative to others of the same sender. What can't be read is unknown, as no document promises a format.
func aliyunTime(s string) time.Time {
	at, err := time.ParseInLocation(time.DateTime, s, time.FixedZone("", 8*60*60))
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}
