// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// initialEvents makes a watch begin with all objects, and mark the end of these.
const initialEvents = "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"

// initialEventsEnd is in the event that marks the end of the initial ones.
var initialEventsEnd = []byte(`"` + metav1.InitialEventsAnnotationKey + `":"true"`)

// watch calls each for every event of a watch, in JSON, until it returns false.
func (c *client) watch(ctx context.Context, path string, header http.Header, each func(event []byte) bool) error {
	resp, err := c.request(ctx, http.MethodGet, path, header, nil)
	if err != nil {
		return fmt.Errorf("could not watch: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("watching was answered %d: %s", resp.StatusCode, body)
	}
	for events := bufio.NewReader(resp.Body); ; {
		event, err := events.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("the watch ended: %w", err)
		}
		if !each(event) {
			return nil
		}
	}
}
