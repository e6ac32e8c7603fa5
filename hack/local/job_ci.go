// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"strings"
)

func (p *demoRun) ciJobDelivers(ctx context.Context) error {
	p.say("It may create deliveries for GatewaySync plant, and nothing else in the cluster.")
	webhook, err := p.ciWebhook(ctx, "plant", `{"ref":"v1.1.0"}`)
	if err != nil {
		return err
	}
	if err := p.show(ctx, "before", plant, fields{"stoker.io/requested-ref": ""}); err != nil {
		return err
	}
	if err := p.accepted(ctx, webhook, "ServiceAccount"); err != nil {
		return err
	}
	return p.show(ctx, "after", plant, fields{
		"stoker.io/requested-ref": "v1.1.0",
		"stoker.io/requested-by":  "generic",
	})
}

func (p *demoRun) ciJobMayNotDeliverElsewhere(ctx context.Context) error {
	p.say("RBAC in the kube-apiserver denies the request. It never reaches Postern.")
	webhook, err := p.ciWebhook(ctx, "warehouse", `{"ref":"v1.1.0"}`)
	if err != nil {
		return err
	}
	return p.refused(ctx, webhook, http.StatusForbidden)
}

func (p *demoRun) ciWebhook(ctx context.Context, gatewaySync, body string) (webhook, error) {
	token, err := p.cluster.Kubectl(ctx, "", "create", "token", "ci", "--namespace="+namespace)
	return webhook{
		path: posternPath("gatewaysyncs", gatewaySync),
		header: http.Header{
			"Authorization": {"Bearer " + strings.TrimSpace(token)},
			"Content-Type":  {"application/json"},
		},
		body: body,
	}, err
}
