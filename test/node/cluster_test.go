// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// startTimeout allows for a machine that is busy with other tests.
	startTimeout = 5 * time.Minute
	// ownerVariable makes this program start a cluster and wait to be killed.
	ownerVariable = "POSTERN_TEST_OWNER"
)

func TestMain(m *testing.M) {
	if os.Getenv(ownerVariable) == "" {
		os.Exit(m.Run())
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	repository, err := filepath.Abs("../..")
	if err == nil {
		var c *Cluster
		if c, err = Start(ctx, Options{Repository: repository}); err == nil {
			fmt.Println(strings.Join(append(c.cgroups, c.dir), " "))
			select {}
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

func TestCluster_EndsWithItsOwner(t *testing.T) {
	requireNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	owner := exec.CommandContext(ctx, os.Args[0])
	owner.Env = append(os.Environ(), ownerVariable+"=1")
	stdout, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "/") {
		t.Fatalf("the owner said %q: %v", line, err)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // it was killed
	for path := range strings.FieldsSeq(line) {
		err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(context.Context) (bool, error) {
			_, err := os.Stat(path)
			return errors.Is(err, fs.ErrNotExist), nil
		})
		if err != nil {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}

func TestCluster_TwoAtATime(t *testing.T) {
	repository := requireNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for range 2 {
		c, err := Start(ctx, Options{Repository: repository})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Stop(context.WithoutCancel(ctx)); err != nil {
				t.Error(err)
			}
			for _, path := range append(c.cgroups, c.dir) {
				if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is still there: %v", path, err)
				}
			}
		})
		nodes, err := c.Kubectl(ctx, nil, "get", "nodes", "--output=jsonpath={.items[*].metadata.name}")
		if err != nil || nodes != "n1" {
			t.Errorf("the cluster has the nodes %q, want n1: %v", nodes, err)
		}
	}
}

// requireNode returns the checkout. It skips the test if this machine can't run a cluster.
func requireNode(t *testing.T) string {
	t.Helper()
	if os.Getenv("POSTERN_E2E") == "" {
		t.Skip("\"make e2e\" runs it")
	}
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if err := Requirements(repository); err != nil {
		t.Skip(err)
	}
	return repository
}
