// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"fmt"
	"maps"
	"os"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

// defaultFilesInterval is how often the files of default secrets are read. A kubelet needs longer to change them.
const defaultFilesInterval = 10 * time.Second

// DefaultSource is where the default secrets come from, by their keys.
type DefaultSource struct {
	// Values are secrets that never change.
	Values map[string][]byte
	// Files are paths of files that hold secrets. A file counts and not the value of the same key.
	Files map[string]string
}

// Read returns the data for SetDefaults. That a file can't be read is an error, which tells nothing of what is in it.
func (s DefaultSource) Read() (map[string][]byte, error) {
	data := map[string][]byte{}
	maps.Copy(data, s.Values)
	for key, path := range s.Files {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("could not read the default secret %s: %w", key, err)
		}
		data[key] = content
	}
	return data, nil
}

// DefaultsReloader keeps the default secrets as their source has them. It is a Runnable of controller-runtime's manager.
type DefaultsReloader struct {
	source  DefaultSource
	secrets *Secrets
	data    map[string][]byte // what was set
	failed  bool              // the last time
}

// NewDefaultsReloader sets the default secrets, and returns what keeps them current once it is started.
func NewDefaultsReloader(source DefaultSource, secrets *Secrets) (*DefaultsReloader, error) {
	data, err := source.Read()
	if err != nil {
		return nil, err
	}
	secrets.SetDefaults(data)
	return &DefaultsReloader{source: source, secrets: secrets, data: data}, nil
}

// Start follows the files until ctx is done.
func (d *DefaultsReloader) Start(ctx context.Context) error {
	if len(d.source.Files) > 0 {
		wait.UntilWithContext(ctx, func(context.Context) { d.refresh() }, defaultFilesInterval)
	}
	return nil
}

// NeedLeaderElection tells the manager that every replica does this.
func (d *DefaultsReloader) NeedLeaderElection() bool { return false }

// refresh takes up what has changed. While a file can't be read, the secrets stay as they are.
func (d *DefaultsReloader) refresh() {
	data, err := d.source.Read()
	if err != nil {
		if !d.failed {
			klog.ErrorS(err, "The default secrets stay as they are")
		}
		d.failed = true
		return
	}
	d.failed = false
	if reflect.DeepEqual(data, d.data) {
		return
	}
	d.data = data
	d.secrets.SetDefaults(data)
	klog.InfoS("Read the default secrets again")
}
