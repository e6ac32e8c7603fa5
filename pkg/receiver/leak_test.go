// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Users put the secret in wrong places, and their mistakes are answered and logged.
func TestHandler_SecretIsInNoAnswerOrLog(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, tc := range []struct {
		path   string
		header []string
		code   int
	}{
		{"/webhook?type=docker.io&secret=" + secret, nil, http.StatusOK},
		{"/webhook?type=docker.io&amp;secret=" + secret, nil, http.StatusOK}, // and no secret is presented
		{"/webhook?type=docker.io?secret=" + secret, nil, http.StatusBadRequest},
		{"/webhook?type=docker.io%3Fsecret=" + secret, nil, http.StatusBadRequest},
		{"/webhook?type=docker.io%26secret=" + secret, nil, http.StatusBadRequest},
		{"/webhook?type=docker.io%23" + secret, nil, http.StatusBadRequest},
		{"/webhook?type=docker.io;secret=" + secret, nil, http.StatusBadRequest},
		{"/webhook?type=docker.io;" + secret, nil, http.StatusBadRequest},
		{"/webhook?type=docker.io+" + secret, nil, http.StatusBadRequest},
		{"/webhook?type=nobody&secret=" + secret, nil, http.StatusBadRequest},
		{"/webhook?secret=" + secret + "&type=nobody", nil, http.StatusBadRequest},
		{"/webhook?type=a&type=" + secret, nil, http.StatusBadRequest},
		{"/webhook?" + secret, nil, http.StatusBadRequest},
		{"/webhook", []string{typeHeader, "docker.io?secret=" + secret}, http.StatusBadRequest},
		{"/webhook", []string{typeHeader, "docker.io", typeHeader, secret}, http.StatusBadRequest},
		{"/webhook/?type=docker.io;secret=" + secret, nil, http.StatusNotFound},
		{"//webhook?type=docker.io;secret=" + secret, nil, http.StatusNotFound},
		{"//webhook/demo/plant?secret=" + secret, nil, http.StatusNotFound},
		{"/webhook/docker.io/" + secret + "/more", nil, http.StatusNotFound},
		{"/webhook/demo&secret=" + secret + "/plant", nil, http.StatusBadRequest},
		{"/webhook/demo/plant&secret=" + secret, nil, http.StatusBadRequest},
		{"/webhook/demo/plant%3Fsecret=" + secret, nil, http.StatusBadRequest},
		{"/webhook/demo/plant;secret=" + secret, nil, http.StatusBadRequest},
	} {
		p := &pipeline{acceptedSources: []string{"docker.io"}}
		response, log := postLogged(p.handler(t, "demo"), tc.path, tc.header...)
		if response.Code != tc.code {
			t.Errorf("%s %v: got %d %s, want %d", tc.path, tc.header, response.Code, response.Body, tc.code)
		}
		if got := fmt.Sprint(response.Body, response.Header()); strings.Contains(got, secret) {
			t.Errorf("%s %v: the secret is in the response: %s", tc.path, tc.header, got)
		}
		if strings.Contains(log, secret) {
			t.Errorf("%s %v: the secret is in the log: %s", tc.path, tc.header, log)
		}
		if tc.code == http.StatusBadRequest && log == "" {
			t.Errorf("%s %v: nothing was logged", tc.path, tc.header)
		}
	}
}
