// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/servingcert"
)

// checkInterval is how often the certificate's age and the files are checked. Most file changes are noticed at once.
const checkInterval = 10 * time.Second

// Certificates provides the receiver's serving certificates: the pair in its files, or a self-signed one while there is
// none. A broken or expired pair never replaces a certificate in use. It is safe for concurrent use.
type Certificates struct {
	options TLSOptions
	now     func() time.Time
	current atomic.Pointer[certificateSet]

	mu sync.Mutex
	// files watches the files once they exist; watchOnce starts it.
	files     *dynamiccertificates.DynamicCertKeyPairContent
	watchOnce sync.Once
	// lastError is the last logged error of the files; it is not logged again.
	lastError string
}

// certificateSet offers a client its first certificate that the client supports.
type certificateSet struct {
	certificates []tls.Certificate
	renewAt      time.Time // zero if they are from files
}

// LoadCertificates loads the files, or creates a self-signed certificate if one of them is absent or empty. A broken
// pair is an error. A pair that has expired or is not valid yet is served: an error would end the whole process at its
// next restart because of the time alone, and senders that do not verify it still work.
func LoadCertificates(options TLSOptions) (*Certificates, error) {
	return loadCertificates(options, time.Now)
}

func loadCertificates(options TLSOptions, now func() time.Time) (*Certificates, error) {
	c := &Certificates{options: options, now: now}
	missing, err := options.missingFile()
	if err != nil {
		return nil, err
	}
	if missing != "" {
		klog.InfoS("No certificate for webhooks is mounted, so a self-signed one is used, which senders can't verify",
			"missing", missing, "certFile", options.CertFile, "keyFile", options.KeyFile)
		return c, c.selfSign()
	}
	if c.files, err = c.openFiles(); err != nil {
		return nil, err
	}
	mounted, err := c.loadPair()
	if err != nil {
		return nil, err
	}
	c.setCurrent(&certificateSet{certificates: []tls.Certificate{mounted}})
	if err := c.checkValidity(mounted.Leaf); err != nil {
		c.logOnce(err, "Senders that verify the certificate for webhooks refuse it")
	}
	return c, nil
}

// missingFile returns which of the two files is missing, or "". A file counts as missing if its path is not set, or if
// it is absent or empty, as with an optional Secret.
func (o TLSOptions) missingFile() (string, error) {
	for _, file := range []struct{ content, path string }{{"certificate", o.CertFile}, {"private key", o.KeyFile}} {
		info, err := os.Stat(file.path)
		switch {
		case file.path == "", errors.Is(err, fs.ErrNotExist), err == nil && info.Size() == 0:
			return file.content, nil
		case err != nil:
			return "", fmt.Errorf("could not read the certificate for webhooks: %w", err)
		}
	}
	return "", nil
}

func (c *Certificates) openFiles() (*dynamiccertificates.DynamicCertKeyPairContent, error) {
	files, err := dynamiccertificates.NewDynamicServingContentFromFiles("receiver", c.options.CertFile,
		c.options.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("could not load the certificate for webhooks from %s and %s: %w", c.options.CertFile,
			c.options.KeyFile, err)
	}
	files.AddListener(c)
	return files, nil
}

// loadPair returns the certificate in the files, which may have expired.
func (c *Certificates) loadPair() (tls.Certificate, error) {
	mounted, err := tls.X509KeyPair(c.files.CurrentCertKeyContent())
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("could not load the certificate for webhooks from %s and %s: %w",
			c.options.CertFile, c.options.KeyFile, err)
	}
	return mounted, nil
}

// checkValidity returns an error with a remedy if a certificate of the files is not valid now. It checks only the leaf:
// clients can find another path around an expired intermediate.
func (c *Certificates) checkValidity(leaf *x509.Certificate) error {
	switch now := c.now(); {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate for webhooks in %s expired on %s: renew it, which takes no restart",
			c.options.CertFile, leaf.NotAfter.Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf(
			"the certificate for webhooks in %s is not valid before %s: check the clock of this machine and the issuer",
			c.options.CertFile, leaf.NotBefore.Format(time.RFC3339))
	}
	return nil
}

