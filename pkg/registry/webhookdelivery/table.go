// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"

	"postern.dev/postern/apis/postern"
)

// tableConvertor creates the columns of `kubectl get webhookdeliveries`.
type tableConvertor struct{}

// Columns with priority 1 are only shown by -o wide.
var columns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Name of the delivery."},
	{Name: "Source", Type: "string", Description: "Type of the sender."},
	{Name: "Target", Type: "string", Description: "Object that the delivery is for, or the number of objects."},
	{Name: "Ref", Type: "string", Description: "What was requested: a git ref, or an image."},
	{Name: "Phase", Type: "string", Description: "Outcome of the delivery."},
	{Name: "Age", Type: "string", Description: "Time since it was delivered."},
	{Name: "Sender", Type: "string", Priority: 1, Description: "User name of the request in the cluster."},
	{Name: "Method", Type: "string", Priority: 1, Description: "How the sender was authenticated."},
	{Name: "Reason", Type: "string", Priority: 1, Description: "Reason for the phase."},
}

// ConvertToTable converts a delivery or a list of deliveries.
func (tableConvertor) ConvertToTable(_ context.Context, obj, options runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	if opt, ok := options.(*metav1.TableOptions); !ok || !opt.NoHeaders {
		table.ColumnDefinitions = columns
	}
	switch obj := obj.(type) {
	case *postern.WebhookDelivery:
		table.ResourceVersion = obj.ResourceVersion
		table.Rows = append(table.Rows, row(obj))
	case *postern.WebhookDeliveryList:
		table.ListMeta = obj.ListMeta
		for i := range obj.Items {
			table.Rows = append(table.Rows, row(&obj.Items[i]))
		}
	default:
		return nil, fmt.Errorf("could not make a table of a %T", obj)
	}
	return table, nil
}

func row(d *postern.WebhookDelivery) metav1.TableRow {
	var sender postern.Sender
	if d.Status.Sender != nil {
		sender = *d.Status.Sender
	}
	return metav1.TableRow{
		Cells: []any{
			d.Name, d.Spec.Source, targetCell(d), refCell(d.Spec.Events), string(d.Status.Phase),
			age(d.CreationTimestamp),
			sender.Name, sender.Method, d.Status.Reason,
		},
		Object: runtime.RawExtension{Object: d},
	}
}

func age(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t.Time))
}

// targetCell returns the target of a delivery: the object that it names, or the objects found for it, by name if there
// is one, otherwise by number. Skipped objects are used only if there are no others.
func targetCell(d *postern.WebhookDelivery) string {
	if t := d.Spec.Target; t != nil {
		return objectCell(t.Kind, t.Name)
	}
	var objects, all []string
	for _, t := range d.Status.Targets {
		object := objectCell(t.Kind, t.Name)
		all = append(all, object)
		if t.Result != postern.TargetSkipped {
			objects = append(objects, object)
		}
	}
	if len(objects) == 0 {
		objects = all
	}
	slices.Sort(objects) // an object is listed once per ref
	switch objects = slices.Compact(objects); len(objects) {
	case 0:
		return ""
	case 1:
		return objects[0]
	}
	return fmt.Sprintf("%d targets", len(objects))
}

func objectCell(kind postern.TargetKind, name string) string {
	return strings.ToLower(string(kind)) + "/" + name
}

// maxRefs is how many refs a cell shows; a delivery may have hundreds.
const maxRefs = 3

// refCell returns the requested refs: main, or library/nginx:1.2.3. A repository is omitted if it repeats the previous
// one.
func refCell(events []postern.DeliveryEvent) string {
	var refs []string
	repository := ""
	for _, e := range events {
		ref := e.Ref
		if e.Image != nil {
			ref = imageCell(e.Image)
			if name := repositoryCell(e.Image); name == repository {
				ref = strings.TrimPrefix(ref, name+":")
			} else {
				repository = name
			}
		} else {
			repository = ""
		}
		refs = append(refs, ref)
	}
	if more := len(refs) - maxRefs; more > 0 {
		refs = append(refs[:maxRefs], fmt.Sprintf("+%d", more))
	}
	return strings.Join(refs, ",")
}

func imageCell(image *postern.ImageReference) string {
	switch {
	case image.Tag != "":
		return repositoryCell(image) + ":" + image.Tag
	case image.Digest != "":
		return repositoryCell(image) + "@" + image.Digest
	}
	return repositoryCell(image)
}

// repositoryCell omits the default host, docker.io.
func repositoryCell(image *postern.ImageReference) string {
	if image.Host == "" || image.Host == "docker.io" {
		return image.Repository
	}
	return image.Host + "/" + image.Repository
}
