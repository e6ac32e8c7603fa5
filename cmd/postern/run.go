// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/certificate"
	"postern.dev/postern/pkg/controller"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/etcd"
	"postern.dev/postern/pkg/version"
)

// run serves until ctx is done. The certificates are followed from the beginning, so that whatever is answered on the port
// is trusted as early as can be.
func run(ctx context.Context, o *options) error {
	ctrl.SetLogger(klog.Background())
	klog.InfoS("Starting", "version", version.Get().String())
	version.RegisterMetrics()
	delivery.RegisterMetrics()
	controller.RegisterMetrics()
	apiserver.RegisterMetrics()
	certificate.RegisterMetrics()
	for _, warning := range o.warnings() {
		klog.InfoS("WARNING: " + warning)
	}
	files, err := readFiles(o)
	if err != nil {
		return err
	}
	p := &process{options: o, files: files, own: &ownCertificates{}, hold: &holder{options: o}}
	if o.makesCertificates() {
		if p.own, err = newOwnCertificates(o); err != nil {
			return err
		}
		defer p.own.follow(ctx)()
	}
	if err := p.hold.listen(); err != nil {
		return err
	}
	defer p.hold.release()
	err = p.serveFromStorage(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil { // a signal came before there was anything to end
		return nil
	}
	return err
}

// process is what there is before anything is served.
type process struct {
	*options
	files *files
	own   *ownCertificates
	hold  *holder
	// member is the embedded etcd, nil if there is none.
	member *etcd.Server
}

// serveFromStorage serves until ctx is done. The embedded etcd, if there is one, starts first and ends last, since
// everything else stands on it.
func (p *process) serveFromStorage(ctx context.Context) error {
	if !p.embeddedEtcd() {
		return p.serve(ctx)
	}
	etcd.RegisterMetrics()
	member, err := openStorage(ctx, p.options, p.hold)
	if err != nil {
		return err
	}
	defer member.Close()
	p.member = member
	p.recommended.Etcd.StorageConfig.Transport.ServerList = []string{member.Endpoint()}

	serving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		if untilMended(serving, member) {
			stop(errStartAnew)
		}
	}()
	err = p.serve(serving)
	if cause := context.Cause(serving); errors.Is(cause, errStartAnew) && (err == nil || errors.Is(err, context.Canceled)) {
		return cause
	}
	return err
}