// getCertificate implements GetCertificate of tls.Config.
func (c *Certificates) getCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	certificates := c.current.Load().certificates
	for i := range certificates {
		if hello.SupportsCertificate(&certificates[i]) == nil {
			return &certificates[i], nil
		}
	}
	return &certificates[0], nil // the handshake reports the mismatch
}

// Run keeps the certificates current until ctx is done. Call it once.
func (c *Certificates) Run(ctx context.Context) {
	wait.UntilWithContext(ctx, c.refresh, checkInterval)
}

// Enqueue reloads changed files. It implements dynamiccertificates.Listener.
func (c *Certificates) Enqueue() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reload()
}

// refresh renews certificates by age and rereads the files: replacing them can end the file watch.
func (c *Certificates) refresh(ctx context.Context) {
	files := c.ensureWatch(ctx)
	var err error
	if files != nil {
		err = files.RunOnce(ctx) // which calls Enqueue
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.logOnce(
			fmt.Errorf("could not load the certificate for webhooks from %s and %s: %w", c.options.CertFile,
				c.options.KeyFile, err), msgUnchanged)
	case files != nil:
		c.reload() // an unchanged pair may have become valid
	}
	if at := c.current.Load().renewAt; !at.IsZero() && !c.now().Before(at) {
		if err := c.selfSign(); err != nil {
			c.logOnce(err, msgUnchanged)
		}
	}
}

// ensureWatch starts and returns the watch of the files, nil until they exist, as those of an optional Secret may
// later.
func (c *Certificates) ensureWatch(ctx context.Context) *dynamiccertificates.DynamicCertKeyPairContent {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files == nil {
		missing, err := c.options.missingFile()
		if err == nil && missing != "" {
			return nil
		}
		if err == nil {
			c.files, err = c.openFiles()
		}
		if err != nil {
			c.logOnce(err, msgUnchanged)
			return nil
		}
	}
	c.watchOnce.Do(func() { go c.files.Run(ctx, 1) })
	return c.files
}

// reload serves the certificate of the files if it has changed and is valid.
func (c *Certificates) reload() {
	mounted, err := c.loadPair()
	if err == nil {
		err = c.checkValidity(mounted.Leaf)
	}
	if err != nil {
		c.logOnce(err, msgUnchanged)
		return
	}
	c.lastError = ""
	if slices.EqualFunc(c.current.Load().certificates[0].Certificate, mounted.Certificate, bytes.Equal) {
		return
	}
	c.setCurrent(&certificateSet{certificates: []tls.Certificate{mounted}})
	klog.InfoS("Loaded a new certificate for webhooks",
		"certFile", c.options.CertFile, "notAfter", mounted.Leaf.NotAfter)
}

// msgUnchanged is logged if the files can't be used.
const msgUnchanged = "The certificate for webhooks is unchanged"

// logOnce logs an error of the files unless it was the last one logged.
func (c *Certificates) logOnce(err error, message string) {
	if text := err.Error(); text != c.lastError {
		c.lastError = text
		klog.ErrorS(err, message)
	}
}

// selfSign creates self-signed certificates. They are renewed after two thirds of their validity.
func (c *Certificates) selfSign() error {
	now := c.now()
	certificates, err := selfSign(now, !c.options.ignoresSuites())
	if err != nil {
		return err
	}
	c.setCurrent(&certificateSet{certificates: certificates, renewAt: now.Add(selfSignedValidity * 2 / 3)})
	return nil
}

func (c *Certificates) setCurrent(set *certificateSet) {
	c.current.Store(set)
	servingcert.ObserveReceiver(set.certificates[0].Leaf)
}
