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
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/registry/deliver"
)

// Deliverer takes deliveries through all stages.
type Deliverer interface {
	// Deliver delivers to the one target that the delivery names.
	Deliver(ctx context.Context, d *postern.WebhookDelivery, in delivery.Request, dryRun bool) (*postern.WebhookDelivery, error)
	// DeliverToNamespaces delivers to whatever wants what was pushed, in those of the namespaces whose secrets accept it.
	DeliverToNamespaces(ctx context.Context, source string, namespaces []string, in delivery.Request) (delivery.FanoutResult, error)
}

// Limiter keeps out what is too much, or comes at the wrong time. Its errors are ready to be answered.
type Limiter interface {
	// Begin lets a request begin, which takes a part of the share of a namespace or, if that is empty, of one that is for
	// all other requests. Call end when it is answered.
	Begin(namespace string) (end func(), err error)
	// AcquireBody takes what the body of a request needs. Read the body of the request that it returns, and call release when
	// that is answered.
	AcquireBody(w http.ResponseWriter, req *http.Request, namespace string) (bounded *http.Request, release func(), err error)
}

// Config is what the handler works with. Every field is needed.
type Config struct {
	Deliverer Deliverer
	Limiter   Limiter
	// CanAccept reports whether a type of sender can be accepted in any namespace that webhooks may act on. It is asked about
	// every type for whoever gives none, and so must be cheap.
	CanAccept func(source string) bool
	// Namespaces are those that webhooks may act on.
	Namespaces Namespaces
	// TargetNamespaces returns those that hold any target. It is asked if webhooks may act on all.
	TargetNamespaces func() ([]string, error)
	// Exists reports whether there is a GatewaySync of that name, as far as that is known without asking for it.
	Exists func(namespace, name string) bool
	// MaxPayloadBytes bounds a payload.
	MaxPayloadBytes int64
}

// handler serves the paths of both receivers whose place it takes.
type handler struct{ Config }

// NewHandler returns the handler of POST /webhook/{namespace}/{crName}, POST /webhook?type={type} and GET /healthz.
func NewHandler(config Config) http.Handler {
	h := &handler{config}
	mux := http.NewServeMux()
	mux.Handle("/webhook/{namespace}/{crName}", h.webhookHandler(h.deliverToTarget))
	mux.Handle("/webhook", h.webhookHandler(h.deliverByType))
	mux.HandleFunc("/healthz", serveHealthz)
	mux.HandleFunc("/", serveNotFound)
	const noWarning = "" // it is in no audit log
	return deliver.WithoutQuerySecret(withoutRedirects(mux), noWarning)
}

// withoutRedirects answers that there is nothing at a path which is not clean, such as //webhook. The mux would redirect,
// which few senders follow with a body, and repeat the query, in which an ill-written secret may still be.
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

// serveHealthz says that the process answers, also while nothing can be delivered: to end it would not help then.
func serveHealthz(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		methodNotAllowed(w, "GET, HEAD")
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("OK"))
}

// deliverFunc delivers what came in by a request, and returns what to answer.
type deliverFunc func(req *http.Request, in delivery.Request) (code int, answer any, err error)

// webhookHandler makes a handler of what delivers.
func (h *handler) webhookHandler(next deliverFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodPost {
			methodNotAllowed(w, http.MethodPost)
			return
		}
		// Whoever turned up is not in any audit log.
		log := klog.FromContext(req.Context()).WithValues("door", "receiver", "remote", req.RemoteAddr)
		req = req.WithContext(klog.NewContext(req.Context(), log))
		code, response, err := h.receive(w, req, next)
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, code, response)
	})
}

// logRejection logs the error that answers a webhook which the pipeline, and so its log, has not seen, and further names and
// values. Anybody can cause many.
func logRejection(ctx context.Context, err error, keysAndValues ...any) error {
	klog.FromContext(ctx).V(2).Info("Turned a webhook away", append([]any{"err", err}, keysAndValues...)...)
	return err
}

// flowNamespace returns the namespace whose share a request takes a part of: that in the path if webhooks may deliver there. All
// other requests have one share together, or those that name what does not exist would take the shares of others.
func (h *handler) flowNamespace(req *http.Request) string {
	namespace := req.PathValue("namespace")
	if !h.Namespaces.Allow(namespace) || !h.Exists(namespace, req.PathValue("crName")) {
		return ""
	}
	return namespace
}

// receive reads a request, in the bounds that the guard sets, and delivers it.
func (h *handler) receive(w http.ResponseWriter, req *http.Request, next deliverFunc) (code int, response any, err error) {
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
	body, err := deliver.ReadBody(w, req, h.MaxPayloadBytes, deliver.PayloadTooLargeMessage(h.MaxPayloadBytes))
	if err != nil {
		return 0, nil, logRejection(ctx, err)
	}
	return next(req, delivery.Request{
		Header:               req.Header,
		Body:                 body,
		QuerySecret:          delivery.QuerySecretFrom(req.Context()),
		RegistryURL:          req.URL.Query().Get("registry_url"),
		User:                 &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}},
		AuthorizationIsToken: true,
		NoShare:              namespace == "",
	})
}
