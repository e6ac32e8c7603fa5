// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"slices"
	"strconv"
	"strings"
)

// receiverFiles is where an installation mounts the certificate of the classic receiver, which needs no flag there.
const receiverFiles = "/etc/postern/receiver-tls"

// ReceiverAddress is the host and the port of the classic receiver, unless flags of a test choose others; "" if it is not
// enabled.
func (p *Postern) ReceiverAddress() string {
	if p.receiverPort == nil {
		return ""
	}
	return "127.0.0.1:" + p.receiverPort.String()
}

// enableReceiver has the receiver, if it is enabled, listen on a port that is kept for this Postern as long as the control
// plane lives. It returns nil if it is not.
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

// enablesReceiver tells what Postern will make of its flags, of which the last counts, or else of its environment.
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
