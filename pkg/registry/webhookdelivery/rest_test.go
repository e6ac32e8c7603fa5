// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"postern.dev/postern/apis/postern"
)

func TestREST_CreateExecutes(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		executor := &fakeExecutor{}
		sent := &postern.WebhookDelivery{}
		var validated runtime.Object
		validate := func(_ context.Context, obj runtime.Object) error { validated = obj; return nil }
		created, err := NewREST(nil, executor).Create(t.Context(), sent, validate,
			&metav1.CreateOptions{DryRun: dryRunOption(dryRun)})
		if err != nil {
			t.Fatal(err)
		}
		if got := created.(*postern.WebhookDelivery).Status.Phase; got != postern.DeliveryApplied {
			t.Errorf("got the phase %q, want the record's", got)
		}
		if executor.executed != sent || executor.dryRun != dryRun {
			t.Errorf("executed %p, dry run %t; want %p, %t", executor.executed, executor.dryRun, sent, dryRun)
		}
		if validated == sent {
			t.Error("validating admission could change the executed delivery")
		}
	}
}

func TestREST_CreateDeniedDoesNotExecute(t *testing.T) {
	refusal := errors.New("a policy says no")
	executor := &fakeExecutor{}
	validate := func(context.Context, runtime.Object) error { return refusal }
	_, err := NewREST(nil, executor).Create(t.Context(), &postern.WebhookDelivery{}, validate, &metav1.CreateOptions{})
	if !errors.Is(err, refusal) {
		t.Errorf("got %v, want %v", err, refusal)
	}
	if executor.executed != nil {
		t.Error("the delivery was executed")
	}
}

// After an error, clients would create the object again, which fails under the same name.
func TestREST_CreateFailedAnswersRecord(t *testing.T) {
	failed := &postern.WebhookDelivery{Status: postern.WebhookDeliveryStatus{Phase: postern.DeliveryFailed}}
	for name, test := range map[string]struct {
		recorded *postern.WebhookDelivery
		wantErr  bool
	}{
		"recorded":     {failed, false},
		"not recorded": {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			executor := failingExecutor{test.recorded, errors.New("the target is frozen")}
			got, err := NewREST(nil, executor).Create(byJane(t), &postern.WebhookDelivery{}, nil,
				&metav1.CreateOptions{})
			if (err != nil) != test.wantErr {
				t.Errorf("got error %v, want one: %t", err, test.wantErr)
			}
			if !test.wantErr && got != runtime.Object(failed) {
				t.Errorf("got %v, want the record", got)
			}
		})
	}
}

// A caller authenticated only by a webhook secret may create deliveries, but not read them.
func TestREST_CreateRedactsWithoutIdentity(t *testing.T) {
	recorded := &postern.WebhookDelivery{Status: postern.WebhookDeliveryStatus{
		Phase: postern.DeliveryApplied, Targets: []postern.TargetResult{{Name: "payroll", PreviousRef: "internal"}},
	}}
	for name, tc := range map[string]struct {
		ctx  context.Context
		want int
	}{"jane": {byJane(t), 1}, "anonymous": {t.Context(), 0}} {
		got, err := NewREST(nil, failingExecutor{recorded, nil}).Create(tc.ctx, &postern.WebhookDelivery{}, nil,
			&metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if status := got.(*postern.WebhookDelivery).Status; len(status.Targets) != tc.want ||
			status.Phase != postern.DeliveryApplied {
			t.Errorf("%s: got %+v, want %d targets", name, status, tc.want)
		}
	}
}

// Server-side apply of an object that does not exist creates it, with all that a create does.
func TestREST_ApplyExecutesNewDelivery(t *testing.T) {
	store := newStoreFixture(t, time.Hour)
	ctx := genericapirequest.WithNamespace(byJane(t), "demo")
	applied := func(_ context.Context, _, _ runtime.Object) (runtime.Object, error) {
		d := pending("new")
		d.DeletionTimestamp = new(metav1.Now()) // only the server sets it
		return d, nil
	}
	refusal := errors.New("the user may not create")
	for name, test := range map[string]struct {
		mayCreate error
		force     bool
		want      func(error) bool
	}{
		"apply":             {nil, true, func(err error) bool { return err == nil }},
		"apply, dry run":    {nil, true, func(err error) bool { return err == nil }},
		"another patch":     {nil, false, apierrors.IsNotFound},
		"apply, no creator": {refusal, true, func(err error) bool { return errors.Is(err, refusal) }},
	} {
		executor := &fakeExecutor{}
		validate := func(context.Context, runtime.Object) error { return test.mayCreate }
		dryRun := name == "apply, dry run"
		_, created, err := NewREST(store.Store, executor).Update(ctx, "new",
			rest.DefaultUpdatedObjectInfo(nil, applied), validate, rest.ValidateAllObjectUpdateFunc, test.force,
			&metav1.UpdateOptions{DryRun: dryRunOption(dryRun)})
		if !test.want(err) || created != (err == nil) || (executor.executed != nil) != (err == nil) {
			t.Errorf("%s: created %t, executed %v, error %v", name, created, executor.executed, err)
		}
		if executor.dryRun != dryRun || executor.executed != nil && executor.executed.DeletionTimestamp != nil {
			t.Errorf("%s: executed %v, dry run %t", name, executor.executed, executor.dryRun)
		}
	}
}

// byJane returns the context of a request of an authenticated user.
func byJane(t *testing.T) context.Context {
	return genericapirequest.WithUser(t.Context(),
		&user.DefaultInfo{Name: "jane", Groups: []string{user.AllAuthenticated}})
}

func (failingExecutor) Drain() {}

type failingExecutor struct {
	recorded *postern.WebhookDelivery
	err      error
}

func (e failingExecutor) Execute(context.Context, *postern.WebhookDelivery, bool) (*postern.WebhookDelivery, error) {
	return e.recorded, e.err
}
