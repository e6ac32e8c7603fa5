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

	"postern.dev/postern/pkg/certificate"
)

// checkInterval is how often the age of the certificate and the files are looked at. Mostly, a change of files is seen at
// once.
const checkInterval = 10 * time.Second

// Certificates are what the receiver shows: the certificate of its files, or, while there is none, a self-signed one that
// it makes itself. One that is broken or out of date never replaces another. They are safe for concurrent use.
type Certificates struct {
	options TLSOptions
	now     func() time.Time
	current atomic.Pointer[certificateSet]

	mu sync.Mutex
	// files follows the files once they have been there; follow starts that.
	files     *dynamiccertificates.DynamicCertKeyPairContent
	watchOnce sync.Once
	// lastError is what was last said about the files, so that it is not said again and again.
	lastError string
}

// certificateSet are those of which a client gets the first that it supports.
type certificateSet struct {
	certificates []tls.Certificate
	renewAt      time.Time // zero if they are not ours to renew
}

// LoadCertificates reads the files, or makes a self-signed certificate if one of them is absent or empty. A pair that is
// broken is an error. One that has expired, or is not valid yet, is shown all the same, since time makes it so and nobody's
// mistake just now: an error would end the whole process at its next restart, and senders that do not verify go on.
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

// missingFile returns which of the two is missing, or "". A file that is absent or empty, as those of an optional Secret are, is
// missing, and so is one for which no path is given.
func (o TLSOptions) missingFile() (string, error) {
	for _, file := range []struct{ holds, path string }{{"certificate", o.CertFile}, {"private key", o.KeyFile}} {
		info, err := os.Stat(file.path)
		switch {
		case file.path == "", errors.Is(err, fs.ErrNotExist), err == nil && info.Size() == 0:
			return file.holds, nil
		case err != nil:
			return "", fmt.Errorf("could not read the certificate for webhooks: %w", err)
		}
	}
	return "", nil
}

func (c *Certificates) openFiles() (*dynamiccertificates.DynamicCertKeyPairContent, error) {
	files, err := dynamiccertificates.NewDynamicServingContentFromFiles("receiver", c.options.CertFile, c.options.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("could not load the certificate for webhooks from %s and %s: %w", c.options.CertFile, c.options.KeyFile, err)
	}
	files.AddListener(c)
	return files, nil
}

// loadPair returns the certificate in the files, which may be out of date.
func (c *Certificates) loadPair() (tls.Certificate, error) {
	mounted, err := tls.X509KeyPair(c.files.CurrentCertKeyContent())
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("could not load the certificate for webhooks from %s and %s: %w", c.options.CertFile, c.options.KeyFile, err)
	}
	return mounted, nil
}

// checkValidity says what to do about a certificate of the files that is not valid now. Of a chain only the first counts:
// clients find their own way past an intermediate certificate that has expired.
func (c *Certificates) checkValidity(leaf *x509.Certificate) error {
	switch now := c.now(); {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate for webhooks in %s expired on %s: renew it, which takes no restart",
			c.options.CertFile, leaf.NotAfter.Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate for webhooks in %s is not valid before %s: look at the clock of this machine, and at whoever issued it",
			c.options.CertFile, leaf.NotBefore.Format(time.RFC3339))
	}
	return nil
}

// getCertificate returns what a client is shown. It is GetCertificate of a tls.Config.
func (c *Certificates) getCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	certificates := c.current.Load().certificates
	for i := range certificates {
		if hello.SupportsCertificate(&certificates[i]) == nil {
			return &certificates[i], nil
		}
	}
	return &certificates[0], nil // and the handshake says what is wrong
}

// Run keeps the certificates current until ctx is done. It is called once.
func (c *Certificates) Run(ctx context.Context) {
	wait.UntilWithContext(ctx, c.refresh, checkInterval)
}

// Enqueue takes up a change of the files. It makes Certificates a dynamiccertificates.Listener.
func (c *Certificates) Enqueue() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reload()
}

// refresh does what time asks for, and what the file system did not tell: it forgets files that are removed and made again.
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
		c.logOnce(fmt.Errorf("could not load the certificate for webhooks from %s and %s: %w", c.options.CertFile, c.options.KeyFile, err), msgUnchanged)
	case files != nil:
		c.reload() // the same may have become valid
	}
	if at := c.current.Load().renewAt; !at.IsZero() && !c.now().Before(at) {
		if err := c.selfSign(); err != nil {
			c.logOnce(err, msgUnchanged)
		}
	}
}

// ensureWatch returns what follows the files, and has it begin. It is nil until they have appeared, as those of an optional
// Secret may do later.
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

// reload shows the certificate of the files, if it is another and of use.
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
	klog.InfoS("Loaded a new certificate for webhooks", "certFile", c.options.CertFile, "notAfter", mounted.Leaf.NotAfter)
}

// msgUnchanged is what comes of files that are not of use.
const msgUnchanged = "The certificate for webhooks stays as it is"

// logOnce says what is wrong with the files, and what comes of it, unless that was said last.
func (c *Certificates) logOnce(err error, message string) {
	if text := err.Error(); text != c.lastError {
		c.lastError = text
		klog.ErrorS(err, message)
	}
}

// selfSign makes certificates that replace themselves when two thirds of their time are over.
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
	certificate.ObserveReceiver(set.certificates[0].Leaf)
}
