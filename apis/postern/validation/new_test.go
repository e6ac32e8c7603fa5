// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"fmt"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern"
)

const maxBytes = 1 << 10

var sources = []string{"docker.io", "generic", "github"}

func TestValidateNew_Accepts(t *testing.T) {
	for name, change := range map[string]func(*postern.WebhookDelivery){
		"payload":         func(*postern.WebhookDelivery) {},
		"no source":       func(d *postern.WebhookDelivery) { d.Spec.Source = "" },
		"an Application":  func(d *postern.WebhookDelivery) { d.Spec.Target.Kind = postern.TargetApplication },
		"generated name":  func(d *postern.WebhookDelivery) { d.Name, d.GenerateName = "", "release-" },
		"largest payload": func(d *postern.WebhookDelivery) { d.Spec.Payload.Raw = make([]byte, maxBytes) },
		"largest raw payload": func(d *postern.WebhookDelivery) {
			d.Spec.Payload, d.Spec.RawPayload = nil, make([]byte, maxBytes)
		},
		"no target": func(d *postern.WebhookDelivery) { d.Spec.Target = nil },
		"image": func(d *postern.WebhookDelivery) {
			d.Spec.Payload, d.Spec.Ref, d.Spec.Image, d.Spec.Source = nil, "1.2.3",
				"registry.example.com:5000/acme/shop", ""
		},
		"image of Docker Hub, without a target": func(d *postern.WebhookDelivery) {
			d.Spec = postern.WebhookDeliverySpec{Ref: "1.2.3", Image: "nginx"}
		},
		"ref": func(d *postern.WebhookDelivery) {
			d.Spec.Payload, d.Spec.Ref, d.Spec.Source = nil, "v2.0.0", ""
		},
		"ref with the source generic": func(d *postern.WebhookDelivery) {
			d.Spec.Payload, d.Spec.Ref, d.Spec.Source = nil, "v2.0.0", "generic"
		},
		"most and longest headers": func(d *postern.WebhookDelivery) {
			d.Spec.Headers = headers(maxHeaders)
			d.Spec.Headers["X-0"] = strings.Repeat("a", maxHeaderBytes)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := sent()
			change(d)
			check(t, ValidateNew(d, sources, maxBytes), nil)
		})
	}
}

