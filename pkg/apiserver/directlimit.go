// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"crypto/sha256"
	"slices"
	"sync"

	"golang.org/x/time/rate"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/lru"
)

const (
	// How many callers are remembered that were accepted, how many credentials of one of them, and how many addresses that
	// sent other credentials.
	maxKnownCallers, maxCredentials, maxAddresses = 256, 32, 4096

	// A caller is given this part of all that is asked about, but at least one request a second.
	callerShare = 4
)

// credentialID stands for a token or a certificate without being one.
type credentialID [sha256.Size]byte

// directLimit bounds how many requests of direct callers are asked about. A caller whose credential was accepted before has a
// rate apart from all others, so that Prometheus goes on to scrape while others try tokens; and no caller, and no address
// with other credentials, gets more than its share of either. It is safe for concurrent use.
type directLimit struct {
	perSecond                    int
	addresses                    *lru.Cache // of *rate.Limiter, by string
	knownLimiter, unknownLimiter *rate.Limiter

	mu          sync.Mutex
	callers     *lru.Cache // of *knownCaller, by string
	credentials map[credentialID]*knownCaller
}

// knownCaller is one that was authorized, with the credentials by which that was. It can have any number of these: tokens of a
// ServiceAccount are free.
type knownCaller struct {
	limit       *rate.Limiter
	credentials []credentialID // the newest last
}

// newDirectLimit returns a limit with the rate for credentials that were accepted before, and the same for others.
func newDirectLimit(perSecond int) *directLimit {
	l := &directLimit{
		perSecond: perSecond, addresses: lru.New(maxAddresses),
		knownLimiter: rate.NewLimiter(rate.Limit(perSecond), 2*perSecond), unknownLimiter: rate.NewLimiter(rate.Limit(perSecond), 2*perSecond),
		credentials: map[credentialID]*knownCaller{},
	}
	l.callers = lru.NewWithEvictionFunc(maxKnownCallers, func(_ lru.Key, caller any) {
		for _, credential := range caller.(*knownCaller).credentials {
			delete(l.credentials, credential)
		}
	})
	return l
}

// allow reports whether a request with a credential, from an address, may be asked about now.
func (l *directLimit) allow(credential credentialID, address string) bool {
	if limiter := l.limitOf(credential); limiter != nil {
		return limiter.Allow() && l.knownLimiter.Allow()
	}
	limiter, found := l.addresses.Get(address)
	if !found { // two at once may make two, of which one counts: a request more
		limiter = l.newCallerLimiter()
		l.addresses.Add(address, limiter)
	}
	return limiter.(*rate.Limiter).Allow() && l.unknownLimiter.Allow()
}

// limitOf returns the limit of the caller whose credential it is, nil if that is not known.
func (l *directLimit) limitOf(credential credentialID) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.credentials[credential]; known != nil {
		return known.limit
	}
	return nil
}

// markAuthorized remembers that a caller with this credential was authorized.
func (l *directLimit) markAuthorized(credential credentialID, caller user.Info) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := callerName(caller)
	var known *knownCaller
	if found, ok := l.callers.Get(name); ok {
		known = found.(*knownCaller)
	} else {
		known = &knownCaller{limit: l.newCallerLimiter()}
		l.callers.Add(name, known)
	}
	if l.credentials[credential] == known {
		return
	}
	known.credentials = append(known.credentials, credential)
	l.credentials[credential] = known
	if len(known.credentials) > maxCredentials {
		delete(l.credentials, known.credentials[0])
		known.credentials = slices.Delete(known.credentials, 0, 1)
	}
}

// callerName returns the name under which a caller is remembered. ServiceAccounts of one namespace count as one: whoever may
// make one there may make any number.
func callerName(caller user.Info) string {
	if namespace, _, err := serviceaccount.SplitUsername(caller.GetName()); err == nil {
		return serviceaccount.MakeNamespaceGroupName(namespace)
	}
	return caller.GetName()
}

func (l *directLimit) newCallerLimiter() *rate.Limiter {
	return rate.NewLimiter(max(1, rate.Limit(l.perSecond)/callerShare), l.perSecond)
}
