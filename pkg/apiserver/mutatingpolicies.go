// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	validatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

// discoveryInterval is how often the kube-apiserver is asked for MutatingAdmissionPolicies until it serves them.
const discoveryInterval = 15 * time.Second

// AdmissionPlugins returns the framework's admission plugins. mutatingPolicies is whether the kube-apiserver serves
// MutatingAdmissionPolicies; if not, their plugin does nothing until it does.
func AdmissionPlugins(mutatingPolicies bool) *admission.Plugins {
	plugins := admission.NewPlugins()
	lifecycle.Register(plugins)
	mutatingwebhook.Register(plugins)
	validating.Register(plugins)
	validatingwebhook.Register(plugins)
	plugins.Register(mutating.PluginName, func(config io.Reader) (admission.Interface, error) {
		plugin, err := mutating.NewPlugin(config)
		if err != nil || mutatingPolicies {
			return plugin, err
		}
		return &laterMutatingPolicies{Plugin: plugin}, nil
	})
	return plugins
}

// ServesMutatingPolicies reports whether the kube-apiserver serves MutatingAdmissionPolicies in the version that the
// framework's plugin watches. Kubernetes serves it since 1.36.
func ServesMutatingPolicies(
	ctx context.Context, client discovery.ServerResourcesInterfaceWithContext,
) (bool, error) {
	served, err := client.ServerResourcesForGroupVersionWithContext(ctx,
		admissionregistrationv1.SchemeGroupVersion.String())
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("could not discover whether MutatingAdmissionPolicies are served: %w", err)
	}
	missing := map[string]bool{"mutatingadmissionpolicies": true, "mutatingadmissionpolicybindings": true}
	if served != nil {
		for _, resource := range served.APIResources {
			delete(missing, resource.Name)
		}
	}
	return len(missing) == 0, nil
}

// laterMutatingPolicies is the framework's plugin of MutatingAdmissionPolicies in a cluster that does not serve them.
// The framework's alone waits for them: the server would never be ready, and reject every delivery. After an upgrade of
// the cluster it begins to apply them.
type laterMutatingPolicies struct {
	*mutating.Plugin
	client    kubernetes.Interface
	informers informers.SharedInformerFactory
	stop      <-chan struct{}
	started   atomic.Bool
}

// SetExternalKubeClientSet implements initializer.WantsExternalKubeClientSet.
func (p *laterMutatingPolicies) SetExternalKubeClientSet(client kubernetes.Interface) {
	p.client = client
	p.Plugin.SetExternalKubeClientSet(client)
}

// SetExternalKubeInformerFactory implements initializer.WantsExternalKubeInformerFactory.
func (p *laterMutatingPolicies) SetExternalKubeInformerFactory(factory informers.SharedInformerFactory) {
	p.informers = factory
	p.Plugin.SetExternalKubeInformerFactory(factory)
}

// SetDrainedNotification implements initializer.WantsDrainedNotification.
func (p *laterMutatingPolicies) SetDrainedNotification(stop <-chan struct{}) {
	p.stop = stop
	p.Plugin.SetDrainedNotification(stop)
}

// ValidateInitialization begins to wait for the policies to be served, instead of watching them.
func (p *laterMutatingPolicies) ValidateInitialization() error {
	klog.InfoS("The kube-apiserver does not serve MutatingAdmissionPolicies (admissionregistration.k8s.io/v1): " +
		"deliveries pass without them")
	go func() {
		ctx := wait.ContextForChannel(p.stop)
		err := wait.PollUntilContextCancel(ctx, discoveryInterval, false, p.start)
		if err != nil && ctx.Err() == nil {
			klog.ErrorS(err, "Could not begin to apply MutatingAdmissionPolicies")
		}
	}()
	return nil
}

// start watches the policies if they are served now, and reports whether they are.
func (p *laterMutatingPolicies) start(ctx context.Context) (bool, error) {
	served, err := ServesMutatingPolicies(ctx, discovery.ToServerResourcesInterfaceWithContext(p.client.Discovery()))
	if err != nil || !served {
		return false, nil //nolint:nilerr // the kube-apiserver may be restarting; it is asked again
	}
	if err := p.Plugin.ValidateInitialization(); err != nil {
		return false, err
	}
	p.informers.Start(p.stop)
	p.started.Store(true)
	klog.InfoS("The kube-apiserver serves MutatingAdmissionPolicies now: they are applied to deliveries")
	return true, nil
}

// Admit applies the policies, if they are served.
func (p *laterMutatingPolicies) Admit(
	ctx context.Context, attributes admission.Attributes, objects admission.ObjectInterfaces,
) error {
	if !p.started.Load() {
		return nil
	}
	return p.Plugin.Admit(ctx, attributes, objects)
}
