// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
)

// demoTimeout bounds the whole demo.
const demoTimeout = 10 * time.Minute

// demoRun is one run of the demo: a cluster, and the webhook secrets that GitHub and Docker Hub share with Postern.
type demoRun struct {
	cluster                *controlplane.ControlPlane
	secret, registrySecret string
	script
}

// demo runs the main jobs in a temporary cluster. It returns the first error or unexpected result.
func demo(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	started := time.Now()

	fmt.Println("Starting etcd, a kube-apiserver and Postern, in a temporary directory (about 10 seconds)...")
	cluster, err := controlplane.Start(ctx, controlplane.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop(context.WithoutCancel(ctx))) }()
	p := &demoRun{cluster: cluster, secret: rand.Text(), registrySecret: rand.Text(), script: script{out: os.Stdout}}
	if err := p.setUp(ctx); err != nil {
		return fmt.Errorf("could not set up the demo: %w", err)
	}
	postern, err := cluster.StartPostern(ctx, controlplane.PosternOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, postern.Stop(context.WithoutCancel(ctx))) }()

	jobs := []func(context.Context) error{
		p.ciJobDelivers,
		p.ciJobMayNotDeliverElsewhere,
		p.gitHubPublishesARelease,
		p.gitHubRepeatsTheRelease,
		p.forgedReleaseIsRefused,
		p.dockerHubPushes,
		p.harborPushes,
		p.kubectlDelivers,
		p.kubectlDeliversAgain,
	}
	for _, job := range jobs {
		if err := job(ctx); err != nil {
			return fmt.Errorf("%w\n\n%s", err, postern.LogTail())
		}
	}
	p.title("Done")
	p.say("All results are as expected, after %s. Nothing is left running.", time.Since(started).Round(time.Second))
	return nil
}

// setUp creates the objects that an administrator of the cluster and an owner of the namespace create beforehand.
func (p *demoRun) setUp(ctx context.Context) error {
	if err := p.cluster.Install(ctx); err != nil {
		return err
	}
	if err := applySamples(ctx, p.cluster); err != nil {
		return err
	}
	if _, err := p.cluster.Kubectl(ctx, "", "apply", "--server-side",
		"--filename="+samplesDir+"/sender-github.yaml",
		"--filename="+samplesDir+"/sender-registries.yaml",
		"--filename="+samplesDir+"/applications-of-images.yaml"); err != nil {
		return err
	}
	if err := p.createSecrets(ctx); err != nil {
		return err
	}
	groups := []string{user.AllUnauthenticated}
	return errors.Join(
		p.untilAllowed(ctx, authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + namespace + ":ci",
			ResourceAttributes: createDelivery("gatewaysyncs", "plant"),
		}),
		p.untilAllowed(ctx, authorizationv1.SubjectAccessReviewSpec{
			User: user.Anonymous, Groups: groups,
			ResourceAttributes: createDelivery("applications", "shop"),
		}),
		p.untilAllowed(ctx, authorizationv1.SubjectAccessReviewSpec{
			User: user.Anonymous, Groups: groups,
			ResourceAttributes: createDelivery("webhooksources", "docker.io"),
		}),
		p.untilAllowed(ctx, authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + namespace + ":harbor",
			ResourceAttributes: createDelivery("webhooksources", "harbor"),
		}),
	)
}

// createSecrets creates the Secret that Postern reads. Its key hmac is for GitHub and all other git hosts.
func (p *demoRun) createSecrets(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(p.cluster.RESTConfig())
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "postern-webhook-secrets"},
		StringData: map[string]string{"hmac": p.secret, "webhook.docker-secret": p.registrySecret},
	}, metav1.CreateOptions{})
	return err
}

func createDelivery(resource, name string) *authorizationv1.ResourceAttributes {
	return &authorizationv1.ResourceAttributes{
		Namespace: namespace, Verb: "create",
		Group: v1alpha1.GroupName, Resource: resource, Subresource: "webhookdeliveries", Name: name,
	}
}

// untilAllowed waits until the kube-apiserver allows the request. New roles take effect after a moment.
func (p *demoRun) untilAllowed(ctx context.Context, access authorizationv1.SubjectAccessReviewSpec) error {
	client, err := kubernetes.NewForConfig(p.cluster.RESTConfig())
	if err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, time.Second/10, time.Minute, true, func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: access}
		result, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && result.Status.Allowed, err
	})
	if err != nil {
		return fmt.Errorf("%s is not allowed to deliver to %s: %w", access.User, access.ResourceAttributes.Name, err)
	}
	return nil
}
