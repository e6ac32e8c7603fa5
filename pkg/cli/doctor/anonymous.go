// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"net/http"
	"strings"

	"k8s.io/client-go/rest"
)

// examineAnonymousAccess sends a request without credentials to the path of a delivery. The kube-apiserver may allow
// anonymous requests to some paths only, so it has to be that one. It is a GET, which delivers nothing.
func (e *examiner) examineAnonymousAccess(ctx context.Context) {
	endpoints := e.endpoints()
	if !e.isAnonymous() || len(endpoints) == 0 {
		return
	}
	code, err := e.getAnonymously(ctx, endpoints[0])
	switch {
	case err != nil:
		e.report(Unknown, "", "could not send a request without credentials: %v", err)
	case code == http.StatusUnauthorized:
		e.reportNoAnonymousAccess(endpoints[0])
	default:
		e.report(OK, "", "the kube-apiserver takes requests without credentials for this path")
	}
}

func (e *examiner) reportNoAnonymousAccess(p endpoint) {
	const problem = "the kube-apiserver refuses requests without credentials, so %s can't deliver to it: " +
		"--anonymous-auth is off, or its authentication configuration does not list the path. "
	if e.Source != "" && e.sender.Identity {
		e.report(Fault, e.grantToken(strings.ReplaceAll(e.Source, ".", "-"), p),
			problem+"Give the sender a token of the cluster, which this writes to a file", e.Source)
		return
	}
	who := e.Source
	if who == "" {
		who = "an anonymous sender"
	}
	e.report(Fault, "", problem+"Allow it there, or enable the classic receiver", who)
}

func (e *examiner) getAnonymously(ctx context.Context, p endpoint) (code int, err error) {
	config := rest.AnonymousClientConfig(e.Config)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return 0, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return 0, err
	}
	url := base.JoinPath(p.path).String() + "?limit=1"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}
