// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"net/http"
	"path"
	"strings"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apiserver/filters"
	"postern.dev/postern/pkg/delivery"
)

// Deliverer runs deliveries through all stages.
type Deliverer interface {
	// Deliver delivers to the target that r.Delivery names.
	Deliver(ctx context.Context, r *delivery.Request) (*postern.WebhookDelivery, error)
	// DeliverToNamespaces delivers to all targets that follow what was pushed, in namespaces whose secrets accept it.
	DeliverToNamespaces(
		ctx context.Context, r *delivery.Request, namespaces []string,
	) (delivery.FanoutResult, error)
}

// Limiter bounds requests and their bodies. Its errors are API statuses.
type Limiter interface {
	// Begin reserves a request of the namespace's share; "" is one share for all others. Call end when done.
	Begin(namespace string) (end func(), err error)
	// AcquireBody reserves memory for a body. Read the body of the returned request, and call release when done.
	AcquireBody(
		w http.ResponseWriter, req *http.Request, namespace string,
	) (bounded *http.Request, release func(), err error)
}

// Config is the configuration of the handler. All fields are required.
type Config struct {
	Deliverer Deliverer
	Limiter   Limiter
	// CanAccept reports whether a type of sender can be accepted in any namespace that webhooks may act on. It is
	// called for every type if a request has none, so it must be cheap.
	CanAccept func(source string) bool
	// Namespaces are the namespaces that webhooks may act on.
	Namespaces Namespaces
	// TargetNamespaces returns the namespaces with any target. It is called if webhooks may act on all namespaces.
	TargetNamespaces func() ([]string, error)
	// Exists reports whether a GatewaySync of that name is in the cache.
	Exists func(namespace, name string) bool
	// MaxPayloadBytes bounds a payload.
	MaxPayloadBytes int64
}

// handler serves the paths of both replaced receivers.
type handler struct{ Config }

// NewHandler returns the handler of POST /webhook/{namespace}/{crName}, POST /webhook?type={type} and GET /healthz.
func NewHandler(config Config) http.Handler {
	h := &handler{config}
	mux := http.NewServeMux()
	mux.Handle("/webhook/{namespace}/{crName}", h.webhookHandler(h.deliverToTarget))
	mux.Handle("/webhook", h.webhookHandler(h.deliverByType))
	mux.HandleFunc("/healthz", serveHealthz)
	mux.HandleFunc("/", serveNotFound)
	const noWarning = "" // there is no audit log
	return filters.WithoutQuerySecret(withoutRedirects(mux), noWarning)
}

// withoutRedirects answers 404 for a path that is not clean, such as //webhook. The mux would redirect; few senders
// follow that with a body, and the URL could repeat a malformed secret in its query.
func withoutRedirects(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		requestPath := req.URL.EscapedPath()
		if strings.TrimSuffix(path.Clean(requestPath), "/") != strings.TrimSuffix(requestPath, "/") {
			serveNotFound(w, req)
			return
		}
		mux.ServeHTTP(w, req)
	})
}

// serveHealthz reports that the process is alive, even if nothing can be delivered: a restart would not help.
func serveHealthz(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		methodNotAllowed(w, "GET, HEAD")
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("OK"))
}

// deliverFunc delivers a request and returns the response.
type deliverFunc func(req *http.Request, r *delivery.Request) (code int, answer any, err error)

// webhookHandler returns an HTTP handler for next.
func (h *handler) webhookHandler(next deliverFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodPost {
			methodNotAllowed(w, http.MethodPost)
			return
		}
		// No audit log records the address of the client.
		log := klog.FromContext(req.Context()).WithValues("server", "receiver", "remote", req.RemoteAddr)
		req = req.WithContext(klog.NewContext(req.Context(), log))
		code, response, err := h.receive(w, req, next)
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, code, response)
	})
}

// logRejection logs, and returns, an error that the pipeline does not log. Clients can cause many, so the level is 2.
func logRejection(ctx context.Context, err error, keysAndValues ...any) error {
	klog.FromContext(ctx).V(2).Info("Rejected a webhook", append([]any{"err", err}, keysAndValues...)...)
	return err
}

// flowNamespace returns the namespace whose share a request uses, "" unless webhooks may act on the GatewaySync in the
// path and it exists: requests for other objects must not use up the shares of namespaces.
func (h *handler) flowNamespace(req *http.Request) string {
	namespace := req.PathValue("namespace")
	if !h.Namespaces.Allow(namespace) || !h.Exists(namespace, req.PathValue("crName")) {
		return ""
	}
	return namespace
}

// receive reads a request within the limits and delivers it.
func (h *handler) receive(
	w http.ResponseWriter, req *http.Request, next deliverFunc,
) (code int, response any, err error) {
	ctx := req.Context()
	namespace := h.flowNamespace(req)
	end, err := h.Limiter.Begin(namespace)
	if err != nil {
		return 0, nil, logRejection(ctx, err)
	}
	defer end()
	req, release, err := h.Limiter.AcquireBody(w, req, namespace)
	if err != nil {
		return 0, nil, logRejection(ctx, err)
	}
	defer release()
	body, err := filters.ReadBody(w, req, h.MaxPayloadBytes, filters.PayloadTooLargeMessage(h.MaxPayloadBytes))
	if err != nil {
		return 0, nil, logRejection(ctx, err)
	}
	return next(req, &delivery.Request{
		Delivery:             &postern.WebhookDelivery{},
		Header:               req.Header,
		Body:                 body,
		QuerySecret:          delivery.QuerySecretFrom(req.Context()),
		RegistryURL:          req.URL.Query().Get("registry_url"),
		User:                 &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}},
		AuthorizationIsToken: true,
		NoShare:              namespace == "",
	})
}
