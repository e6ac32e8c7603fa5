// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/install"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/apiserver/filters"
)

// redeliverFixture is the endpoint webhookdeliveries/github-x/redeliver in the namespace demo, with fakes behind it.
type redeliverFixture struct {
	// Errors of Get and Redeliver.
	getErr, err error
	// record is returned by Get; nil is a record without a target.
	record *postern.WebhookDelivery
	// refused denies the delivery to the target; authorizeErr fails the authorization.
	refused      bool
	authorizeErr error
	attributes   authorizer.Attributes

	asked     []string // requested records
	original  *postern.WebhookDelivery
	sender    user.Info
	namespace string
	dryRun    bool
}

func (a *redeliverFixture) Get(_ context.Context, namespace, name string) (*postern.WebhookDelivery, error) {
	a.asked = append(a.asked, namespace+"/"+name)
	if a.getErr != nil {
		return nil, a.getErr
	}
	record := &postern.WebhookDelivery{}
	if a.record != nil {
		record = a.record.DeepCopy()
	}
	record.Namespace, record.Name = namespace, name
	return record, nil
}

func (a *redeliverFixture) Authorize(
	_ context.Context, right authorizer.Attributes,
) (authorizer.Decision, string, error) {
	a.attributes = right
	if a.refused || a.authorizeErr != nil {
		return authorizer.DecisionNoOpinion, "", a.authorizeErr
	}
	return authorizer.DecisionAllow, "", nil
}

func (a *redeliverFixture) Redeliver(
	ctx context.Context, original *postern.WebhookDelivery, sender user.Info, dryRun bool,
) (*postern.WebhookDelivery, error) {
	a.original, a.sender, a.dryRun, a.namespace = original, sender, dryRun, genericapirequest.NamespaceValue(ctx)
	if a.err != nil {
		return &postern.WebhookDelivery{}, a.err
	}
	d := &postern.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "github-y"}}
	d.Spec.RedeliveryOf, d.Spec.Events = original.Name, []postern.DeliveryEvent{}
	d.Status.Phase = postern.DeliveryPending
	return d, nil
}

// post sends the request of jane or of an anonymous caller.
func (a *redeliverFixture) post(t *testing.T, query string, anonymous bool) *httptest.ResponseRecorder {
	t.Helper()
	scheme := runtime.NewScheme()
	install.Install(scheme)
	storage := NewRedeliverREST(a, a, serializer.NewCodecFactory(scheme).LegacyCodec(v1alpha1.SchemeGroupVersion),
		authorizer.AuthorizerFunc(a.Authorize))
	handler, err := storage.Connect(genericapirequest.WithNamespace(t.Context(), "demo"), "github-x", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/"+query, nil)
	req.Header.Set("Accept", "text/plain")
	ctx := genericapirequest.WithRequestInfo(req.Context(), &genericapirequest.RequestInfo{Subresource: "redeliver"})
	if !anonymous {
		ctx = genericapirequest.WithUser(ctx, &user.DefaultInfo{Name: "jane", Groups: []string{user.AllAuthenticated}})
	}
	w := httptest.NewRecorder()
	filters.WithDryRun(handler).ServeHTTP(w, req.WithContext(ctx))
	return w
}

func TestRedeliverREST_AnswersNewDelivery(t *testing.T) {
	a := &redeliverFixture{}
	w := a.post(t, "", false)
	want := `{"kind":"WebhookDelivery","apiVersion":"postern.dev/v1alpha1",` +
		`"metadata":{"name":"github-y","namespace":"demo"},` +
		`"spec":{"redeliveryOf":"github-x","events":[]},"status":{"phase":"Pending"}}` + "\n"
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if got := w.Header().Get("Content-Type"); w.Code != http.StatusAccepted || got != "application/json" {
		t.Errorf("got %d, %s; want 202, JSON", w.Code, got)
	}
	if diff := cmp.Diff([]string{"demo/github-x"}, a.asked); diff != "" {
		t.Errorf("requested records (-want +got):\n%s", diff)
	}
	if a.original.Name != "github-x" || a.sender.GetName() != "jane" || a.dryRun || a.namespace != "demo" {
		t.Errorf("redelivered %s for %s in %q, dry run %t", a.original.Name, a.sender.GetName(), a.namespace, a.dryRun)
	}
}

// Anonymous callers must not learn whether a record exists.
func TestRedeliverREST_NoLookupWithoutIdentity(t *testing.T) {
	a := &redeliverFixture{}
	if code := a.post(t, "", true).Code; code != http.StatusUnauthorized || a.original != nil || a.asked != nil {
		t.Errorf("got %d, requested records %v, redelivered %v; want only 401", code, a.asked, a.original)
	}
}

func TestRedeliverREST_DryRun(t *testing.T) {
	for query, want := range map[string]struct {
		code   int
		dryRun bool
	}{
		"":                      {http.StatusAccepted, false},
		"?dryRun=All":           {http.StatusAccepted, true},
		"?dryRun=all":           {http.StatusBadRequest, false},
		"?dryRun=All&dryRun=No": {http.StatusBadRequest, false},
	} {
		a := &redeliverFixture{}
		if got := a.post(t, query, false).Code; got != want.code || a.dryRun != want.dryRun {
			t.Errorf("%q: got %d, dry run %t; want %d, %t", query, got, a.dryRun, want.code, want.dryRun)
		}
		if done := a.original != nil; done != (want.code == http.StatusAccepted) {
			t.Errorf("%q: redelivered: %t", query, done)
		}
	}
}

func TestRedeliverREST_ErrorsAreStatus(t *testing.T) {
	unavailable := apierrors.NewServiceUnavailable("send it again")
	unavailable.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 7}
	for name, test := range map[string]struct {
		again      redeliverFixture
		code       int
		reason     metav1.StatusReason
		retryAfter string
		done       bool
	}{
		"no such record": {
			redeliverFixture{getErr: apierrors.NewNotFound(postern.Resource("webhookdeliveries"), "github-x")},
			http.StatusNotFound, "NotFound", "", false},
		"no storage": {redeliverFixture{getErr: errors.New("etcd is gone")}, http.StatusInternalServerError,
			"", "", false},
		"an anonymous caller": {redeliverFixture{err: apierrors.NewUnauthorized("who are you")},
			http.StatusUnauthorized, "Unauthorized", "", true},
		"asked for none": {redeliverFixture{err: apierrors.NewBadRequest("nothing")}, http.StatusBadRequest,
			"BadRequest", "", true},
		"no right to deliver": {redeliverFixture{refused: true}, http.StatusForbidden, "Forbidden", "", false},
		"right not known": {redeliverFixture{authorizeErr: errors.New("connection refused")},
			http.StatusServiceUnavailable, "ServiceUnavailable", "5", false},
		"can't record it": {redeliverFixture{err: unavailable}, http.StatusServiceUnavailable, "ServiceUnavailable",
			"7", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := test.again.post(t, "", false)
			var status metav1.Status
			if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil {
				t.Fatalf("%v: %q", err, w.Body)
			}
			if w.Code != test.code || status.Reason != test.reason || status.Kind != "Status" ||
				w.Header().Get("Retry-After") != test.retryAfter {
				t.Errorf("got %d, Retry-After %q, %+v", w.Code, w.Header().Get("Retry-After"), status)
			}
			if done := test.again.original != nil; done != test.done {
				t.Errorf("redelivered: %t, want %t", done, test.done)
			}
		})
	}
}

