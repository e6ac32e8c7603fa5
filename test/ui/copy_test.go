// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// weighted is a record that is copied, and how often compared with others.
type weighted struct {
	name, uid string
	weight    int
}

const (
	// copiesAtOnce is below etcd's limit for the operations in a transaction.
	copiesAtOnce = 100
	recordTTL    = 72 * 60 * 60 // seconds
	spread       = 71 * time.Hour
)

// copyRecords stores n copies of records in etcd, as Postern stores them, received at other times: it takes minutes to
// deliver so many. Most are received by day, and a few hours have many.
func copyRecords(ctx context.Context, records []weighted, n int) error {
	client, err := cluster.EtcdClient(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	stored, err := client.Get(ctx, "/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	var originals []*copied
	for _, kv := range stored.Kvs {
		for _, r := range records {
			if path.Base(string(kv.Key)) != r.name {
				continue
			}
			original := &copied{key: string(kv.Key)}
			if err := json.Unmarshal(kv.Value, &original.object); err != nil {
				return fmt.Errorf("%s is not JSON: %w", kv.Key, err)
			}
			for range r.weight {
				originals = append(originals, original)
			}
		}
	}
	if len(originals) == 0 {
		return fmt.Errorf("none of %d records is in etcd", len(records))
	}
	random := rand.New(rand.NewPCG(3, 4)) // the same each time, for the screenshots
	for first := 0; first < n; first += copiesAtOnce {
		lease, err := client.Grant(ctx, recordTTL)
		if err != nil {
			return err
		}
		var puts []clientv3.Op
		for number := first; number < min(first+copiesAtOnce, n); number++ {
			key, value, err := originals[random.IntN(len(originals))].numbered(number, someTime(random))
			if err != nil {
				return err
			}
			puts = append(puts, clientv3.OpPut(key, value, clientv3.WithLease(lease.ID)))
		}
		if _, err := client.Txn(ctx).Then(puts...).Commit(); err != nil {
			return fmt.Errorf("could not copy records: %w", err)
		}
	}
	return nil
}

// someTime returns a time of the last days. Nights are quiet.
func someTime(random *rand.Rand) time.Time {
	now := time.Now()
	for {
		t := now.Add(-time.Minute - time.Duration(random.Int64N(int64(spread))))
		if hour := t.UTC().Hour(); hour >= 7 && hour < 19 || random.IntN(6) == 0 {
			return t
		}
	}
}

// copied is a record in etcd.
type copied struct {
	key    string
	object unstructured.Unstructured
}

// numbered returns a copy with another name, UID and time.
func (c *copied) numbered(number int, received time.Time) (key, value string, err error) {
	object := c.object.DeepCopy()
	suffix := strconv.FormatInt(int64(number)+60466176, 36) // five characters
	prefix := object.GetName()[:strings.LastIndex(object.GetName(), "-")+1]
	object.SetName(prefix + suffix[len(suffix)-5:])
	seconds, micro := received.UTC().Format(time.RFC3339), received.UTC().Format("2006-01-02T15:04:05.000000Z07:00")
	for _, set := range []struct {
		value  string
		fields []string
	}{
		{fmt.Sprintf("00000000-0000-4000-8000-%012x", number), []string{"metadata", "uid"}},
		{seconds, []string{"metadata", "creationTimestamp"}},
		{micro, []string{"status", "receivedTime"}},
	} {
		if err := unstructured.SetNestedField(object.Object, set.value, set.fields...); err != nil {
			return "", "", err
		}
	}
	content, err := object.MarshalJSON()
	return path.Join(path.Dir(c.key), object.GetName()), string(content), err
}
