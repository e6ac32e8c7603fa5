// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
)

func (p *demoRun) kubectlDelivers(ctx context.Context) error {
	p.say("A delivery is an object: it can be created, waited for and listed, like the previous deliveries.")
	if err := p.show(ctx, "before", plant, fields{"stoker.io/requested-ref": "v1.1.0"}); err != nil {
		return err
	}
	if _, err := p.kubectl(ctx, "create", "--filename="+samplesDir+"/delivery.yaml"); err != nil {
		return err
	}
	if _, err := p.kubectl(ctx, "wait", "--for=condition=Applied", "whd/by-hand", "--timeout=60s"); err != nil {
		return err
	}
	if err := p.show(ctx, "after", plant, fields{"stoker.io/requested-ref": "v1.2.0"}); err != nil {
		return err
	}
	list, err := p.kubectl(ctx, "get", "whd", "--output=wide")
	if err != nil {
		return err
	}
	for _, ref := range []string{"v1.1.0", "v2.0.0", "v1.2.0"} {
		if !strings.Contains(list, ref) {
			return fmt.Errorf("the delivery of %s is not listed", ref)
		}
	}
	return nil
}
