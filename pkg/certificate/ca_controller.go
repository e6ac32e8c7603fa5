// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

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
	// fieldManager owns the caBundle of the APIService and nothing else.
	fieldManager = "postern-certificates"

	// writeBurst may follow each other; further ones are a second apart. Somebody else who keeps the caBundle as they want
	// it would otherwise make both of us write without end, and as fast as the kube-apiserver can.
	writeBurst = 10

	// writeTimeout bounds one request.
	writeTimeout = 10 * time.Second
)

// CAController keeps the Secret with the certificate authority, and the caBundle of the APIService, as they must be, whoever
// changes them. One replica at a time should run it; should two, each write says what it relies on, and one of them fails.
//
// It never makes an APIService. Where there is none, it waits for one: on the way out, that goes first.
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

	lastError string // that was logged last
}

// Run works until ctx is done. It may be called again then. The Follower must run, too.
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
		if failure != "" && failure != k.lastError { // once, as it is tried again soon
			klog.FromContext(ctx).Error(err, "Could not keep the certificates up, trying again")
		}
		k.lastError = failure
	})
}

// sync takes the next step. What follows from it is for when the watch has told that it is done.
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
		if s.secret == nil { // one that is there, and empty
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
		return nil // it is another by now, as the watch will tell
	case err != nil:
		return err
	}
	logAction(ctx, step)
	return nil
}

func (k *CAController) write(ctx context.Context, step step, secret *corev1.Secret, apiService *apiregistrationv1.APIService) error {
	switch {
	case step.action == actionPublish:
		// With its id the patch can't make an APIService.
		patch := apply.APIService(apiService.Name).WithUID(apiService.UID).
			WithSpec(apply.APIServiceSpec().WithCABundle(step.caBundle...))
		if _, err := k.apiServices.Apply(ctx, patch, metav1.ApplyOptions{FieldManager: fieldManager, Force: true}); err != nil {
			return fmt.Errorf("could not apply the caBundle of APIService %s: %w", apiService.Name, err)
		}
	case secret == nil:
		created := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: k.secretName}, Type: corev1.SecretTypeTLS, Data: step.secret}
		if _, err := k.secrets.Create(ctx, created, metav1.CreateOptions{FieldManager: fieldManager}); err != nil {
			return fmt.Errorf("could not create Secret %s: %w", k.secretName, err)
		}
	default:
		updated := secret.DeepCopy() // of the version that was read, or it is refused
		updated.Data = step.secret
		if _, err := k.secrets.Update(ctx, updated, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil {
			return fmt.Errorf("could not update Secret %s: %w", k.secretName, err)
		}
	}
	return nil
}

// logAction tells what was done, and which authorities count since. Only certificates are shown, which are public.
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
	case actionCreate:
		logger.Info("Made a certificate authority, since there was none", "serials", serials)
	case actionRepair:
		logger.Info("Made a certificate authority, since the one that was there is of no use", "why", step.cause, "serials", serials)
	case actionRenew:
		logger.Info("Renewed the certificate authority", "serials", serials)
	case actionUpdateBundle:
		logger.Info("Changed which certificate authorities count", "serials", serials)
	case actionPublish:
		logger.Info("Set the caBundle of the APIService", "serials", serials)
	}
}

// serialOf is by what a certificate is known to openssl and kubectl, abridged.
func serialOf(certificate *x509.Certificate) string {
	const enough = 8
	text := certificate.SerialNumber.Text(16)
	return text[:min(len(text), enough)]
}
