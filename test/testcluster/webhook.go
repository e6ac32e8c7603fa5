// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package testcluster

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// WebhookName is the name of admission webhooks, which is in the message of a denial.
const WebhookName = "webhook.example.com"

// ProbeRef is denied by the webhook of HoldDeliveries, which shows that it is called.
const ProbeRef = "probe"

// RegisterWebhook makes the kube-apiserver call an admission webhook for objects in this namespace, until the test ends
// or remove, which is idempotent, is called. The registration takes effect with a delay. The webhook is described in
// YAML, without its name and namespace.
func (s *Sandbox) RegisterWebhook(webhook string) (remove func()) {
	s.T.Helper()
	hook := admissionregistrationv1.ValidatingWebhook{}
	if err := yaml.UnmarshalStrict([]byte(webhook), &hook); err != nil {
		s.T.Fatal(err)
	}
	none := admissionregistrationv1.SideEffectClassNone
	hook.Name, hook.SideEffects, hook.AdmissionReviewVersions = WebhookName, &none, []string{"v1"}
	hook.NamespaceSelector = &metav1.LabelSelector{
		MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.Namespace},
	}
	configurations := s.cluster.Kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	created, err := configurations.Create(s.T.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{GenerateName: s.Namespace + "-"},
		Webhooks:   []admissionregistrationv1.ValidatingWebhook{hook},
	}, metav1.CreateOptions{})
	if err != nil {
		s.T.Fatal(err)
	}
	remove = func() {
		err := configurations.Delete(context.Background(), created.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			s.T.Error(err)
		}
	}
	s.T.Cleanup(remove)
	return remove
}

// ServeWebhook is RegisterWebhook with a server that allows a request if admit returns true. At the end of the test the
// server waits until admit has returned.
func (s *Sandbox) ServeWebhook(webhook string, admit func(context.Context, *admissionv1.AdmissionRequest) bool) {
	s.T.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		review := &admissionv1.AdmissionReview{}
		if err := json.NewDecoder(req.Body).Decode(review); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{
			UID: review.Request.UID, Allowed: admit(req.Context(), review.Request),
		}
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(review)
	}))
	s.T.Cleanup(server.Close)
	ca, err := json.Marshal(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	if err != nil {
		s.T.Fatal(err)
	}
	s.RegisterWebhook(webhook + "\nclientConfig: {url: '" + server.URL + "', caBundle: " + string(ca) + "}")
}

// HoldDeliveries makes an admission webhook hold the deliveries whose refs have the prefix. held gets the ref of each,
// and release, which the end of the test calls too, lets all go. The webhook is called once it denies a delivery of
// ProbeRef.
func (s *Sandbox) HoldDeliveries(prefix string) (held chan string, release func()) {
	s.T.Helper()
	released := make(chan struct{})
	held, release = make(chan string, 100), sync.OnceFunc(func() { close(released) })
	s.ServeWebhook(`
failurePolicy: Fail
timeoutSeconds: 30
rules: [{apiGroups: [postern.dev], apiVersions: ['*'], operations: [CREATE], resources: [webhookdeliveries]}]`,
		func(_ context.Context, r *admissionv1.AdmissionRequest) bool {
			var delivery v1alpha1.WebhookDelivery
			if err := json.Unmarshal(r.Object.Raw, &delivery); err != nil {
				s.T.Error(err)
			}
			allowed := true
			for _, event := range delivery.Spec.Events {
				if strings.HasPrefix(event.Ref, prefix) {
					held <- event.Ref
					<-released
				}
				allowed = allowed && event.Ref != ProbeRef
			}
			return allowed
		})
	s.T.Cleanup(release)
	return held, release
}
