// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"context"
	"fmt"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/generated/clientset/versioned"
)

// settleNamespace is the namespace of the settler's own objects.
const settleNamespace = "docs-settle"

var applications = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}

// settler waits until the kube-apiserver and Postern have seen earlier changes of roles, webhook secrets and
// Applications. A person takes longer than that to type the next command; a test does not. The settler changes one
// object of each kind and waits for the effect, because watches deliver changes in order.
type settler struct {
	mu         sync.Mutex
	round      int
	kube       kubernetes.Interface
	objects    dynamic.Interface
	deliveries versioned.Interface
}

func newSettler(ctx context.Context, config *rest.Config) (*settler, error) {
	s := &settler{}
	var err error
	if s.kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if s.objects, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	if s.deliveries, err = versioned.NewForConfig(config); err != nil {
		return nil, err
	}
	return s, s.createObjects(ctx)
}

func (s *settler) createObjects(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: settleNamespace}}
	if _, err := s.kube.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return err
	}
	meta := metav1.ObjectMeta{Name: "settle"}
	if _, err := s.kube.RbacV1().Roles(settleNamespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta},
		metav1.CreateOptions{}); err != nil {
		return err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "postern-webhook-secrets"}}
	if _, err := s.kube.CoreV1().Secrets(settleNamespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return err
	}
	application := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": map[string]any{"name": "settle"},
		"spec": map[string]any{
			"project":     "default",
			"destination": map[string]any{"server": "https://kubernetes.default.svc", "namespace": "none"},
			"source":      map[string]any{"repoURL": "https://example.com/settle.git", "path": "deploy"},
		},
	}}
	_, err := s.objects.Resource(applications).Namespace(settleNamespace).Create(ctx, application,
		metav1.CreateOptions{})
	return err
}

// settle returns once all earlier changes are in effect. While Postern is unreachable it waits only for roles. It is
// safe for concurrent use.
func (s *settler) settle(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
	if err := s.roles(ctx); err != nil {
		return fmt.Errorf("could not wait for the roles: %w", err)
	}
	if _, err := s.deliveries.PosternV1alpha1().WebhookSources(settleNamespace).Get(ctx, "github",
		metav1.GetOptions{}); err != nil {
		return nil // the page has stopped Postern
	}
	if err := s.secrets(ctx); err != nil {
		return fmt.Errorf("could not wait for the webhook secrets: %w", err)
	}
	if err := s.applications(ctx); err != nil {
		return fmt.Errorf("could not wait for the Applications: %w", err)
	}
	return nil
}

// roles changes a Role and binds it to a user with a new name, which distinguishes the new binding from the old one.
func (s *settler) roles(ctx context.Context) error {
	name := fmt.Sprintf("settle-%d", s.round)
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "settle"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"settle.postern.dev"}, Resources: []string{name}, Verbs: []string{"get"},
	}}}
	if _, err := s.kube.RbacV1().Roles(settleNamespace).Update(ctx, role, metav1.UpdateOptions{}); err != nil {
		return err
	}
	bindings := s.kube.RbacV1().RoleBindings(settleNamespace)
	if _, err := bindings.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "settle"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	}, metav1.CreateOptions{}); err != nil {
		return err
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: name,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: settleNamespace, Verb: "get", Group: "settle.postern.dev", Resource: name,
		},
	}}
	if err := until(ctx, func(ctx context.Context) (bool, error) {
		answer, err := s.kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, err
	}); err != nil {
		return err
	}
	return bindings.Delete(ctx, name, metav1.DeleteOptions{})
}

// secrets adds or removes a key of the Secret in turn, and waits until the WebhookSource reports it.
func (s *settler) secrets(ctx context.Context) error {
	want := s.round%2 == 1
	patch := `{"data":null}`
	if want {
		patch = `{"stringData":{"hmac":"settled"}}`
	}
	if _, err := s.kube.CoreV1().Secrets(settleNamespace).Patch(ctx, "postern-webhook-secrets", types.MergePatchType,
		[]byte(patch), metav1.PatchOptions{}); err != nil {
		return err
	}
	return until(ctx, func(ctx context.Context) (bool, error) {
		source, err := s.deliveries.PosternV1alpha1().WebhookSources(settleNamespace).Get(ctx, "github",
			metav1.GetOptions{})
		return err == nil && source.Status.HasSecret == want, err
	})
}

// applications makes an Application follow a new image, and waits until a delivery of it matches.
func (s *settler) applications(ctx context.Context) error {
	image := fmt.Sprintf("settle/turn-%d", s.round)
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"argocd-image-updater.argoproj.io/image-list":"settle=%s"}}}`,
		image)
	if _, err := s.objects.Resource(applications).Namespace(settleNamespace).Patch(ctx, "settle", types.MergePatchType,
		[]byte(patch), metav1.PatchOptions{}); err != nil {
		return err
	}
	delivery := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "settle-"},
		Spec:       v1alpha1.WebhookDeliverySpec{Image: image, Ref: "v1.0.0"},
	}
	return until(ctx, func(ctx context.Context) (bool, error) {
		tried, err := s.deliveries.PosternV1alpha1().WebhookDeliveries(settleNamespace).
			Create(ctx, delivery, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if apierrors.IsServiceUnavailable(err) {
			return false, nil
		}
		return err == nil && len(tried.Status.Targets) > 0, err
	})
}

func until(ctx context.Context, done wait.ConditionWithContextFunc) error {
	const interval, patience = 10 * time.Millisecond, 30 * time.Second
	return wait.PollUntilContextTimeout(ctx, interval, patience, true, done)
}
