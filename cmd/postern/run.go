// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/controller"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/etcd"
	"postern.dev/postern/pkg/receiver"
	"postern.dev/postern/pkg/servingcert"
	"postern.dev/postern/pkg/version"
)

// run serves until ctx is done. It starts the serving-certificate controller first, so that the certificate on the port
// is trusted as early as possible.
func run(ctx context.Context, o *options) error {
	ctrl.SetLogger(klog.Background())
	klog.InfoS("Starting", "version", version.Get().String())
	version.RegisterMetrics()
	delivery.RegisterMetrics()
	controller.RegisterMetrics()
	apiserver.RegisterMetrics()
	servingcert.RegisterMetrics()
	for _, warning := range o.warnings() {
		klog.InfoS("WARNING: " + warning)
	}
	files, err := loadStartupFiles(o)
	if err != nil {
		return err
	}
	a := &app{options: o, files: files, managedCerts: &managedCertificates{}, startup: &startupServer{options: o}}
	if o.managesCertificates() {
		if a.managedCerts, err = newManagedCertificates(o); err != nil {
			return err
		}
		defer a.managedCerts.startServingController(ctx)()
	}
	if err := a.startup.listen(); err != nil {
		return err
	}
	defer a.startup.handOver()
	err = a.serveFromStorage(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil { // stopped by a signal during startup
		return nil
	}
	return err
}

// app is the state of the process before it serves the API.
type app struct {
	*options
	files        *startupFiles
	managedCerts *managedCertificates
	startup      *startupServer
	// member is the embedded etcd, nil if there is none.
	member *etcd.Server
}

// serveFromStorage serves until ctx is done. The embedded etcd, if any, starts first and stops last, because everything
// else depends on it.
func (a *app) serveFromStorage(ctx context.Context) error {
	if !a.embeddedEtcd() {
		return a.serve(ctx)
	}
	etcd.RegisterMetrics()
	member, err := openStorage(ctx, a.options, a.startup)
	if err != nil {
		return err
	}
	defer member.Close()
	a.member = member
	a.recommended.Etcd.StorageConfig.Transport.ServerList = []string{member.Endpoint()}

	serveCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		if waitForRecovery(serveCtx, member) {
			stop(errRestartRequired)
		}
	}()
	err = a.serve(serveCtx)
	if cause := context.Cause(serveCtx); errors.Is(cause, errRestartRequired) &&
		(err == nil || errors.Is(err, context.Canceled)) {
		return cause
	}
	return err
}

// startupFiles are the files that are loaded before anything starts, so that errors in them are reported at once.
type startupFiles struct {
	// secrets has the default secrets; the secrets of namespaces are added later.
	secrets  *credential.Secrets
	defaults *credential.DefaultsReloader
	// certificates is nil if the receiver needs none.
	certificates *receiver.Certificates
}

func loadStartupFiles(o *options) (*startupFiles, error) {
	f := &startupFiles{secrets: &credential.Secrets{}}
	var err, certificatesErr error
	f.defaults, err = credential.NewDefaultsReloader(o.defaultSecrets.source(), f.secrets)
	if o.webhook.enabled && !o.webhook.disableTLS {
		f.certificates, certificatesErr = o.webhook.loadCertificates(o.explicit)
	}
	return f, errors.Join(err, certificatesErr)
}

func (w *webhook) loadCertificates(g explicitSettings) (*receiver.Certificates, error) {
	options, err := w.tls(g)
	if err != nil {
		return nil, err
	}
	return receiver.LoadCertificates(options)
}