// Without a namespace, the record of another one could be found.
func TestRedeliverREST_NeedsNamespace(t *testing.T) {
	storage := NewRedeliverREST(nil, nil, nil, nil)
	if _, err := storage.Connect(t.Context(), "github-x", nil, nil); !apierrors.IsInternalError(err) {
		t.Errorf("got %v, want an internal error", err)
	}
}

func TestRedeliverREST_POSTOnly(t *testing.T) {
	r := NewRedeliverREST(nil, nil, nil, nil)
	if diff := cmp.Diff([]string{"POST"}, r.ConnectMethods()); diff != "" {
		t.Errorf("methods (-want +got):\n%s", diff)
	}
	if _, ok := r.ProducesObject("POST").(v1alpha1.WebhookDelivery); !ok {
		t.Errorf("documented as %T", r.ProducesObject("POST"))
	}
	if _, ok := r.New().(*postern.WebhookDelivery); !ok {
		t.Errorf("got the kind of %T", r.New())
	}
}

// The required permission is the one for a first delivery at the same endpoint.
func TestRedeliverREST_AuthorizesTargetEndpoint(t *testing.T) {
	to := func(kind postern.TargetKind, name string) *postern.WebhookDelivery {
		return &postern.WebhookDelivery{
			Spec: postern.WebhookDeliverySpec{Source: "github",
				Target: &postern.TargetReference{Kind: kind, Name: name}}}
	}
	for want, record := range map[string]*postern.WebhookDelivery{
		"gatewaysyncs/plant":  to(postern.TargetGatewaySync, "plant"),
		"applications/shop":   to(postern.TargetApplication, "shop"),
		"webhooksources/quay": {Spec: postern.WebhookDeliverySpec{Source: "quay"}},
	} {
		a := &redeliverFixture{record: record, refused: true}
		w := a.post(t, "", false)
		got := a.attributes
		if got.GetResource()+"/"+got.GetName() != want || got.GetVerb() != "create" ||
			got.GetSubresource() != "webhookdeliveries" ||
			got.GetAPIGroup() != "postern.dev" || got.GetNamespace() != "demo" || got.GetUser().GetName() != "jane" ||
			!got.IsResourceRequest() {
			t.Errorf("%s: authorized %+v", want, got)
		}
		resource, name, _ := strings.Cut(want, "/")
		missing := fmt.Sprintf(`user \"jane\" must be allowed to create %s/webhookdeliveries named \"%s\"`, resource,
			name)
		if !strings.Contains(w.Body.String(), missing) {
			t.Errorf("%s: got %s, want it to contain %s", want, w.Body, missing)
		}
	}
}
