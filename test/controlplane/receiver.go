// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"slices"
	"strconv"
	"strings"
)

// receiverFiles is where an installation mounts the receiver's certificate, which needs no flag there.
const receiverFiles = "/etc/postern/receiver-tls"

// ReceiverAddress returns the host and port of the classic receiver, unless a test's flags choose others. It is "" if
// the receiver is disabled.
func (p *Postern) ReceiverAddress() string {
	if p.receiverPort == nil {
		return ""
	}
	return "127.0.0.1:" + p.receiverPort.String()
}

// enableReceiver makes an enabled receiver listen on a port that the control plane reserves for this Postern. It
// returns nil if the receiver is disabled.
func (c *ControlPlane) enableReceiver(l *launch, name string, o PosternOptions) (*port, error) {
	if !enablesReceiver(slices.Concat(l.args, o.Flags), slices.Concat(l.env, o.Env)) {
		return nil, nil
	}
	kept, found := c.receiverPorts[name]
	if !found {
		var err error
		if kept, err = reservePort(c.path(name + ".receiver.port")); err != nil {
			return nil, err
		}
		c.receiverPorts[name] = kept
	}
	l.override("--webhook-bind-address=127.0.0.1", "--webhook-port="+kept.String())
	if local := l.mounted.localize(receiverFiles); local != receiverFiles {
		l.override("--webhook-tls-cert-file="+local+"/tls.crt", "--webhook-tls-private-key-file="+local+"/tls.key")
	}
	return kept, nil
}

// enablesReceiver reports whether Postern's flags, of which the last wins, or its environment enable the receiver.
func enablesReceiver(args, env []string) bool {
	for _, arg := range slices.Backward(args) {
		if name, value, found := strings.Cut(arg, "="); name == "--enable-webhook" {
			enabled, err := strconv.ParseBool(value)
			return !found || err == nil && enabled
		}
	}
	for _, variable := range slices.Backward(env) {
		if value, found := strings.CutPrefix(variable, "ENABLE_WEBHOOK="); found {
			enabled, err := strconv.ParseBool(strings.ToLower(value))
			return err == nil && enabled
		}
	}
	return false
}
