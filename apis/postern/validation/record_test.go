// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"slices"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern"
)

// Admission policies may have broken a delivery, so the rules for records also apply after admission.
func TestValidateRecord_AndValidateAdmitted(t *testing.T) {
	event := func(change func(*postern.DeliveryEvent)) func(*postern.WebhookDelivery) {
		return func(d *postern.WebhookDelivery) { change(&d.Spec.Events[1]) }
	}
	image := func(change func(*postern.DeliveryEvent)) func(*postern.WebhookDelivery) {
		return event(func(e *postern.DeliveryEvent) {
			*e = postern.DeliveryEvent{Source: "quay.io", Event: "push", Ref: "1.2.3", RefType: postern.RefTypeImage,
				Image: &postern.ImageReference{Host: "quay.io", Repository: "acme/shop", Tag: "1.2.3"}}
			change(e)
		})
	}
	digest := "sha256:" + strings.Repeat("a", 64)
	long := strings.Repeat("a", maxFieldBytes+1)
	for name, test := range map[string]rule{
		"sound":     {func(*postern.WebhookDelivery) {}, nil},
		"no events": {func(d *postern.WebhookDelivery) { d.Spec.Events = []postern.DeliveryEvent{} }, nil},
		"an image":  {image(func(*postern.DeliveryEvent) {}), nil},
		"an image whose tag and ref a policy rewrote": {
			image(func(e *postern.DeliveryEvent) { e.Image.Tag, e.Ref = "1.2.4", "1.2.4" }), nil,
		},
		"an image by its digest": {
			image(func(e *postern.DeliveryEvent) { e.Image.Tag, e.Image.Digest, e.Ref = "", digest, digest }), nil,
		},
		"an image of which a policy rewrote only the tag": {
			image(func(e *postern.DeliveryEvent) { e.Image.Tag = "1.2.4" }),
			[]string{"spec.events[1].ref: Invalid value"},
		},
		"an image of which a policy rewrote only the ref": {
			image(func(e *postern.DeliveryEvent) { e.Ref = "1.2.4" }), []string{"spec.events[1].ref: Invalid value"},
		},
		"an image without tag and digest": {
			image(func(e *postern.DeliveryEvent) { e.Image.Tag, e.Ref = "", "" }),
			[]string{"spec.events[1].ref: Required value"},
		},
		"an image that is not named in full": {
			image(func(e *postern.DeliveryEvent) { e.Image.Host, e.Image.Repository = "docker.io", "nginx" }),
			[]string{"spec.events[1].image: Invalid value"},
		},
		"an image with an invalid tag": {
			image(func(e *postern.DeliveryEvent) { e.Image.Tag, e.Ref = "-rf", "-rf" }),
			[]string{"spec.events[1].image: Invalid value"},
		},
		"an image with the type of a git tag": {
			image(func(e *postern.DeliveryEvent) { e.RefType = postern.RefTypeTag }),
			[]string{"spec.events[1].refType: Invalid value"},
		},
		"the tag of an image without the image": {
			image(func(e *postern.DeliveryEvent) { e.Image = nil }), []string{"spec.events[1].refType: Invalid value"},
		},
		"an event without a source": {
			event(func(e *postern.DeliveryEvent) { e.Source = "" }),
			[]string{"spec.events[1].source: Required value"},
		},
		"a ref that git would refuse": {
			event(func(e *postern.DeliveryEvent) { e.Ref = "refs/heads/main" }),
			[]string{"spec.events[1].ref: Invalid value"},
		},
		"no ref": {
			event(func(e *postern.DeliveryEvent) { e.Ref = "" }),
			[]string{"spec.events[1].ref: Invalid value"},
		},
		"a ref of an unknown type": {
			event(func(e *postern.DeliveryEvent) { e.RefType = "Note" }),
			[]string{"spec.events[1].refType: Unsupported value"},
		},
		"fields that are too long": {
			event(func(e *postern.DeliveryEvent) {
				e.Source, e.Event, e.Repository, e.Revision, e.DeliveryID = long, long, long, long, long
			}),
			[]string{
				"spec.events[1].source: Too long", "spec.events[1].event: Too long",
				"spec.events[1].repository: Too long",
				"spec.events[1].revision: Too long", "spec.events[1].deliveryID: Too long",
			},
		},
		"the most changed files": {event(func(e *postern.DeliveryEvent) {
			e.ChangedFiles = slices.Repeat([]string{"sixteen-bytes.go"}, postern.MaxChangedFiles)
		}), nil},
		"the longest changed files": {event(func(e *postern.DeliveryEvent) {
			e.ChangedFiles = []string{strings.Repeat("a", postern.MaxChangedFilesBytes)}
		}), nil},
		"too many changed files": {
			event(func(e *postern.DeliveryEvent) {
				e.ChangedFiles = slices.Repeat([]string{"a"}, postern.MaxChangedFiles+1)
			}),
			[]string{"spec.events[1].changedFiles: Too many"},
		},
		"changed files that are too long together": {
			event(func(e *postern.DeliveryEvent) {
				e.ChangedFiles = []string{strings.Repeat("a", postern.MaxChangedFilesBytes), "b"}
			}),
			[]string{"spec.events[1].changedFiles: Too long"},
		},
		"a changed file outside of the repository": {
			event(func(e *postern.DeliveryEvent) { e.ChangedFiles = []string{"a", "../b"} }),
			[]string{"spec.events[1].changedFiles[1]: Invalid value"},
		},
		"changed files that are not all": {
			event(func(e *postern.DeliveryEvent) { e.ChangedFiles, e.ChangedFilesTruncated = []string{"a"}, true }),
			[]string{"spec.events[1].changedFilesTruncated: Invalid value"},
		},
		"changed files of all events that are too long": {
			func(d *postern.WebhookDelivery) {
				e := d.Spec.Events[0]
				e.ChangedFiles = []string{strings.Repeat("a", postern.MaxChangedFilesBytes)}
				d.Spec.Events = slices.Repeat([]postern.DeliveryEvent{e}, 16)
			},
			[]string{"spec.events: Too long"},
		},
		"too many events": {
			func(d *postern.WebhookDelivery) {
				for len(d.Spec.Events) <= postern.MaxEvents {
					d.Spec.Events = append(d.Spec.Events, d.Spec.Events[0])
				}
			},
			[]string{"spec.events: Too many"},
		},
		"events that are too long together": {
			func(d *postern.WebhookDelivery) {
				for range 64 {
					e := d.Spec.Events[0]
					e.DeliveryID = strings.Repeat("x", maxFieldBytes)
					d.Spec.Events = append(d.Spec.Events, e)
				}
			},
			[]string{"spec.events: Too long"},
		},
		"several things": {
			func(d *postern.WebhookDelivery) {
				d.Finalizers = []string{"a b"}
				d.Spec.Events[0].Ref = "-rf"
				d.Spec.Events[1] = postern.DeliveryEvent{Ref: "main", RefType: "Note"}
			},
			[]string{
				"metadata.finalizers: Invalid value", "spec.events[0].ref: Invalid value",
				"spec.events[1].source: Required value", "spec.events[1].refType: Unsupported value",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := received()
			test.change(d)
			check(t, ValidateRecord(d), test.want)
			check(t, ValidateAdmitted(d, received()), test.want)
		})
	}
}

