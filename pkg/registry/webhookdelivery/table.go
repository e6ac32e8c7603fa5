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

// tableConvertor makes the columns that `kubectl get webhookdeliveries` shows.
type tableConvertor struct{}

// Columns with priority 1 are shown by -o wide only.
var columns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Name of the delivery."},
	{Name: "Source", Type: "string", Description: "Type of the sender."},
	{Name: "Target", Type: "string", Description: "The object that the delivery is for, or how many there are."},
	{Name: "Ref", Type: "string", Description: "What was requested: a git ref, or an image."},
	{Name: "Phase", Type: "string", Description: "What came of it."},
	{Name: "Age", Type: "string", Description: "Time since it was delivered."},
	{Name: "Sender", Type: "string", Priority: 1, Description: "User name that the cluster gave the request."},
	{Name: "Method", Type: "string", Priority: 1, Description: "What proved the sender."},
	{Name: "Reason", Type: "string", Priority: 1, Description: "Why the phase is what it is."},
}

// ConvertToTable makes a table of a delivery or a list of deliveries.
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
			d.Name, d.Spec.Source, targetCell(d), refCell(d.Spec.Events), string(d.Status.Phase), age(d.CreationTimestamp),
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

// targetCell tells where a delivery went: to the object that it names, or else to those that were found for it, of which
// one is named and more are counted. Those that did not want it count only if no other did.
func targetCell(d *postern.WebhookDelivery) string {
	if t := d.Spec.Target; t != nil {
		return objectCell(t.Kind, t.Name)
	}
	var wanted, all []string
	for _, t := range d.Status.Targets {
		object := objectCell(t.Kind, t.Name)
		all = append(all, object)
		if t.Result != postern.TargetSkipped {
			wanted = append(wanted, object)
		}
	}
	if len(wanted) == 0 {
		wanted = all
	}
	slices.Sort(wanted) // each may be there several times, once for each ref
	switch wanted = slices.Compact(wanted); len(wanted) {
	case 0:
		return ""
	case 1:
		return wanted[0]
	}
	return fmt.Sprintf("%d targets", len(wanted))
}

func objectCell(kind postern.TargetKind, name string) string {
	return strings.ToLower(string(kind)) + "/" + name
}

// maxRefs is how many refs a cell shows; one delivery may ask for hundreds.
const maxRefs = 3

// refCell tells what was requested: main, or library/nginx:1.2.3. Tags of one repository that follow each other share
// its name.
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

// repositoryCell leaves out the host that everybody leaves out.
func repositoryCell(image *postern.ImageReference) string {
	if image.Host == "" || image.Host == "docker.io" {
		return image.Repository
	}
	return image.Host + "/" + image.Repository
}
