// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package webhooksource serves the types of sender as read-only objects, so that people find with kubectl what can be
// delivered to a namespace, how, and whether its secret is there. Nothing is stored. It must not know any sender.
package webhooksource

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"postern.dev/postern/apis/postern"
)

// Describer tells of every type of sender, in order of its name, how it stands in a namespace.
type Describer interface {
	Describe(namespace string) []postern.WebhookSource
}

// REST serves webhooksources.
type REST struct {
	describer Describer
}

// This is exactly what is served.
var (
	_ rest.Scoper               = &REST{}
	_ rest.SingularNameProvider = &REST{}
	_ rest.Getter               = &REST{}
	_ rest.Lister               = &REST{}
)

// NewREST returns the storage behind the webhooksources resource.
func NewREST(describer Describer) *REST { return &REST{describer} }

// New returns an empty object.
func (r *REST) New() runtime.Object { return &postern.WebhookSource{} }

// NewList returns an empty list.
func (r *REST) NewList() runtime.Object { return &postern.WebhookSourceList{} }

// Destroy has nothing to release.
func (r *REST) Destroy() {}

// NamespaceScoped tells that senders are described for a namespace.
func (r *REST) NamespaceScoped() bool { return true }

// GetSingularName returns the singular resource name.
func (r *REST) GetSingularName() string { return "webhooksource" }

// Get describes one type of sender.
func (r *REST) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	for _, source := range r.describer.Describe(genericapirequest.NamespaceValue(ctx)) {
		if source.Name == name {
			return &source, nil
		}
	}
	return nil, apierrors.NewNotFound(postern.Resource("webhooksources"), name)
}

// List describes all. A selector works on names; a list over all namespaces is refused, since there is nothing to list
// where nobody asks.
func (r *REST) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	namespace := genericapirequest.NamespaceValue(ctx)
	if namespace == "" {
		return nil, apierrors.NewBadRequest("webhooksources tell how senders stand in one namespace: name it")
	}
	list := &postern.WebhookSourceList{Items: []postern.WebhookSource{}} // never null in JSON
	for _, source := range r.describer.Describe(namespace) {
		if matchesOptions(&source, options) {
			list.Items = append(list.Items, source)
		}
	}
	return list, nil
}

func matchesOptions(source *postern.WebhookSource, options *internalversion.ListOptions) bool {
	if options == nil {
		return true
	}
	if s := options.LabelSelector; s != nil && !s.Matches(labels.Set(source.Labels)) {
		return false
	}
	s := options.FieldSelector
	return s == nil || s.Matches(fields.Set{"metadata.name": source.Name, "metadata.namespace": source.Namespace})
}

var columns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Type of the sender."},
	{Name: "Requests", Type: "string", Description: "What it asks for."},
	{Name: "Methods", Type: "string", Description: "How it can prove itself."},
	{Name: "Secret", Type: "boolean", Description: "Whether the namespace holds a secret for it."},
	{Name: "Path", Type: "string", Priority: 1, Description: "Where to point it, below the kube-apiserver's address."},
	{Name: "Keys", Type: "string", Priority: 1, Description: "Keys of the Secret postern-webhook-secrets that count for it."},
}

// ConvertToTable makes the columns for kubectl get.
func (r *REST) ConvertToTable(_ context.Context, obj, options runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	if opt, ok := options.(*metav1.TableOptions); !ok || !opt.NoHeaders {
		table.ColumnDefinitions = columns
	}
	switch obj := obj.(type) {
	case *postern.WebhookSource:
		table.Rows = append(table.Rows, row(obj))
	case *postern.WebhookSourceList:
		for i := range obj.Items {
			table.Rows = append(table.Rows, row(&obj.Items[i]))
		}
	default:
		return nil, fmt.Errorf("could not make a table of a %T", obj)
	}
	return table, nil
}

func row(s *postern.WebhookSource) metav1.TableRow {
	return metav1.TableRow{
		Cells: []any{
			s.Name, s.Status.Requests, strings.Join(s.Status.Methods, ","), s.Status.HasSecret,
			s.Status.Path, strings.Join(s.Status.SecretKeys, ","),
		},
		Object: runtime.RawExtension{Object: s},
	}
}
