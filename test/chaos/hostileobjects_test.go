// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var imageUpdaters = schema.GroupVersionResource{
	Group: "argocd-image-updater.argoproj.io", Version: "v1alpha1", Resource: "imageupdaters",
}

const updaterAnnotation = "argocd-image-updater.argoproj.io/"

// patterns are annotations that are as expensive as possible to evaluate: expressions that compile to large programs,
// long constraints, very many globs. Each is close to the size limit of annotations.
func patterns() []map[string]string {
	many := func(constraint string) string {
		aliases := make([]string, 50)
		for i := range aliases {
			aliases[i] = fmt.Sprintf("a%d=quay.io/hostile/pattern%s", i, constraint)
		}
		return strings.Join(aliases, ",")
	}
	expression := "regexp:" + strings.Repeat("a{1000}", 3000)
	return []map[string]string{
		{"image-list": "web=quay.io/hostile/pattern", "allow-tags": expression},
		{"image-list": many(""), "allow-tags": expression},
		{"image-list": many(""), "allow-tags": "regexp:" + strings.Repeat(`(?i)\pL`, 10_000)},
		{"image-list": "web=quay.io/hostile/pattern:" + strings.Repeat(">=1.0.0-0 || ", 18_000) + ">=1"},
		{"image-list": many(":" + strings.Repeat(">=1.0.0-0 || ", 360) + ">=1")},
		{"image-list": many(""), "ignore-tags": strings.Repeat("*,", 60_000) + strings.Repeat("*z,", 30_000)},
		{"image-list": many(""), "ignore-tags": strings.Repeat("*a*a*a*a*a*a*b,", 14_000)},
	}
}

// createPatterns creates an Application for each, and an ImageUpdater with a different expression for each.
func createPatterns(ctx context.Context, h *hostile) error {
	for i, annotations := range patterns() {
		name := fmt.Sprintf("pattern-%d", i)
		app := imageApplication(name, "quay.io/hostile/pattern", "1.0.0", "")
		if err := h.createFrom(ctx, applications, app); err != nil {
			return err
		}
		prefixed := map[string]string{}
		for key, value := range annotations {
			prefixed[updaterAnnotation+key] = value
		}
		if got := h.annotate(ctx, name, prefixed); got.err != nil {
			return got.err
		}
	}
	return h.createFrom(ctx, imageUpdaters, fmt.Sprintf(`
apiVersion: argocd-image-updater.argoproj.io/v1alpha1
kind: ImageUpdater
metadata: {name: patterns}
spec:
  commonUpdateSettings: {allowTags: 'regexp:%[1]s'}
  applicationRefs:
  - namePattern: 'shop-*'
    images: [{alias: web, imageName: quay.io/hostile/pattern, commonUpdateSettings: {allowTags: 'regexp:%[1]s'}}]`,
		strings.Repeat("b{1000}", 3000)))
}

// annotate changes annotations of an Application as its owner.
func (h *hostile) annotate(ctx context.Context, name string, annotations map[string]string) answer {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return answer{err: err}
	}
	apps := h.Objects.Resource(applications).Namespace(h.Namespace)
	_, err = apps.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	return ownDoing(err)
}

// ownDoing returns the answer to a change that the tenant makes without Postern.
func ownDoing(err error) answer {
	if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		err = nil // another worker was faster
	}
	return answer{code: http.StatusOK, err: err}
}

const wideTargets = 100

// createWide creates very many Applications with one image, and GatewaySyncs that follow one repository's tags.
func createWide(ctx context.Context, h *hostile) error {
	for i := range wideTargets {
		name := fmt.Sprintf("wide-%d", i)
		if err := h.createFrom(ctx, applications,
			imageApplication(name, "quay.io/hostile/wide", "1.0.0", "")); err != nil {
			return err
		}
		if i%2 == 0 {
			continue
		}
		if err := h.createFrom(ctx, gatewaySyncs, fmt.Sprintf(`
apiVersion: stoker.io/v1alpha1
kind: GatewaySync
metadata: {name: %s, annotations: {postern.dev/follow-tags: '*'}}
spec:
  git: {repo: %q, ref: v0.0.1}
  gateway: {api: {secretName: key}}
  sync: {profiles: {default: {mappings: [{source: a/, destination: b/}]}}}`, name, wideRepository)); err != nil {
			return err
		}
	}
	return nil
}

// watchedTargets is the number of targets per admission webhook.
const watchedTargets = 20

// createRefusing creates targets whose writes an admission webhook rejects, because it is unreachable.
func createRefusing(ctx context.Context, h *hostile) error {
	unreachable := "https://127.0.0.1:1/"
	return h.createWatched(ctx, "refusing", admissionregistrationv1.WebhookClientConfig{URL: &unreachable})
}

// slowness is the delay of the slow admission webhook, which has a timeout of ten seconds.
const slowness = 4 * time.Second

// createSlow creates targets whose writes an admission webhook delays.
func createSlow(ctx context.Context, h *hostile) error {
	slow := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		review := struct{ Request struct{ UID string } }{}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case <-time.After(slowness):
		case <-r.Context().Done():
		}
		const allowed = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,` +
			`"allowed":true}}`
		_, _ = fmt.Fprintf(w, allowed, review.Request.UID)
	}))
	h.T.Cleanup(slow.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: slow.Certificate().Raw})
	return h.createWatched(ctx, "slow", admissionregistrationv1.WebhookClientConfig{URL: &slow.URL,
		CABundle: authority})
}

// createWatched creates GatewaySyncs, and an admission webhook for writes of them.
func (h *hostile) createWatched(ctx context.Context, name string, client admissionregistrationv1.WebhookClientConfig,
) error {
	for i := range watchedTargets {
		g := target{gatewaySyncs, fmt.Sprintf("%s-%d", name, i)}
		manifest := strings.Replace(g.manifest(), "metadata: {", fmt.Sprintf("metadata: {labels: {chaos: %s}, ", name),
			1)
		if err := h.createFrom(ctx, g.resource, manifest); err != nil {
			return err
		}
	}
	fail, none, seconds := admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone, int32(10)
	own := map[string]string{"kubernetes.io/metadata.name": h.Namespace}
	configurations := h.Kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	_, err := configurations.Create(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-" + strings.ToLower(rand.Text()[:6])},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: name + ".example.com", ClientConfig: client, TimeoutSeconds: &seconds,
			FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: own},
			ObjectSelector:    &metav1.LabelSelector{MatchLabels: map[string]string{"chaos": name}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{gatewaySyncs.Group}, APIVersions: []string{"*"},
					Resources: []string{gatewaySyncs.Resource},
				},
			}},
		}},
	}, metav1.CreateOptions{})
	return err
}
