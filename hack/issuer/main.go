// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command issuer is an OpenID provider on loopback, made of ZITADEL's library. It issues signed access tokens by the
// client credentials grant: the client is the name of a file with the claims, in the directory that its flag names. It
// writes its URL and its certificate there once it serves. POST /rotate replaces its key.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

func main() {
	dir := flag.String("dir", ".", "directory of the claims, and of url and ca.crt, which are written")
	flag.Parse()
	if err := serve(*dir); err != nil {
		log.Fatal(err)
	}
}

func serve(dir string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("could not listen: %w", err)
	}
	certificate, authority, err := selfSigned()
	if err != nil {
		return fmt.Errorf("could not make a certificate: %w", err)
	}
	issuer := "https://" + listener.Addr().String()
	store, err := newStore(dir, issuer)
	if err != nil {
		return err
	}
	provider, err := op.NewProvider(&op.Config{CryptoKeyId: "1", GrantTypeRefreshToken: true}, store,
		op.StaticIssuer(issuer))
	if err != nil {
		return fmt.Errorf("could not create the provider: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", provider)
	mux.HandleFunc("POST /rotate", func(w http.ResponseWriter, _ *http.Request) {
		if err := store.rotate(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), authority, 0o600); err != nil {
		return fmt.Errorf("could not write the certificate: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "url"), []byte(issuer), 0o600); err != nil {
		return fmt.Errorf("could not write the URL: %w", err)
	}
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
	return server.ServeTLS(listener, "", "")
}

// store is the library's storage of examples, with other clients, claims and keys.
type store struct {
	*storage.Storage

	dir, issuer string

	mu  sync.Mutex
	key signingKey
}

func newStore(dir, issuer string) (*store, error) {
	s := &store{Storage: storage.NewStorage(storage.NewUserStore(issuer)), dir: dir, issuer: issuer}
	return s, s.rotate()
}

func (s *store) rotate() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("could not generate a key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = signingKey{rand.Text(), key}
	return nil
}

func (s *store) current() signingKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

// SigningKey returns the key that signs tokens.
func (s *store) SigningKey(context.Context) (op.SigningKey, error) { return s.current(), nil }

// SignatureAlgorithms returns the algorithm of the key.
func (s *store) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

// KeySet returns the public keys.
func (s *store) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{publicKey{s.current()}}, nil
}

type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k signingKey) Key() any                                    { return k.key }
func (k signingKey) ID() string                                  { return k.id }

type publicKey struct{ signing signingKey }

func (k publicKey) ID() string                         { return k.signing.id }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return &k.signing.key.PublicKey }

// claimsOf reads the claims of a client.
func (s *store) claimsOf(client string) (map[string]any, error) {
	if !filepath.IsLocal(client) {
		return nil, errors.New("no such client")
	}
	data, err := os.ReadFile(filepath.Join(s.dir, client+".json"))
	if err != nil {
		return nil, fmt.Errorf("could not read the claims: %w", err)
	}
	var claims map[string]any
	if err := json.Unmarshal(data, &claims); err != nil {
		return nil, fmt.Errorf("could not read the claims of %s: %w", client, err)
	}
	return claims, nil
}

// ClientCredentials accepts every client that has claims.
func (s *store) ClientCredentials(ctx context.Context, id, _ string) (op.Client, error) {
	if _, err := s.claimsOf(id); err != nil {
		return nil, err
	}
	base, err := s.Storage.ClientCredentials(ctx, "sid1", "verysecret")
	if err != nil {
		return nil, err
	}
	return client{base, id}, nil
}

// client gets tokens that are JWTs.
type client struct {
	op.Client

	id string
}

func (c client) GetID() string                       { return c.id }
func (c client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

// ClientCredentialsTokenRequest returns the subject and the audience among the claims.
func (s *store) ClientCredentialsTokenRequest(
	_ context.Context, id string, scopes []string,
) (op.TokenRequest, error) {
	claims, err := s.claimsOf(id)
	if err != nil {
		return nil, err
	}
	subject, _ := claims["sub"].(string)
	audience, _ := claims["aud"].(string)
	return &oidc.JWTTokenRequest{Subject: subject, Audience: []string{audience}, Scopes: scopes}, nil
}

// GetPrivateClaimsFromScopes returns the other claims.
func (s *store) GetPrivateClaimsFromScopes(_ context.Context, _, id string, _ []string) (map[string]any, error) {
	claims, err := s.claimsOf(id)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"iss", "sub", "aud", "iat", "exp", "nbf"} {
		delete(claims, name)
	}
	return claims, nil
}

// selfSigned returns a certificate for loopback.
func selfSigned() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
