// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
)

// A kube-apiserver that has just started rejects requests that it allows a moment later. Admission keeps rejecting.
func TestErrors_UnauthorizedIsTransient(t *testing.T) {
	plants := schema.GroupResource{Group: "stoker.io", Resource: "gatewaysyncs"}
	attributes := authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: "system:serviceaccount:postern-system:postern"}, Verb: "patch",
		APIGroup: "stoker.io", Resource: "gatewaysyncs", Name: "plant", Namespace: "demo", ResourceRequest: true,
	}
	byRBAC := responsewriters.ForbiddenStatusError(attributes, "")
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"no role":  {byRBAC, true},
		"no token": {apierrors.NewUnauthorized("Unauthorized"), true},
		"a policy": {apierrors.NewForbidden(plants, "plant",
			errors.New("ValidatingAdmissionPolicy 'frozen' denied request: frozen")), false},
		"a terminating namespace": {apierrors.NewForbidden(plants, "plant", errors.New("it is being terminated")),
			false},
	} {
		if got := isRetryable(test.err); got != test.want {
			t.Errorf("%s: retryable is %t, want %t: %v", name, got, test.want, test.err)
		}
	}
}