func TestValidateNew_Refuses(t *testing.T) {
	for name, test := range map[string]rule{
		"a redelivery that the server did not make": {
			func(d *postern.WebhookDelivery) { d.Spec.RedeliveryOf = "release" },
			[]string{"spec.redeliveryOf: Forbidden"},
		},
		"a source that does not exist": {
			func(d *postern.WebhookDelivery) { d.Spec.Source = "unknown" },
			[]string{"spec.source: Unsupported value"},
		},
		"a target of another kind": {
			func(d *postern.WebhookDelivery) { d.Spec.Target.Kind = "Secret" },
			[]string{"spec.target.kind: Unsupported value"},
		},
		"a target without a name": {
			func(d *postern.WebhookDelivery) { d.Spec.Target.Name = "" },
			[]string{"spec.target.name: Required value"},
		},
		"a target whose name no object can have": {
			func(d *postern.WebhookDelivery) { d.Spec.Target.Name = "../secrets/x" },
			[]string{"spec.target.name: Invalid value"},
		},
		"nothing to deliver": {
			func(d *postern.WebhookDelivery) { d.Spec.Payload = nil },
			[]string{"spec: Invalid value"},
		},
		"a payload twice": {
			func(d *postern.WebhookDelivery) { d.Spec.RawPayload = []byte("{}") },
			[]string{"spec: Invalid value"},
		},
		"a payload and a ref": {
			func(d *postern.WebhookDelivery) { d.Spec.Ref = "main" },
			[]string{"spec: Invalid value"},
		},
		"a payload that is too large": {
			func(d *postern.WebhookDelivery) { d.Spec.Payload.Raw = make([]byte, maxBytes+1) },
			[]string{"spec.payload: Too long"},
		},
		"a raw payload that is too large": {
			func(d *postern.WebhookDelivery) { d.Spec.Payload, d.Spec.RawPayload = nil, make([]byte, maxBytes+1) },
			[]string{"spec.rawPayload: Too long"},
		},
		"a ref that git would refuse": {
			func(d *postern.WebhookDelivery) { d.Spec.Payload, d.Spec.Ref, d.Spec.Source = nil, "a..b", "" },
			[]string{"spec.ref: Invalid value"},
		},
		"a ref with the source of a sender": {
			func(d *postern.WebhookDelivery) { d.Spec.Payload, d.Spec.Ref = nil, "main" },
			[]string{"spec.source: Forbidden"},
		},
		"an image without its tag": {
			func(d *postern.WebhookDelivery) { d.Spec.Payload, d.Spec.Image = nil, "nginx" },
			[]string{"spec: Invalid value"},
		},
		"an image and a payload": {
			func(d *postern.WebhookDelivery) { d.Spec.Image = "nginx" },
			[]string{"spec.image: Forbidden"},
		},
		"an image with an invalid name": {
			func(d *postern.WebhookDelivery) {
				d.Spec = postern.WebhookDeliverySpec{Ref: "1.2.3", Image: "Quay.io/Acme"}
			},
			[]string{"spec.image: Invalid value"},
		},
		"an image name with a tag": {
			func(d *postern.WebhookDelivery) { d.Spec = postern.WebhookDeliverySpec{Ref: "1.2.3", Image: "nginx:1"} },
			[]string{"spec.image: Invalid value"},
		},
		"an image with a part of its name in ref": {
			func(d *postern.WebhookDelivery) {
				d.Spec = postern.WebhookDeliverySpec{Ref: "5000/shop:1", Image: "localhost"}
			},
			[]string{"spec.image: Invalid value"},
		},
		"an image with a digest in ref": {
			func(d *postern.WebhookDelivery) {
				d.Spec = postern.WebhookDeliverySpec{Ref: "1@sha256:" + strings.Repeat("a", 64), Image: "nginx"}
			},
			[]string{"spec.image: Invalid value"},
		},
		"an image with the source of a registry": {
			func(d *postern.WebhookDelivery) {
				d.Spec = postern.WebhookDeliverySpec{Source: "docker.io", Ref: "1.2.3", Image: "nginx"}
			},
			[]string{"spec.source: Forbidden"},
		},
		"events": {
			func(d *postern.WebhookDelivery) { d.Spec.Events = []postern.DeliveryEvent{{}} },
			[]string{"spec.events: Forbidden"},
		},
		"too many headers": {
			func(d *postern.WebhookDelivery) { d.Spec.Headers = headers(maxHeaders + 1) },
			[]string{"spec.headers: Too many"},
		},
		"a header that is too long": {
			func(d *postern.WebhookDelivery) { d.Spec.Headers["X-Long"] = strings.Repeat("a", maxHeaderBytes+1) },
			[]string{"spec.headers[X-Long]: Too long"},
		},
		"a header value with a line break": {
			func(d *postern.WebhookDelivery) { d.Spec.Headers["X-Split"] = "a\r\nb: c" },
			[]string{"spec.headers[X-Split]: Invalid value"},
		},
		"a header without a name": {
			func(d *postern.WebhookDelivery) { d.Spec.Headers[""] = "a" },
			[]string{"spec.headers: Invalid value"},
		},
		"a header twice": {
			func(d *postern.WebhookDelivery) { d.Spec.Headers["x-github-event"] = "ping" },
			[]string{"spec.headers[x-github-event]: Duplicate value"},
		},
		"headers that have a token": {
			func(d *postern.WebhookDelivery) {
				d.Spec.Headers = map[string]string{"Authorization": "Bearer s3cret", "x-gitlab-token": "s3cret"}
			},
			[]string{"spec.headers[Authorization]: Forbidden", "spec.headers[x-gitlab-token]: Forbidden"},
		},
		"everything at once": {
			func(d *postern.WebhookDelivery) {
				d.Finalizers = []string{"a b"}
				d.Spec = postern.WebhookDeliverySpec{
					Source:  "unknown",
					Target:  &postern.TargetReference{Kind: "Secret", Name: "A"},
					Ref:     "-rf",
					Headers: map[string]string{"a b": "c", "X-Gitlab-Token": "s3cret"},
					Events:  []postern.DeliveryEvent{{}},
				}
			},
			[]string{
				"metadata.finalizers: Invalid value", "spec.source: Unsupported value", "spec.source: Forbidden",
				"spec.target.kind: Unsupported value", "spec.target.name: Invalid value", "spec.ref: Invalid value",
				"spec.headers: Invalid value", "spec.headers[X-Gitlab-Token]: Forbidden", "spec.events: Forbidden",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := sent()
			test.change(d)
			errs := ValidateNew(d, sources, maxBytes)
			check(t, errs, test.want)
			if text := errs.ToAggregate().Error(); strings.Contains(text, "s3cret") {
				t.Errorf("the secret is in the error: %s", text)
			}
		})
	}
}

func TestValidateNew_ErrorsAreShort(t *testing.T) {
	d := sent()
	d.Spec.Payload, d.Spec.Source = nil, ""
	d.Spec.Ref = strings.Repeat("r", 1<<20)
	d.Spec.Headers = map[string]string{strings.Repeat(" ", 1<<20): "a", "X-Long": strings.Repeat("a", 1<<20)}
	if text := ValidateNew(d, sources, maxBytes).ToAggregate().Error(); len(text) > 1<<10 {
		t.Errorf("the error has %d bytes: %.2000s", len(text), text)
	}
}

func headers(n int) map[string]string {
	h := map[string]string{}
	for i := range n {
		h[fmt.Sprintf("X-%d", i)] = "a"
	}
	return h
}
