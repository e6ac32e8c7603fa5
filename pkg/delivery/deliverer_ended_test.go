// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"net/http"
	"testing"

	"postern.dev/postern/pkg/credential"
)

func TestDeliverer_NoStageAfterCancel(t *testing.T) {
	over, leave := context.WithCancel(t.Context())
	leave()
	for name, stage := range map[string]func(*pipeline) error{
		"decoding": func(p *pipeline) error {
			d := toPlant()
			header := http.Header{"X-Hub-Signature-256": {sign([]byte(pushed))}}
			_, err := p.Deliver(over, d, Request{Header: header, Body: []byte(pushed)}, false)
			if len(d.Spec.Events) > 0 || d.Status.Payload != nil {
				t.Errorf("the payload was decoded: %+v", d)
			}
			return err
		},
		"admission": func(p *pipeline) error {
			return p.admit(over, &Request{Delivery: toPlant(), User: anonymousUser})
		},
		"looking in one namespace after another": func(p *pipeline) error {
			r := &Request{Delivery: toPlant()}
			_, err := p.filterWanted(over, []acceptedRequest{
				{r, credential.Acceptance{Namespace: "a"}}, {r, credential.Acceptance{Namespace: "b"}},
			})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newDefaultPipeline()
			p.Secrets.Set("demo", map[string][]byte{"hmac": []byte(secret)})
			err := stage(p)
			if err == nil || answered(t, err).Code != http.StatusServiceUnavailable || len(p.journal) > 0 {
				t.Errorf("answered %v after %q, want 503 after nothing", err, p.journal)
			}
		})
	}
}
