// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fieldcases

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"postern.dev/postern/test/fieldcases/fieldcase"
	"postern.dev/postern/test/testcluster"
)

// objects are the objects of a case, by Kind/name.
type objects struct {
	*testcluster.Sandbox
	suite   *suite
	clients map[string]dynamic.ResourceInterface
}

func newObjects(s *suite, box *testcluster.Sandbox) *objects {
	return &objects{Sandbox: box, suite: s, clients: map[string]dynamic.ResourceInterface{}}
}

// create creates an object from a manifest, with its status. Objects without a namespace are deleted at the end.
func (o *objects) create(manifest map[string]any) {
	o.T.Helper()
	// Values from JSON have types that unstructured content must not have.
	obj := &unstructured.Unstructured{}
	if encoded, err := json.Marshal(manifest); err != nil || obj.UnmarshalJSON(encoded) != nil {
		o.T.Fatalf("not a manifest: %v", manifest)
	}
	name := obj.GetKind() + "/" + obj.GetName()
	client := o.client(obj)
	created, err := client.Create(o.T.Context(), obj, metav1.CreateOptions{
		FieldValidation: metav1.FieldValidationStrict,
	})
	if err != nil {
		o.T.Fatalf("could not create %s: %v", name, err)
	}
	o.clients[name] = client
	status, wanted := obj.Object["status"]
	if _, kept := created.Object["status"]; wanted && !kept {
		created.Object["status"] = status
		if _, err := client.UpdateStatus(o.T.Context(), created, metav1.UpdateOptions{}); err != nil {
			o.T.Fatalf("could not set the status of %s: %v", name, err)
		}
	}
}

// client returns the client for objects of a kind.
func (o *objects) client(obj *unstructured.Unstructured) dynamic.ResourceInterface {
	o.T.Helper()
	kind := obj.GroupVersionKind()
	mapping, err := o.suite.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		o.T.Fatal(err)
	}
	client := o.suite.Objects.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if obj.GetNamespace() != "" {
			o.T.Fatalf("%s %s must not name a namespace", kind.Kind, obj.GetName())
		}
		return client.Namespace(o.Namespace)
	}
	testcluster.AtEnd(o.T, func() error {
		err := client.Delete(context.Background(), obj.GetName(), metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
	return client
}

// find returns the client for an object of the case, and the name of the object.
func (o *objects) find(object string) (client dynamic.ResourceInterface, name string) {
	o.T.Helper()
	client, ok := o.clients[object]
	if !ok {
		o.T.Fatalf("%s is not an object of the case, as Kind/name", object)
	}
	_, name, _ = strings.Cut(object, "/")
	return client, name
}

// get returns an object; nil if it does not exist.
func (o *objects) get(object string) any {
	o.T.Helper()
	client, name := o.find(object)
	obj, err := client.Get(o.T.Context(), name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		o.T.Fatal(err)
	}
	return obj.Object
}

// snapshot returns the objects of which a part is expected.
func (o *objects) snapshot(expected map[string]any) map[string]any {
	o.T.Helper()
	found := map[string]any{}
	for object := range expected {
		found[object] = o.get(object)
	}
	return found
}

// patch patches an object.
func (o *objects) patch(p *fieldcase.Patch) {
	o.T.Helper()
	client, name := o.find(p.Object)
	patch, err := json.Marshal(p.With)
	if err != nil {
		o.T.Fatal(err)
	}
	if _, err := client.Patch(o.T.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{
		FieldManager: p.Manager,
	}); err != nil {
		o.T.Fatalf("could not patch %s: %v", p.Object, err)
	}
}

// delete deletes an object, and returns once it is gone.
func (o *objects) delete(object string) {
	o.T.Helper()
	client, name := o.find(object)
	if err := client.Delete(o.T.Context(), name, metav1.DeleteOptions{}); err != nil {
		o.T.Fatalf("could not delete %s: %v", object, err)
	}
	o.Eventually(testcluster.Patience, func() error {
		if o.get(object) != nil {
			return fmt.Errorf("%s still exists", object)
		}
		return nil
	})
}

// webhookSecret returns the first secret under a key of the namespace's webhook secrets.
func (o *objects) webhookSecret(key string) string {
	o.T.Helper()
	secret, err := o.suite.Kube.CoreV1().Secrets(o.Namespace).Get(o.T.Context(), webhookSecrets, metav1.GetOptions{})
	if err != nil {
		o.T.Fatal(err)
	}
	return firstLine(secret, key)
}

func firstLine(secret *corev1.Secret, key string) string {
	line, _, _ := strings.Cut(string(secret.Data[key]), "\n")
	return strings.TrimSpace(line)
}
