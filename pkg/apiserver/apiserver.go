// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package apiserver puts the API server together: the framework's server, the storages of each resource, the pipeline
// behind them, admission and the handler chain. It must not know flags, or what a sender's payload looks like.
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
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/pkg/registry/deliver"
	"postern.dev/postern/pkg/registry/webhookdelivery"
	"postern.dev/postern/pkg/registry/webhooksource"
)

// ExtraConfig is what Postern needs beside what every API server needs. Every field is needed.
type ExtraConfig struct {
	Verifier *credential.Verifier
	Secrets  *credential.Secrets
	Targets  delivery.Targets
	Events   events.EventRecorder
	// SecretsSynced reports whether the Verifier knows all secrets. Nothing is served before.
	SecretsSynced cache.InformerSynced
	// BeforeServing is called once, when the server is about to take connections.
	BeforeServing func()
	// CachesReady returns an error until secrets and targets can be looked up.
	CachesReady func() error
	// StorageReady returns an error while nothing can be stored. It must be quick.
	StorageReady func() error
	// Backlog returns the error that answers deliveries to a namespace while there is no room for more of them, and its cause
	// for the metrics. It must be quick.
	Backlog func(namespace string) (cause string, err error)
	// Work bounds what is worked on at a time.
	Work *Work
	// NamespaceSharePercent is how much one namespace may take of what is bounded for all; see fairness.Share.
	NamespaceSharePercent int
	// Shared says that other replicas may use the same storage. It may be false.
	Shared bool
	// DeliveryTTL is how long a delivery is kept.
	DeliveryTTL time.Duration
	// MaxPayloadBytes bounds a payload.
	MaxPayloadBytes int64
	// MaxInflightPayloadBytes bounds the memory, in bytes, that bodies and what is made of them may take at a time; at least
	// PayloadCost of MaxPayloadBytes.
	MaxInflightPayloadBytes int64
	// PayloadTimeout is how long a body may take to arrive.
	PayloadTimeout time.Duration
	// Direct is for callers that do not come through the kube-apiserver.
	Direct DirectCallers
}

// Config is the configuration of a server; Complete makes it usable.
type Config struct {
	Generic *genericapiserver.RecommendedConfig
	Extra   ExtraConfig
}

type completedConfig struct {
	generic  genericapiserver.CompletedConfig
	extra    ExtraConfig
	stopping *atomic.Bool
}

// CompletedConfig can be made by Complete only, so that no server runs with an incomplete one.
type CompletedConfig struct{ *completedConfig }

// Complete fills in what was left to default. It changes the configuration that it is called on.
func (c *Config) Complete() CompletedConfig {
	c.Generic.MaxRequestBodyBytes = max(c.Generic.MaxRequestBodyBytes, objectBytes(c.Extra.MaxPayloadBytes))
	trustFrontProxy(&c.Generic.Authentication, &c.Generic.Authorization, c.Extra.Direct)
	stopping := &atomic.Bool{}
	c.Generic.BuildHandlerChainFunc = c.Extra.buildHandlerChain(c.Generic.MaxRequestBodyBytes, stopping)
	return CompletedConfig{&completedConfig{c.Generic.Complete(), c.Extra, stopping}}
}

// objectBytes is how large an object can be that holds a payload of that size in base64, with some room for the rest.
func objectBytes(payloadBytes int64) int64 {
	const rest = 64 << 10
	return payloadBytes/3*4 + rest
}

// Server is Postern's API server.
type Server struct {
	generic       *genericapiserver.GenericAPIServer
	records       *webhookdelivery.Store
	secretsSynced cache.InformerSynced
	beforeServing func()
	deliverer     *delivery.Deliverer
	limiter       *Limiter
	stopping      *atomic.Bool
}

