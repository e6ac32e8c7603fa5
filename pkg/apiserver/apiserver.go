// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package apiserver assembles the API server: the framework's server, the storage of each resource, the delivery
// pipeline, admission and the handler chain. It must not depend on flags or on payload formats.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/apiserver/filters"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/pkg/registry/deliver"
	"postern.dev/postern/pkg/registry/webhookdelivery"
	"postern.dev/postern/pkg/registry/webhooksource"
)

// readinessTimeout is how long requests wait for a server that is starting, before they are answered anyway.
const readinessTimeout = 3 * time.Second

// ExtraConfig is Postern's configuration in addition to the generic one. All fields are required.
type ExtraConfig struct {
	Verifier *credential.Verifier
	Secrets  *credential.Secrets
	Targets  delivery.Targets
	Events   events.EventRecorder
	// SecretsSynced reports whether the Verifier has all secrets. Nothing is served before.
	SecretsSynced cache.InformerSynced
	// BeforeServing is called once, before the server accepts connections.
	BeforeServing func()
	// CachesReady returns an error until secrets and targets can be looked up.
	CachesReady func() error
	// StorageReady returns an error while the storage is unavailable. It must be fast.
	StorageReady func() error
	// Backlog returns the response and the metric's cause while the namespace's backlog is full. It must be fast.
	Backlog func(namespace string) (cause string, err error)
	// Work bounds the work in progress.
	Work *filters.Work
	// RefreshesPerSecond limits how many Applications of a namespace a push refreshes; 0 is no limit.
	RefreshesPerSecond float64
	// NamespaceSharePercent is the part of each limit that one namespace may use; see fairness.Share.
	NamespaceSharePercent int
	// Shared reports whether other replicas may use the same storage.
	Shared bool
	// DeliveryTTL is how long a delivery is kept.
	DeliveryTTL time.Duration
	// MaxPayloadBytes bounds a payload.
	MaxPayloadBytes int64
	// MaxInflightPayloadBytes bounds the memory for bodies in flight, in bytes; at least PayloadCost(MaxPayloadBytes).
	MaxInflightPayloadBytes int64
	// PayloadTimeout is how long a body may take to arrive.
	PayloadTimeout time.Duration
	// Direct configures callers that bypass the kube-apiserver.
	Direct DirectCallers
}

// Config is the configuration of a server. Call Complete before New.
type Config struct {
	Generic *genericapiserver.RecommendedConfig
	Extra   ExtraConfig
}

type completedConfig struct {
	generic    genericapiserver.CompletedConfig
	extra      ExtraConfig
	namespaces corelisters.NamespaceLister
	stopping   *atomic.Bool
}

// CompletedConfig can only be created by Complete.
type CompletedConfig struct{ *completedConfig }

// Complete sets defaults. It modifies c.
func (c *Config) Complete() CompletedConfig {
	c.Generic.MaxRequestBodyBytes = max(c.Generic.MaxRequestBodyBytes, filters.ObjectBytes(c.Extra.MaxPayloadBytes))
	trustFrontProxy(&c.Generic.Authentication, &c.Generic.Authorization, c.Extra.Direct)
	stopping := &atomic.Bool{}
	c.Generic.BuildHandlerChainFunc = c.Extra.buildHandlerChain(c.Generic.MaxRequestBodyBytes, stopping)
	namespaces := c.Generic.SharedInformerFactory.Core().V1().Namespaces().Lister() // admission uses the same
	return CompletedConfig{&completedConfig{c.Generic.Complete(), c.Extra, namespaces, stopping}}
}

// Server is Postern's API server.
type Server struct {
	generic       *genericapiserver.GenericAPIServer
	records       *webhookdelivery.Store
	secretsSynced cache.InformerSynced
	ready         func() error
	beforeServing func()
	deliverer     *delivery.Deliverer
	limiter       *filters.Limiter
	stopping      *atomic.Bool
}

// New returns a server that is ready to start.
func (c CompletedConfig) New() (*Server, error) {
	store, err := webhookdelivery.NewStore(Scheme, c.generic.RESTOptionsGetter, c.extra.DeliveryTTL)
	if err != nil {
		return nil, err
	}
	chain, ok := c.generic.AdmissionControl.(admissionChain)
	if !ok {
		return nil, errors.New("the admission chain does not both mutate and validate")
	}
	deliverer := delivery.New(delivery.Config{
		Verifier:           c.extra.Verifier,
		Secrets:            c.extra.Secrets,
		Admission:          chain,
		Objects:            admission.NewObjectInterfacesFromScheme(Scheme),
		Targets:            c.extra.Targets,
		Records:            store,
		Shared:             c.extra.Shared,
		Events:             c.extra.Events,
		MaxPayloadBytes:    c.extra.MaxPayloadBytes,
		Accepting:          c.extra.acceptance().Check,
		Work:               c.extra.Work,
		RefreshesPerSecond: c.extra.RefreshesPerSecond,
		Tracing:            c.generic.TracerProvider,
		Now:                time.Now,
	})
	c.generic.AdmissionControl = &receivingAdmission{admissionChain: chain, deliverer: deliverer}
	// The storage is not part of readiness: the kube-apiserver would stop relaying all requests to an unready server,
	// including reads and the deletion of a namespace.
	c.generic.AddReadyzChecks(
		cachesCheck(c.extra.CachesReady), firstWatchCheck(store.ReadinessCheck),
		requestHeaderCheck(c.generic.Authentication.RequestHeaderConfig))
	c.generic.LivezChecks = withoutStorageChecks(c.generic.LivezChecks)

	generic, err := c.generic.New("postern", genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, fmt.Errorf("could not set up the API server: %w", err)
	}
	group := genericapiserver.NewDefaultAPIGroupInfo(postern.GroupName, Scheme, metav1.ParameterCodec, Codecs)
	group.NegotiatedSerializer = withoutProtobuf{group.NegotiatedSerializer}
	group.VersionedResourcesStorageMap[v1alpha1.SchemeGroupVersion.Version] = c.storages(store, deliverer)
	if err := generic.InstallAPIGroup(&group); err != nil {
		return nil, fmt.Errorf("could not install the API group %s: %w", postern.GroupName, err)
	}
	ready := func() error { return errors.Join(c.extra.CachesReady(), store.ReadinessCheck()) }
	return &Server{
		generic: generic, records: store, secretsSynced: c.extra.SecretsSynced, ready: ready,
		beforeServing: c.extra.BeforeServing, deliverer: deliverer,
		limiter: c.extra.limiter(c.generic.MaxMutatingRequestsInFlight), stopping: c.stopping,
	}, nil
}