// These are errors of the server, not of the client.
func TestValidateRecord_RefusesPayloadsAndSecrets(t *testing.T) {
	for name, test := range map[string]rule{
		"payload": {
			func(d *postern.WebhookDelivery) { d.Spec.Payload = &postern.JSON{Raw: []byte("{}")} },
			[]string{"spec: Internal error"},
		},
		"raw payload": {
			func(d *postern.WebhookDelivery) { d.Spec.RawPayload = []byte("{}") },
			[]string{"spec: Internal error"},
		},
		"secret headers": {
			func(d *postern.WebhookDelivery) {
				d.Spec.Headers = map[string]string{"Authorization": "s3cret", "X-Hub-Signature-256": "s3cret"}
			},
			[]string{"spec.headers[Authorization]: Internal error",
				"spec.headers[X-Hub-Signature-256]: Internal error"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := received()
			test.change(d)
			errs := ValidateRecord(d)
			check(t, errs, test.want)
			if text := errs.ToAggregate().Error(); strings.Contains(text, "s3cret") {
				t.Errorf("the secret is in the error: %s", text)
			}
		})
	}
}

func TestValidateAdmitted_MutableFields(t *testing.T) {
	for name, test := range map[string]rule{
		"a ref":           {func(d *postern.WebhookDelivery) { d.Spec.Events[0].Ref = "production" }, nil},
		"all events gone": {func(d *postern.WebhookDelivery) { d.Spec.Events = nil }, nil},
		"a label":         {func(d *postern.WebhookDelivery) { d.Labels = map[string]string{"team": "a"} }, nil},
		"an annotation": {func(d *postern.WebhookDelivery) { d.Annotations = map[string]string{"why": "because"} },
			nil},
		"the source": {func(d *postern.WebhookDelivery) { d.Spec.Source = "generic" },
			[]string{"spec: Forbidden"}},
		"the target": {func(d *postern.WebhookDelivery) { d.Spec.Target.Name = "other" },
			[]string{"spec: Forbidden"}},
		"the headers": {func(d *postern.WebhookDelivery) { d.Spec.Headers = nil }, []string{"spec: Forbidden"}},
		"the sender": {func(d *postern.WebhookDelivery) { d.Status.Sender.Name = "admin" },
			[]string{"status: Forbidden"}},
		"the name": {func(d *postern.WebhookDelivery) { d.Name = "other" }, []string{"metadata: Forbidden"}},
		"the generateName": {func(d *postern.WebhookDelivery) { d.GenerateName = "other-" },
			[]string{"metadata: Forbidden"}},
		"the namespace": {func(d *postern.WebhookDelivery) { d.Namespace = "other" },
			[]string{"metadata: Forbidden"}},
		"everything": {
			func(d *postern.WebhookDelivery) {
				d.Name, d.Spec.Ref, d.Status.Phase, d.Spec.Events[0].Ref = "other", "main", postern.DeliveryApplied,
					"-rf"
			},
			[]string{"metadata: Forbidden", "spec: Forbidden", "status: Forbidden",
				"spec.events[0].ref: Invalid value"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := received()
			test.change(d)
			check(t, ValidateAdmitted(d, received()), test.want)
		})
	}
}
