// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/klog/v2"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	apply "k8s.io/kube-aggregator/pkg/client/applyconfiguration/apiregistration/v1"
	apiregistrationclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"
)

const (
	// fieldManager owns only the caBundle of the APIService.
	fieldManager = "postern-certificates"

	// writeBurst is how many writes may follow each other immediately; later ones are a second apart. Otherwise two
	// writers with different caBundles would overwrite each other as fast as the kube-apiserver allows.
	writeBurst = 10

	// writeTimeout bounds one request.
	writeTimeout = 10 * time.Second
)

// CAController reconciles the Secret with the certificate authority and the caBundle of the APIService. One replica at
// a time should run it. If two do, optimistic locking makes one of each two conflicting writes fail.
//
// It never creates the APIService but waits for it: on uninstall, the APIService is deleted first.
type CAController struct {
	serving   *Serving
	policy    policy
	informers *informers
	trigger   trigger
	now       func() time.Time
	limiter   *rate.Limiter

	secretName  string
	secrets     corev1client.SecretInterface
	apiServices apiregistrationclient.APIServiceInterface

	lastError string // logged last
}

// Run reconciles until ctx is done, and may then be called again. It needs a running ServingController.
func (k *CAController) Run(ctx context.Context) {
	runLoop(ctx, k.trigger, func(ctx context.Context) {
		err := k.sync(ctx)
		if ctx.Err() != nil {
			return
		}
		failure := ""
		if err != nil {
			failure = err.Error()
		}
		if failure != "" && failure != k.lastError { // log repeated errors once
			klog.FromContext(ctx).Error(err, "Could not reconcile the certificates, retrying")
		}
		k.lastError = failure
	})
}

// sync takes the next step. The informers trigger the step after it.
func (k *CAController) sync(ctx context.Context) error {
	secret, known := k.informers.currentSecret()
	if !known {
		return nil
	}
	apiService, _ := k.informers.currentAPIService()
	now := k.now()
	s := state{inUse: k.serving.inUse(now)}
	if secret != nil {
		s.secret = secret.Data
		if s.secret == nil { // nil means that there is no Secret
			s.secret = map[string][]byte{}
		}
	}
	if apiService != nil {
		s.registered, s.caBundle = true, apiService.Spec.CABundle
	}
	step, err := k.policy.next(s, now)
	if err != nil || step.action == actionNone || !k.limiter.Allow() {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err = k.write(ctx, step, secret, apiService)
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
		return nil // the object has changed, so the informers trigger another sync
	case err != nil:
		return err
	}
	logAction(ctx, step)
	return nil
}

func (k *CAController) write(ctx context.Context, step step, secret *corev1.Secret,
	apiService *apiregistrationv1.APIService) error {
	switch {
	case step.action == actionPublish:
		// The UID keeps the patch from creating an APIService.
		patch := apply.APIService(apiService.Name).WithUID(apiService.UID).
			WithSpec(apply.APIServiceSpec().WithCABundle(step.caBundle...))
		if _, err := k.apiServices.Apply(ctx, patch,
			metav1.ApplyOptions{FieldManager: fieldManager, Force: true}); err != nil {
			return fmt.Errorf("could not apply the caBundle of APIService %s: %w", apiService.Name, err)
		}
	case secret == nil:
		created := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: k.secretName}, Type: corev1.SecretTypeTLS,
			Data: step.secret}
		if _, err := k.secrets.Create(ctx, created, metav1.CreateOptions{FieldManager: fieldManager}); err != nil {
			return fmt.Errorf("could not create Secret %s: %w", k.secretName, err)
		}
	default:
		updated := secret.DeepCopy() // the resourceVersion rejects concurrent writes
		updated.Data = step.secret
		if _, err := k.secrets.Update(ctx, updated, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil {
			return fmt.Errorf("could not update Secret %s: %w", k.secretName, err)
		}
	}
	return nil
}

// logAction logs a step and the serials of the trusted authorities. It logs only certificates, which are public.
func logAction(ctx context.Context, step step) {
	logger := klog.FromContext(ctx)
	bundle := parse(step.caBundle)
	if step.secret != nil {
		bundle = parse(step.secret[keyBundle])
	}
	serials := make([]string, 0, len(bundle))
	for _, certificate := range bundle {
		serials = append(serials, serialOf(certificate))
	}
	switch step.action {
	case actionNone:
	case actionCreate:
		logger.Info("Created a certificate authority", "serials", serials)
	case actionRepair:
		logger.Info("Replaced a certificate authority that can't be used", "reason", step.cause, "serials", serials)
	case actionRenew:
		logger.Info("Renewed the certificate authority", "serials", serials)
	case actionUpdateBundle:
		logger.Info("Updated the bundle of trusted certificate authorities", "serials", serials)
	case actionPublish:
		logger.Info("Set the caBundle of the APIService", "serials", serials)
	}
}

// serialOf returns the first digits of the serial number, in hexadecimal as openssl prints it.
func serialOf(certificate *x509.Certificate) string {
	const digits = 8
	text := certificate.SerialNumber.Text(16)
	return text[:min(len(text), digits)]
}
