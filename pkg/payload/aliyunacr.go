// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"
	"time"

	"postern.dev/postern/apis/postern"
)

var aliyunACR = Sender{
	Name: "aliyun-acr", Requests: RequestsImages, Expects: "push_data.tag and repository.repo_full_name",
	QueryToken: true, SecretFlag: true,
	shape:   allOf(has("push_data", "tag"), has("repository", "repo_full_name")),
	accepts: allOf(has("push_data", "tag"), has("repository", "name"), not(has("repository", "repo_name"))),
	decode:  decodeAliyunACR,
}

// aliyunPush contains the used fields of the webhook that Alibaba Cloud Container Registry sends for each pushed tag:
// https://www.alibabacloud.com/help/en/acr/user-guide/manage-webhooks
//
// It uses TLS only on port 443 with a certificate of a public authority. There is no id. The payload does not name the
// host of an Enterprise Edition instance: set registry_url in the webhook's URL.
type aliyunPush struct {
	PushData struct {
		Digest   string `json:"digest"`
		PushedAt string `json:"pushed_at"`
		Tag      string `json:"tag"`
	} `json:"push_data"`
	Repository struct {
		Region       string `json:"region"`
		RepoFullName string `json:"repo_full_name"`
		Namespace    string `json:"namespace"`
		Name         string `json:"name"`
	} `json:"repository"`
}

func decodeAliyunACR(m message, out *Decoded) error {
	p, err := decodeAs[aliyunPush](m)
	if err != nil {
		return err
	}
	// The documented sample has capital letters, which no repository has.
	name := strings.ToLower(fullName(p.Repository.RepoFullName, p.Repository.Namespace, p.Repository.Name))
	host := ""
	if p.Repository.Region != "" {
		host = "registry." + p.Repository.Region + ".aliyuncs.com"
	}
	host, repository, err := m.pullReference(registry{host: host}, name)
	if err != nil {
		return err
	}
	if err := require("repository.region, or registry_url in the URL", host,
		"repository.repo_full_name", name, "push_data.tag", p.PushData.Tag); err != nil {
		return err
	}
	out.addImage(postern.DeliveryEvent{Event: "push", Time: aliyunTime(p.PushData.PushedAt).microTime()},
		postern.ImageReference{Host: host, Repository: repository, Tag: p.PushData.Tag, Digest: p.PushData.Digest})
	return nil
}

// aliyunTime parses a time without a zone. It assumes China's time, as shown by Alibaba Cloud; times are only compared
// with times of the same sender. The format is not documented, so a time that cannot be parsed is unknown.
func aliyunTime(s string) timestamp {
	at, err := time.ParseInLocation(time.DateTime, s, time.FixedZone("", 8*60*60))
	if err != nil {
		return timestamp{}
	}
	return timestamp{at.UTC()}
}
