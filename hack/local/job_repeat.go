// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"postern.dev/postern/apis/postern/v1alpha1"
)

func (p *demoRun) gitHubRepeatsTheRelease(ctx context.Context) error {
	p.say("GitHub does so if it did not receive the response. Postern responds with the first delivery and writes " +
		"nothing.")
	code, body, err := p.send(ctx, gitHubReleased(p.secret))
	if err != nil {
		return err
	}
	var delivery v1alpha1.WebhookDelivery
	if err := json.Unmarshal(body, &delivery); err != nil {
		return fmt.Errorf("the response is not a delivery: %w", err)
	}
	if reason := delivery.Status.Reason; code != http.StatusAccepted || reason != "AlreadyDelivered" {
		return fmt.Errorf("got response %d, %s; want %d, AlreadyDelivered", code, reason, http.StatusAccepted)
	}
	return nil
}

func (p *demoRun) kubectlDeliversAgain(ctx context.Context) error {
	p.say("The first delivery of the CI job is redelivered, although there are newer ones.")
	if err := p.show(ctx, "before", plant, fields{"stoker.io/requested-ref": "v1.2.0"}); err != nil {
		return err
	}
	first, err := p.kubectl(ctx, "get", "whd", "--field-selector=spec.target.name=plant",
		`--output=jsonpath={.items[?(@.spec.events[0].ref=="v1.1.0")].metadata.name}`)
	if err != nil {
		return err
	}
	const deliveries = "/apis/postern.dev/v1alpha1/namespaces/" + namespace + "/webhookdeliveries/"
	if _, err := p.kubectl(ctx, "create", "--filename=/dev/null", "--raw="+deliveries+first+"/redeliver"); err != nil {
		return err
	}
	return p.show(ctx, "after", plant, fields{"stoker.io/requested-ref": "v1.1.0"})
}