// New returns a server that is ready to be started.
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
		Verifier:        c.extra.Verifier,
		Secrets:         c.extra.Secrets,
		Admission:       chain,
		Objects:         admission.NewObjectInterfacesFromScheme(Scheme),
		Targets:         c.extra.Targets,
		Records:         store,
		Shared:          c.extra.Shared,
		Events:          c.extra.Events,
		MaxPayloadBytes: c.extra.MaxPayloadBytes,
		Accepting:       c.extra.checkAccepting,
		Work:            c.extra.Work,
		Tracing:         c.generic.TracerProvider,
		Now:             time.Now,
	})
	c.generic.AdmissionControl = &receivingAdmission{admissionChain: chain, deliverer: deliverer}
	// A storage that takes no writes is no reason to be unready: the kube-apiserver would then relay nothing at all, not even
	// reads and what the deletion of a namespace asks.
	c.generic.AddReadyzChecks(
		cachesCheck(c.extra.CachesReady), firstWatchCheck(store.ReadinessCheck), requestHeaderCheck(c.generic.Authentication.RequestHeaderConfig))
	c.generic.LivezChecks = withoutStorage(c.generic.LivezChecks)

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
	return &Server{
		generic: generic, records: store, secretsSynced: c.extra.SecretsSynced, beforeServing: c.extra.BeforeServing, deliverer: deliverer,
		limiter: newLimiter(c.extra, c.generic.MaxMutatingRequestsInFlight), stopping: c.stopping,
	}, nil
}

// Deliverer returns the pipeline behind the doors.
func (s *Server) Deliverer() *delivery.Deliverer { return s.deliverer }

// Limiter returns what bounds a door that another server serves.
func (s *Server) Limiter() *Limiter { return s.limiter }

// DelayShutdownUntil makes the server keep its storage until ended is closed: by then no delivery may come in by a door that another
// server serves. Call it before Start.
func (s *Server) DelayShutdownUntil(done <-chan struct{}) error {
	return s.generic.AddPreShutdownHook("other-doors", func() error {
		<-done
		return nil
	})
}

// storages returns what is served, by the path below the namespace.
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
		"webhookdeliveries":           deliveries,
		"webhookdeliveries/redeliver": deliver.NewRedeliverREST(store, deliverer, StorageCodec(), unwrapAuthorizer(c.generic.Authorization.Authorizer)),

		"gatewaysyncs":                   deliver.NewParentREST("gatewaysync", func() runtime.Object { return &postern.GatewaySync{} }),
		"gatewaysyncs/webhookdeliveries": endpoint(deliver.TargetAddress(postern.TargetGatewaySync)),

		"applications":                   deliver.NewParentREST("application", func() runtime.Object { return &postern.Application{} }),
		"applications/webhookdeliveries": endpoint(deliver.TargetAddress(postern.TargetApplication)),

		"webhooksources":                   webhooksource.NewREST(sources{c.extra.Verifier}),
		"webhooksources/webhookdeliveries": endpoint(deliver.SourceAddress(payload.Sources())),
	}
}

// Start serves until ctx is done, then finishes what is under way. It is a Runnable of controller-runtime's manager.
//
// It begins once the secrets are known. Readiness alone would not keep out a request that comes before, to which every
// namespace would seem to have no secret.
func (s *Server) Start(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), s.secretsSynced) {
		return nil
	}
	s.beforeServing()
	defer context.AfterFunc(ctx, func() { s.stopping.Store(true) })()
	return s.generic.PrepareRun().RunWithContext(ctx)
}

// Records is where deliveries are stored.
func (s *Server) Records() *webhookdelivery.Store { return s.records }

// NeedLeaderElection tells the manager that every replica serves.
func (s *Server) NeedLeaderElection() bool { return false }

// cachesCheck keeps the server unready until secrets and targets can be looked up: until then a right secret would be
// refused.
func cachesCheck(ready func() error) healthz.HealthChecker {
	return healthz.NamedCheck("caches", func(*http.Request) error { return ready() })
}

// firstWatchCheck keeps the server unready until the watch cache is filled. The kube-apiserver watches what is
// aggregated as soon as it is available, and a watch that comes too early fails.
func firstWatchCheck(ready func() error) healthz.HealthChecker {
	return healthz.NamedCheck("first-watch", func(*http.Request) error { return ready() })
}

// withoutStorage leaves out the framework's checks of etcd. A server that is ended because its storage is away comes back
// without storage, and meanwhile answers nobody.
//
// Source: addEtcdHealthEndpoint in k8s.io/apiserver, pkg/server/options/etcd.go.
func withoutStorage(checks []healthz.HealthChecker) []healthz.HealthChecker {
	return slices.DeleteFunc(slices.Clone(checks), func(check healthz.HealthChecker) bool {
		return strings.HasPrefix(check.Name(), "etcd")
	})
}
