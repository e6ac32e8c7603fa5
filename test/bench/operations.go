// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
)

// noAnswer stands for a request without a response.
const noAnswer = "none"

// applied and superseded are the phases of successful deliveries.
const (
	applied    = "202 Applied"
	superseded = "202 Superseded"
)

// objects are the objects that one side cycles through: count of them, starting with first.
type objects struct {
	kind
	first, count int
}

func (o objects) name(number int) string { return nameOf(o.first + number%o.count) }

// newRef returns a new ref, so that each request changes something.
func (c *cluster) newRef() string { return "v1." + strconv.FormatInt(c.refs.Add(1), 10) }

// newPush returns the payload of a generic sender with a new ref.
func (c *cluster) newPush() []byte { return []byte(`{"ref":"` + c.newRef() + `"}`) }

// deliver posts the webhook of a generic sender for one object. Any 202 is a success.
func (c *cluster) deliver(to objects) operation {
	return func(ctx context.Context, number int) (string, bool) {
		got, err := c.sender.do(ctx, http.MethodPost, to.deliverPath(to.name(number)), "application/json", c.newPush())
		if err != nil {
			return noAnswer, false
		}
		if got.code != http.StatusAccepted {
			return strconv.Itoa(got.code), false
		}
		return "202 " + phaseIn(got.body), true
	}
}

func phaseIn(delivery []byte) string { return stringIn(delivery, "phase") }

// stringIn returns the first string with this name in JSON without decoding it: the client shares the processors with
// the measured programs.
func stringIn(json []byte, name string) string {
	_, rest, _ := bytes.Cut(json, []byte(`"`+name+`":"`))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}

// patch changes the annotations that Postern changes, without Postern, as "kubectl annotate" does.
func (c *cluster) patch(of objects) operation {
	return func(ctx context.Context, number int) (string, bool) {
		body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": of.annotations(c.newRef(),
			timestamp())}})
		if err != nil {
			return err.Error(), false
		}
		got, err := c.sender.do(ctx, http.MethodPatch, of.path(of.name(number)), "application/merge-patch+json", body)
		return codeOf(got, err), err == nil && got.code == http.StatusOK
	}
}

// update makes the same change as many clients do: read the object, change it, write the whole object, and retry on a
// conflict. It counts the conflicts.
func (c *cluster) update(of objects, conflicts *atomic.Int64) operation {
	return func(ctx context.Context, number int) (string, bool) {
		for {
			got, err := c.updateOnce(ctx, of, of.name(number))
			if err != nil || got.code != http.StatusConflict {
				return codeOf(got, err), err == nil && got.code == http.StatusOK
			}
			conflicts.Add(1)
		}
	}
}

func (c *cluster) updateOnce(ctx context.Context, of objects, name string) (answer, error) {
	got, err := c.sender.do(ctx, http.MethodGet, of.path(name), "", nil)
	if err != nil || got.code != http.StatusOK {
		return got, err
	}
	var object map[string]any
	if err := json.Unmarshal(got.body, &object); err != nil {
		return answer{}, fmt.Errorf("could not decode %s: %w", name, err)
	}
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	if annotations == nil {
		return answer{}, fmt.Errorf("%s has no annotations", name)
	}
	for key, value := range of.annotations(c.newRef(), timestamp()) {
		annotations[key] = value
	}
	body, err := json.Marshal(object)
	if err != nil {
		return answer{}, fmt.Errorf("could not encode %s: %w", name, err)
	}
	return c.sender.do(ctx, http.MethodPut, of.path(name), "application/json", body)
}

func codeOf(got answer, err error) string {
	if err != nil {
		return noAnswer
	}
	return strconv.Itoa(got.code)
}
