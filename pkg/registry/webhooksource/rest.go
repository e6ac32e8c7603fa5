// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package webhooksource serves the types of sender as read-only objects, so that users can list with kubectl what can
// be delivered to a namespace, how, and whether it has the secret. It stores nothing.
package webhooksource

import (
	"context"
	"fmt"
	"slices"
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
	// namespaces returns the names of all namespaces.
	namespaces func() ([]string, error)
}

var (
	_ rest.Scoper               = &REST{}
	_ rest.SingularNameProvider = &REST{}
	_ rest.Getter               = &REST{}
	_ rest.Lister               = &REST{}
)

// NewREST returns the storage of webhooksources.
func NewREST(describer Describer, namespaces func() ([]string, error)) *REST {
	return &REST{describer, namespaces}
}

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

// maxUnpaged bounds a list that is not paged, with some 30 MiB.
const maxUnpaged = 50_000

// List returns the types of sender in a namespace, or in all namespaces in the order of their names. Selectors match
// names.
func (r *REST) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	if options == nil {
		options = &internalversion.ListOptions{}
	}
	after, err := parsePosition(options.Continue)
	if err != nil {
		return nil, err
	}
	namespaces, err := r.listedNamespaces(ctx, options, after.namespace)
	if err != nil {
		return nil, err
	}
	list := &postern.WebhookSourceList{Items: []postern.WebhookSource{}} // never null in JSON
	for _, namespace := range namespaces {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, source := range after.rest(r.describer.Describe(namespace)) {
			switch {
			case !matchesOptions(&source, options):
			case options.Limit > 0 && int64(len(list.Items)) == options.Limit:
				list.Continue = positionOf(&list.Items[len(list.Items)-1])
				return list, nil
			case len(list.Items) == maxUnpaged:
				return nil, apierrors.NewBadRequest(fmt.Sprintf(
					"the list has more than %d items: set limit, or select a namespace", maxUnpaged))
			default:
				list.Items = append(list.Items, source)
			}
		}
	}
	return list, nil
}

// listedNamespaces returns the selected namespaces from first on, in order.
func (r *REST) listedNamespaces(
	ctx context.Context, options *internalversion.ListOptions, first string,
) ([]string, error) {
	if namespace := genericapirequest.NamespaceValue(ctx); namespace != metav1.NamespaceAll {
		return []string{namespace}, nil
	}
	namespaces, err := r.namespaces()
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("could not list the namespaces: %w", err))
	}
	selected := fields.Everything()
	if options.FieldSelector != nil {
		selected = options.FieldSelector
	}
	only, exact := selected.RequiresExactMatch("metadata.namespace")
	namespaces = slices.DeleteFunc(namespaces, func(name string) bool { return name < first || exact && name != only })
	slices.Sort(namespaces)
	return namespaces, nil
}

// position is the last item of the page before.
type position struct{ namespace, name string }

func positionOf(source *postern.WebhookSource) string { return source.Namespace + "/" + source.Name }

func parsePosition(token string) (position, error) {
	namespace, name, ok := strings.Cut(token, "/")
	if token != "" && !ok {
		return position{}, apierrors.NewBadRequest("the continue token is not valid: list from the start")
	}
	return position{namespace, name}, nil
}

// rest returns the sources of one namespace after the position.
func (p position) rest(sources []postern.WebhookSource) []postern.WebhookSource {
	isLast := func(s postern.WebhookSource) bool { return s.Namespace == p.namespace && s.Name == p.name }
	return sources[slices.IndexFunc(sources, isLast)+1:]
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
		table.ListMeta = obj.ListMeta // kubectl reads on from there
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
