// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
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

// job is one thing that the demo shows.
type job struct {
	title string
	// result is what run has checked, for the summary.
	result string
	run    func(context.Context) error
}

// jobs are what the demo shows, in order.
func (p *demoRun) jobs() []job {
	return []job{
		{
			"A CI job delivers with the token of its ServiceAccount", "202, GatewaySync plant is asked for v1.1.0",
			p.ciJobDelivers,
		},
		{"The same CI job tries another object", "403 by RBAC, Postern does not see it", p.ciJobMayNotDeliverElsewhere},
		{"GitHub publishes a release", "202, Application shop is at v2.0.0", p.gitHubPublishesARelease},
		{"GitHub sends the same release again", "202, AlreadyDelivered: nothing is written", p.gitHubRepeatsTheRelease},
		{
			"A forged request claims to be from GitHub", "401, Application shop stays at v2.0.0",
			p.forgedReleaseIsRefused,
		},
		{"An image is pushed to Docker Hub", "202, Application cart runs example/cart:1.4.0", p.dockerHubPushes},
		{"An image is pushed to Harbor", "202, Application till runs team/till:2.1.0", p.harborPushes},
		{"A user delivers with kubectl", "Applied, plant is asked for v1.2.0", p.kubectlDelivers},
		{"A user rolls back with kubectl", "Applied, plant is asked for v1.1.0 again", p.kubectlDeliversAgain},
	}
}

// demo runs the main jobs in a temporary cluster. It returns the first error or unexpected result. Each request and its
// effect are shown if it is verbose, and those of a job that fails.
func demo(ctx context.Context, out io.Writer, verbose bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	started := time.Now()

	p := &demoRun{secret: rand.Text(), registrySecret: rand.Text(), script: script{out: out}}
	var transcript bytes.Buffer
	if !verbose {
		p.out = &transcript
	}
	const preparations = 3
	jobs := p.jobs()
	s := newSteps(out, preparations+len(jobs), verbose)
	err = s.run("Start etcd and a kube-apiserver, in a temporary directory", func() (err error) {
		p.cluster, err = controlplane.Start(ctx, controlplane.Options{})
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.cluster.Stop(context.WithoutCancel(ctx))) }()
	err = s.run("Install Postern, and create targets and senders", func() error { return p.setUp(ctx) })
	if err != nil {
		return fmt.Errorf("could not set up the demo: %w", err)
	}
	var postern *controlplane.Postern
	err = s.run("Start Postern", func() (err error) {
		postern, err = p.cluster.StartPostern(ctx, controlplane.PosternOptions{})
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, postern.Stop(context.WithoutCancel(ctx))) }()

	for _, job := range jobs {
		transcript.Reset()
		if err := s.run(job.title, func() error { return job.run(ctx) }); err != nil {
			return fmt.Errorf("%w\n\n%s%s", err, transcript.String(), postern.LogTail())
		}
	}
	return summarize(out, jobs, time.Since(started), verbose)
}

// summarize says on one screen what was shown.
func summarize(out io.Writer, jobs []job, took time.Duration, verbose bool) error {
	fmt.Fprintf(out, "\nAll %d results are as expected, after %s. Nothing is left running.\n\n", len(jobs),
		took.Round(time.Second))
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, job := range jobs {
		fmt.Fprintf(table, "  %s\t%s\n", job.title, job.result)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if !verbose {
		fmt.Fprintln(out, "\n\"make demo V=1\" shows each request and its effect; \"make up\" leaves a cluster to try "+
			"them.")
	}
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
		"--filename="+samplesDir+"/sender-registries.yaml"); err != nil {
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
