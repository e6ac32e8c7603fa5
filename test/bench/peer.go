// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"postern.dev/postern/test/controlplane"
)

// peerTimeout is the time in which a peer must accept connections.
const peerTimeout = 2 * time.Minute

// receiver is an endpoint outside of the kube-apiserver that accepts the webhook of a generic sender for one object.
type receiver struct {
	name string
	// url may contain {namespace} and {name} of the object.
	url    string
	header http.Header
	// command starts it; empty if it is started by other means.
	command string
}

// peers are the receivers of others, in the order of the flags.
type peers []*receiver

// set returns the parser of a flag NAME=VALUE, which passes the value to the peer of that name.
func (p *peers) set(pass func(peer *receiver, value string) error) func(string) error {
	return func(flag string) error {
		name, value, found := strings.Cut(flag, "=")
		if !found || name == "" || value == "" {
			return errors.New("must be NAME=VALUE")
		}
		i := slices.IndexFunc(*p, func(r *receiver) bool { return r.name == name })
		if i < 0 {
			i = len(*p)
			*p = append(*p, &receiver{name: name, header: http.Header{}})
		}
		return pass((*p)[i], value)
	}
}

func (r *receiver) setURL(value string) error {
	r.url = value
	_, err := r.address()
	return err
}

func (r *receiver) setCommand(value string) error {
	r.command = value
	return nil
}

func (r *receiver) addHeader(value string) error {
	name, content, found := strings.Cut(value, ":")
	if !found {
		return errors.New("must be NAME=Header: value")
	}
	r.header.Add(strings.TrimSpace(name), strings.TrimSpace(content))
	return nil
}

// check returns an error if a peer has no URL.
func (p peers) check() error {
	for _, r := range p {
		if r.url == "" {
			return fmt.Errorf("there is no -peer %s=URL", r.name)
		}
	}
	return nil
}

// address returns the host and port.
func (r *receiver) address() (string, error) {
	parsed, err := url.Parse(r.url)
	if err != nil {
		return "", err
	}
	ports := map[string]string{"http": "80", "https": "443"}
	port := ports[parsed.Scheme]
	if port == "" || parsed.Hostname() == "" {
		return "", fmt.Errorf("%q is no URL of http or https", r.url)
	}
	if parsed.Port() != "" {
		port = parsed.Port()
	}
	return net.JoinHostPort(parsed.Hostname(), port), nil
}

// startPeer runs a peer's command, if it has one, and waits until it accepts connections.
func (c *cluster) startPeer(ctx context.Context, r *receiver) error {
	address, err := r.address()
	if err != nil {
		return err
	}
	program := c.peers[r.name]
	if r.command != "" && program == nil {
		program, err = c.StartProgram(controlplane.ProgramOptions{
			Name: "peer-" + r.name, Path: "/bin/sh", Args: []string{"-c", r.command},
			Env: []string{"KUBECONFIG=" + c.AdminKubeconfig()},
		})
		if err != nil {
			return err
		}
		c.peers[r.name] = program
	}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, peerTimeout, true,
		func(ctx context.Context) (bool, error) {
			if program != nil && !program.Running() {
				return false, fmt.Errorf("the command of %s has ended; %s", r.name, program.LogTail())
			}
			connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err != nil {
				return false, nil //nolint:nilerr // it does not listen yet
			}
			return true, connection.Close()
		})
}

// newReceiverClient returns a client of receivers, whose certificates are often self-signed.
func newReceiverClient() (*client, error) {
	return newClient(&rest.Config{TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
}

// receive posts the webhook of a generic sender to a receiver. Any 2xx is a success.
func (c *cluster) receive(by *client, at *receiver, to objects) operation {
	header := at.header.Clone()
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	return func(ctx context.Context, number int) (string, bool) {
		path := strings.NewReplacer("{namespace}", namespace, "{name}", to.name(number)).Replace(at.url)
		got, err := by.send(ctx, http.MethodPost, path, header, c.newPush())
		return codeOf(got, err), err == nil && got.code/100 == 2
	}
}
