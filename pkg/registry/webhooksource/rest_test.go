// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhooksource

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
)

// describer describes two senders.
type describer struct{}

func (describer) Describe(namespace string) []postern.WebhookSource {
	return []postern.WebhookSource{
		source(namespace, "github", postern.WebhookSourceStatus{
			Requests: "GitRefs", Methods: []string{"HMAC"}, SecretKeys: []string{"webhook.github-secret", "hmac"},
			HasSecret: true, Path: "/github",
		}),
		source(namespace, "harbor",
			postern.WebhookSourceStatus{Requests: "Images", Methods: []string{"ServiceAccount", "Token"}}),
	}
}

// newTestREST returns a storage with two namespaces.
func newTestREST() *REST {
	return NewREST(describer{}, func() ([]string, error) { return []string{"other", "demo"}, nil })
}

func source(namespace, name string, status postern.WebhookSourceStatus) postern.WebhookSource {
	return postern.WebhookSource{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Status: status}
}

func in(t *testing.T, namespace string) context.Context {
	return genericapirequest.WithNamespace(t.Context(), namespace)
}

func TestREST_Get(t *testing.T) {
	storage := newTestREST()
	got, err := storage.Get(in(t, "demo"), "harbor", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&describer{}.Describe("demo")[1], got); diff != "" {
		t.Errorf("source (-want +got):\n%s", diff)
	}
	if _, err := storage.Get(in(t, "demo"), "nobody", nil); !apierrors.IsNotFound(err) {
		t.Errorf("got %v for an unknown sender, want a not found error", err)
	}
}

func TestREST_ListSelectors(t *testing.T) {
	selector := func(f, l string) *internalversion.ListOptions {
		options := &internalversion.ListOptions{}
		var err error
		if options.FieldSelector, err = fields.ParseSelector(f); err != nil {
			t.Fatal(err)
		}
		if options.LabelSelector, err = labels.Parse(l); err != nil {
			t.Fatal(err)
		}
		return options
	}
	for name, test := range map[string]struct {
		options *internalversion.ListOptions
		want    []string
	}{
		"none":                    {nil, []string{"github", "harbor"}},
		"empty ones":              {selector("", ""), []string{"github", "harbor"}},
		"a name":                  {selector("metadata.name=harbor", ""), []string{"harbor"}},
		"the namespace":           {selector("metadata.namespace=demo", ""), []string{"github", "harbor"}},
		"another namespace":       {selector("metadata.namespace=other", ""), []string{}},
		"a label, which none has": {selector("", "team=a"), []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			obj, err := newTestREST().List(in(t, "demo"), test.options)
			if err != nil {
				t.Fatal(err)
			}
			list := obj.(*postern.WebhookSourceList)
			if list.Items == nil {
				t.Error("the items would be null in JSON")
			}
			names := []string{}
			for _, item := range list.Items {
				names = append(names, item.Name)
			}
			if diff := cmp.Diff(test.want, names); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

func listed(t *testing.T, namespace string, options *internalversion.ListOptions) (names []string, next string) {
	t.Helper()
	obj, err := newTestREST().List(in(t, namespace), options)
	if err != nil {
		t.Fatal(err)
	}
	list := obj.(*postern.WebhookSourceList)
	for _, item := range list.Items {
		names = append(names, item.Namespace+"/"+item.Name)
	}
	return names, list.Continue
}

func TestREST_ListAllNamespaces(t *testing.T) {
	all := []string{"demo/github", "demo/harbor", "other/github", "other/harbor"}
	if got, next := listed(t, "", nil); !slices.Equal(got, all) || next != "" {
		t.Errorf("got %v, continue %q; want %v", got, next, all)
	}
	inOther := &internalversion.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.namespace", "other")}
	if got, _ := listed(t, "", inOther); !slices.Equal(got, all[2:]) {
		t.Errorf("got %v, want %v", got, all[2:])
	}
}

func TestREST_ListPages(t *testing.T) {
	for namespace, want := range map[string][]string{
		"":     {"demo/github", "demo/harbor", "other/github", "other/harbor"},
		"demo": {"demo/github", "demo/harbor"},
	} {
		for limit := range int64(6) {
			var got []string
			options := &internalversion.ListOptions{Limit: limit}
			for range want {
				page, next := listed(t, namespace, options)
				if got = append(got, page...); limit > 0 && int64(len(page)) > limit {
					t.Errorf("got a page of %d, want at most %d", len(page), limit)
				}
				if options.Continue = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) || options.Continue != "" {
				t.Errorf("%q, limit %d: got %v, want %v", namespace, limit, got, want)
			}
		}
	}
}

func TestREST_ListRefusesForgedContinue(t *testing.T) {
	_, err := newTestREST().List(in(t, ""), &internalversion.ListOptions{Continue: "forged"})
	if !apierrors.IsBadRequest(err) {
		t.Errorf("got %v, want a bad request", err)
	}
}

func TestREST_ListOfManyMustBePaged(t *testing.T) {
	storage := NewREST(describer{}, func() ([]string, error) { return make([]string, maxUnpaged/2+1), nil })
	if _, err := storage.List(in(t, ""), nil); !apierrors.IsBadRequest(err) {
		t.Errorf("got %v, want a bad request", err)
	}
}

func TestREST_ListNamespacesFailed(t *testing.T) {
	storage := NewREST(describer{}, func() ([]string, error) { return nil, errors.New("not in the cache") })
	if _, err := storage.List(in(t, ""), nil); !apierrors.IsInternalError(err) {
		t.Errorf("got %v, want an internal error", err)
	}
}

func TestREST_Table(t *testing.T) {
	storage := newTestREST()
	list, err := storage.List(in(t, "demo"), nil)
	if err != nil {
		t.Fatal(err)
	}
	list.(*postern.WebhookSourceList).Continue = "demo/harbor"
	table, err := storage.ConvertToTable(t.Context(), list, nil)
	if err != nil {
		t.Fatal(err)
	}
	if table.Continue != "demo/harbor" {
		t.Errorf("kubectl ends after the first page: %+v", table.ListMeta)
	}
	var cells [][]any
	for _, row := range table.Rows {
		cells = append(cells, row.Cells)
	}
	want := [][]any{
		{"github", "GitRefs", "HMAC", true, "/github", "webhook.github-secret,hmac"},
		{"harbor", "Images", "ServiceAccount,Token", false, "", ""},
	}
	if diff := cmp.Diff(want, cells); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
	if len(table.ColumnDefinitions) != len(cells[0]) {
		t.Errorf("%d columns for %d cells", len(table.ColumnDefinitions), len(cells[0]))
	}

	one, err := storage.ConvertToTable(t.Context(), &list.(*postern.WebhookSourceList).Items[0],
		&metav1.TableOptions{NoHeaders: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(one.Rows) != 1 || len(one.ColumnDefinitions) != 0 {
		t.Errorf("got %d rows and %d columns, want one row without headers", len(one.Rows), len(one.ColumnDefinitions))
	}
	if _, err := storage.ConvertToTable(t.Context(), &postern.WebhookDelivery{}, nil); err == nil {
		t.Error("converted another type")
	}
}
