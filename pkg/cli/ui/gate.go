// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"sync/atomic"
)

// gate lets only the user's own browser in. Other users of the machine, other programs with a page on loopback, and
// pages of the internet can all send requests to the port.
type gate struct {
	// hosts are the accepted Host headers. A page of another name that resolves to loopback sends its own.
	hosts map[string]bool
	// root is the path of everything, and that of the cookie. It is random, since a browser sends a cookie to all ports
	// of a host: a server on another port gets it only for the same path.
	root string
	// token is shown to the user, in an address that can be opened again.
	token string
	// session is the value of the cookie.
	session string

	// launch is in the address that a browser is started with, and is valid once: other users of the machine can read
	// the arguments of a process. It has a session of its own, which is over if it is used again: who was first may
	// not have been the user.
	launch, launchSession string
	// launchUsed is whether launch has been used.
	launchUsed atomic.Bool
	// launched is done when the session of launch is over, by endLaunch.
	launched  context.Context
	endLaunch context.CancelFunc
}

const cookieName = "postern"

func newGate(address string, port string) *gate {
	launched, endLaunch := context.WithCancel(context.Background())
	return &gate{
		hosts: map[string]bool{address: true, "localhost:" + port: true},
		root:  "/" + rand.Text() + "/", token: rand.Text(), session: rand.Text(),
		launch: rand.Text(), launchSession: rand.Text(),
		launched: launched, endLaunch: endLaunch,
	}
}

// enterPath is where a token is exchanged for the cookie, below the root.
const enterPath = "enter"

// contentPolicy allows what the page has itself and nothing inline.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// protect returns a handler that passes on only requests of a browser that has entered.
func (g *gate) protect(next http.Handler, enter, refuse http.HandlerFunc) http.Handler {
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(refuse)
	next = sameOrigin.Handler(http.MaxBytesHandler(next, maxBody))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w.Header())
		switch {
		case !g.hosts[r.Host]:
			http.Error(w, "unknown host", http.StatusMisdirectedRequest)
		case r.Method == http.MethodGet && r.URL.Path == g.root+enterPath:
			g.enter(w, r, enter, refuse)
		case !fromHere(r):
			refuse(w, r)
		default:
			session, entered := g.sessionOf(r)
			if !entered {
				refuse(w, r)
				return
			}
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(session, cancel)()
			http.StripPrefix(g.root[:len(g.root)-1], next).ServeHTTP(w, r.WithContext(ctx))
		}
	})
}

func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer, forms send no Origin
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "no-store")
}

// enter sets the cookie if the token is right. It answers with a page that goes on by itself: after a redirect, the
// browser would take the next request for one of the page or program that opened the address, and omit the cookie.
func (g *gate) enter(w http.ResponseWriter, r *http.Request, enter, refuse http.HandlerFunc) {
	if _, entered := g.sessionOf(r); entered { // the browser has loaded the address again
		enter(w, r)
		return
	}
	session, accepted := g.accept(r.URL.Query().Get("token"))
	if !accepted {
		refuse(w, r)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: session, Path: g.root, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	enter(w, r)
}

// accept returns the session that a token opens.
func (g *gate) accept(token string) (session string, accepted bool) {
	switch {
	case equal(token, g.token):
		return g.session, true
	case !equal(token, g.launch):
		return "", false
	case g.launchUsed.Swap(true):
		g.endLaunch()
		return "", false
	}
	return g.launchSession, true
}

// sessionOf reports whether the browser of a request has entered, and returns what is done when its session is over.
func (g *gate) sessionOf(r *http.Request) (session context.Context, entered bool) {
	cookie, err := r.Cookie(cookieName)
	switch {
	case err != nil:
		return nil, false
	case equal(cookie.Value, g.session):
		return context.Background(), true
	case equal(cookie.Value, g.launchSession):
		return g.launched, g.launched.Err() == nil
	}
	return nil, false
}

// fromHere reports whether the browser says that a page of ours, or the user, caused the request. To a browser a page
// of another port of this host is of the same site, so it gets the cookie. CrossOriginProtection checks only requests
// that may change something.
func fromHere(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return true
	}
	return false
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