// Deliverer returns the delivery pipeline.
func (s *Server) Deliverer() *delivery.Deliverer { return s.deliverer }

// Limiter returns the limits for an endpoint of another server.
func (s *Server) Limiter() *filters.Limiter { return s.limiter }

// DelayShutdownUntil keeps the storage open until done is closed, when other servers no longer accept deliveries.
// Call it before Start.
func (s *Server) DelayShutdownUntil(done <-chan struct{}) error {
	return s.generic.AddPreShutdownHook("external-endpoints", func() error {
		<-done
		return nil
	})
}

// storages returns the storage of each resource by its path below the namespace.
func (c CompletedConfig) storages(store *webhookdelivery.Store, deliverer *delivery.Deliverer) map[string]rest.Storage {
	deliveries := webhookdelivery.NewREST(store, deliverer)
	endpoint := func(address func(string) (deliver.Address, error)) rest.Storage {
		return deliver.NewREST(deliver.Config{
			Address:         address,
			Deliverer:       deliverer,
			Deliveries:      deliveries,
			Encoder:         StorageCodec(),
			MaxPayloadBytes: c.extra.MaxPayloadBytes,
		})
	}
	return map[string]rest.Storage{
		"webhookdeliveries": deliveries,
		"webhookdeliveries/redeliver": deliver.NewRedeliverREST(store, deliverer, StorageCodec(),
			unwrapAuthorizer(c.generic.Authorization.Authorizer)),

		"gatewaysyncs": deliver.NewParentREST("gatewaysync",
			func() runtime.Object { return &postern.GatewaySync{} }),
		"gatewaysyncs/webhookdeliveries": endpoint(deliver.TargetAddress(postern.TargetGatewaySync)),

		"applications": deliver.NewParentREST("application",
			func() runtime.Object { return &postern.Application{} }),
		"applications/webhookdeliveries": endpoint(deliver.TargetAddress(postern.TargetApplication)),

		"applicationsets": deliver.NewParentREST("applicationset",
			func() runtime.Object { return &postern.ApplicationSet{} }),
		"applicationsets/webhookdeliveries": endpoint(deliver.TargetAddress(postern.TargetApplicationSet)),

		"webhooksources": webhooksource.NewREST(
			webhooksource.Senders{Verifier: c.extra.Verifier}, c.namespaceNames),
		"webhooksources/webhookdeliveries": endpoint(deliver.SourceAddress(payload.Sources())),
	}
}

func (c CompletedConfig) namespaceNames() ([]string, error) {
	namespaces, err := c.namespaces.List(labels.Everything())
	names := make([]string, 0, len(namespaces))
	for _, namespace := range namespaces {
		names = append(names, namespace.Name)
	}
	return names, err
}

// Start serves until ctx is done, then completes requests in flight. It implements manager.Runnable of
// controller-runtime.
//
// It waits until the secrets are loaded. Readiness alone would not stop an earlier request, for which every namespace
// would seem to have no secret.
func (s *Server) Start(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), s.secretsSynced) {
		return nil
	}
	// Until then connections wait to be accepted. Otherwise the first requests would be refused, and the kube-apiserver
	// would not send more at once. Probes and reads have to be answered even if readiness takes long.
	awaitReady(ctx, readinessTimeout, s.ready)
	s.beforeServing()
	defer context.AfterFunc(ctx, func() { s.stopping.Store(true) })()
	prepared := s.generic.PrepareRun()
	keepOwnDocuments(s.generic)
	return prepared.RunWithContext(ctx)
}

// Records returns the store of deliveries.
func (s *Server) Records() *webhookdelivery.Store { return s.records }

// NeedLeaderElection returns false: every replica serves.
func (s *Server) NeedLeaderElection() bool { return false }

// cachesCheck keeps the server unready until secrets and targets are loaded, because it would reject valid secrets.
func cachesCheck(ready func() error) healthz.HealthChecker {
	return healthz.NamedCheck("caches", func(*http.Request) error { return ready() })
}

// firstWatchCheck keeps the server unready until the watch cache is filled. The kube-apiserver watches aggregated
// resources as soon as they are available, and an earlier watch fails.
func firstWatchCheck(ready func() error) healthz.HealthChecker {
	return healthz.NamedCheck("first-watch", func(*http.Request) error { return ready() })
}

// withoutStorageChecks removes the framework's etcd checks: restarting the server would not restore its storage.
func withoutStorageChecks(checks []healthz.HealthChecker) []healthz.HealthChecker {
	return slices.DeleteFunc(slices.Clone(checks), func(check healthz.HealthChecker) bool {
		return strings.HasPrefix(check.Name(), "etcd")
	})
}
