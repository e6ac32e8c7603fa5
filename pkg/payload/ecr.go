// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"strings"

	"postern.dev/postern/apis/postern"
)

var ecr = Sender{
	Name: "ecr", Requests: RequestsImages, Expects: "detail-type, detail and account",
	Token:  true,
	shape:  hasAll("detail-type", "detail", "account"),
	decode: decodeECR,
}

// ecrEvent contains the used fields of Amazon ECR events from Amazon EventBridge, without an input transformer:
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html
//
// A replicated image has no other event in its destination, which account and region name.
//
// EventBridge uses an API destination, which can set one header of up to 512 characters: the secret as
// X-Webhook-Secret. A ServiceAccount token is longer. It does not sign:
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateConnectionApiKeyAuthRequestParameters.html
type ecrEvent struct {
	ID         string    `json:"id"`
	DetailType string    `json:"detail-type"`
	Source     string    `json:"source"`
	Account    string    `json:"account"`
	Region     string    `json:"region"`
	Time       timestamp `json:"time"`
	Detail     struct {
		ActionType        string `json:"action-type"`
		Result            string `json:"result"`
		RepositoryName    string `json:"repository-name"`
		ImageTag          string `json:"image-tag"`
		ImageDigest       string `json:"image-digest"`
		ManifestMediaType string `json:"manifest-media-type"`
		ArtifactMediaType string `json:"artifact-media-type"`
	} `json:"detail"`
}

func decodeECR(m message, out *Decoded) error {
	p, err := decodeAs[ecrEvent](m)
	if err != nil {
		return err
	}
	if out.DeliveryID, err = cleanID("id", p.ID); err != nil {
		return err
	}
	d := p.Detail
	switch {
	case p.Source != "aws.ecr" || p.DetailType != "ECR Image Action" && p.DetailType != "ECR Replication Action":
		out.ignore(IgnoredEvent, "the event %s of %s asks for no image; send ECR Image Action",
			quote(p.DetailType), quote(p.Source))
		return nil
	case d.ActionType == "DELETE":
		out.ignore(IgnoredRefDeleted, "an image of %s was deleted", quote(d.RepositoryName))
		return nil
	case d.ActionType != "PUSH" && d.ActionType != "REPLICATE" || d.Result != "SUCCESS":
		out.ignore(IgnoredAction, "the action %s with the result %s publishes no image",
			quote(d.ActionType), quote(d.Result))
		return nil
	}
	if err := require("detail.repository-name", d.RepositoryName); err != nil {
		return err
	}
	host := ecrHost(p.Account, p.Region)
	if host == "" {
		return refuse(ErrorInvalidField,
			"account must be 12 digits, not %s, and region a name such as eu-west-1, not %s",
			quote(p.Account), quote(p.Region))
	}
	host, repository, err := m.pullReference(registry{host: host}, d.RepositoryName)
	if err != nil {
		return err
	}
	out.addImage(postern.DeliveryEvent{Event: d.ActionType, Time: p.Time.microTime()},
		postern.ImageReference{Host: host, Repository: repository, Tag: d.ImageTag, Digest: d.ImageDigest},
		d.ManifestMediaType, d.ArtifactMediaType)
	return nil
}

// ecrDomains are the domains of AWS partitions other than the default, by region prefix: dnsSuffix in
// https://github.com/aws/aws-sdk-go-v2/blob/main/internal/endpoints/awsrulesfn/partitions.json
var ecrDomains = []struct{ region, domain string }{
	{"cn-", "amazonaws.com.cn"},
	{"eusc-", "amazonaws.eu"},
	{"us-iso-", "c2s.ic.gov"},
	{"us-isob-", "sc2s.sgov.gov"},
	{"us-isof-", "csp.hci.ic.gov"},
	{"eu-isoe-", "cloud.adc-e.uk"},
}

// ecrHost returns the host of a private registry, or "" if the account or region is not valid:
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
func ecrHost(account, region string) string {
	const lower, digits = "abcdefghijklmnopqrstuvwxyz", "0123456789"
	if len(account) != 12 || strings.Trim(account, digits) != "" ||
		region == "" || strings.Trim(region, lower+digits+"-") != "" {
		return ""
	}
	domain := "amazonaws.com"
	for _, d := range ecrDomains {
		if strings.HasPrefix(region, d.region) {
			domain = d.domain
		}
	}
	return account + ".dkr.ecr." + region + "." + domain
}

// ecrHostOfARN returns the host of the registry if the source of a CloudEvent is the ARN of a repository or a similar
// URN, else "": arn:aws:ecr:<region>:<account>:repository/<name>. The registry id, if given, overrides the account.
func ecrHostOfARN(source, registryID string) string {
	parts := strings.SplitN(source, ":", 6)
	if len(parts) < 6 || (parts[0] != "arn" && parts[0] != "urn") || parts[2] != "ecr" {
		return ""
	}
	return ecrHost(cmp.Or(registryID, parts[4]), parts[3])
}
