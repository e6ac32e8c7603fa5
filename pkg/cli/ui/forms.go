// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"crypto/rand"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// maxForms is how many forms may be open at a time.
const maxForms = 64

// forms are the forms that were shown and not sent yet. Each has a token, which is valid once and for one delivery.
type forms struct {
	mu   sync.Mutex
	open []form
}

type form struct {
	token    string
	delivery types.UID
}

// add returns the token of a new form. It forgets the oldest if there are too many.
func (f *forms) add(delivery types.UID) (token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.open) == maxForms {
		f.open = slices.Delete(f.open, 0, 1)
	}
	token = rand.Text()
	f.open = append(f.open, form{token, delivery})
	return token
}

// take reports whether a form with this token was shown for the delivery, and forgets it.
func (f *forms) take(token string, delivery types.UID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := slices.IndexFunc(f.open, func(o form) bool { return equal(o.token, token) && o.delivery == delivery })
	if at < 0 {
		return false
	}
	f.open = slices.Delete(f.open, at, at+1)
	return true
}
