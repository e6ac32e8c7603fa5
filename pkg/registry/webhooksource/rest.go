// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package webhooksource serves the types of sender as read-only objects, so that users can list with kubectl what can
// be delivered to a namespace, how, and whether it has the secret. It stores nothing.
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
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
)

// Describer describes all types of sender in a namespace, sorted by name.
type Describer interface {
	Describe(namespace string) []postern.WebhookSource
}

// Senders describes the types of sender that pkg/payload has.
type Senders struct {
	Verifier *credential.Verifier
}

// Describe returns the types of sender as configured in a namespace.
func (s Senders) Describe(namespace string) []postern.WebhookSource {
	var described []postern.WebhookSource
	for _, sender := range payload.Senders() {
		methods := s.Verifier.MethodsFor(namespace, sender.Name)
		source := postern.WebhookSource{Status: postern.WebhookSourceStatus{
			Requests:   sender.Requests,
			Methods:    methods.Methods,
			SecretKeys: methods.Keys,
			HasSecret:  methods.HasSecret,
			Path: fmt.Sprintf("/apis/%s/namespaces/%s/webhooksources/%s/webhookdeliveries",
				v1alpha1.SchemeGroupVersion, namespace, sender.Name),
		}}
		source.Name, source.Namespace = sender.Name, namespace
		described = append(described, source)
	}
	return described
}

// REST serves webhooksources.
type REST struct {
	describer Describer
}

var (
	_ rest.Scoper               = &REST{}
	_ rest.SingularNameProvider = &REST{}
	_ rest.Getter               = &REST{}
	_ rest.Lister               = &REST{}
)

// NewREST returns the storage of webhooksources.
func NewREST(describer Describer) *REST { return &REST{describer} }

// New returns an empty object.
func (r *REST) New() runtime.Object { return &postern.WebhookSource{} }

// NewList returns an empty list.
func (r *REST) NewList() runtime.Object { return &postern.WebhookSourceList{} }

// Destroy does nothing.
func (r *REST) Destroy() {}

// NamespaceScoped returns true: senders are described per namespace.
func (r *REST) NamespaceScoped() bool { return true }

// GetSingularName returns the singular resource name.
func (r *REST) GetSingularName() string { return "webhooksource" }

// Get returns one type of sender.
func (r *REST) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	for _, source := range r.describer.Describe(genericapirequest.NamespaceValue(ctx)) {
		if source.Name == name {
			return &source, nil
		}
	}
	return nil, apierrors.NewNotFound(postern.Resource("webhooksources"), name)
}

// List returns all types of sender in a namespace. Selectors match names. A list of all namespaces is rejected, because
// types of sender are described only for a given namespace.
func (r *REST) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	namespace := genericapirequest.NamespaceValue(ctx)
	if namespace == "" {
		return nil, apierrors.NewBadRequest("webhooksources are listed per namespace: give one")
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
	{Name: "Requests", Type: "string", Description: "What it delivers."},
	{Name: "Methods", Type: "string", Description: "Authentication methods it supports."},
	{Name: "Secret", Type: "boolean", Description: "Whether the namespace has a secret for it."},
	{Name: "Path", Type: "string", Priority: 1, Description: "Path to deliver to, on the kube-apiserver."},
	{Name: "Keys", Type: "string", Priority: 1,
		Description: "Keys of the Secret postern-webhook-secrets that it uses."},
}

// ConvertToTable returns the columns for kubectl get.
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
