// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"postern.dev/postern/test/controlplane"
)

const (
	// moreRecords is how many times more records there are in the second half of the measurement.
	moreRecords = 10
	// linear is the highest ratio of a cost that grows with the number of records, with some room for disturbances.
	linear = 1.2 * moreRecords
	// copiesAtOnce is below etcd's limit for the operations in a transaction, 128.
	copiesAtOnce = 100
	recordTTL    = 72 * 60 * 60 // seconds
	pageSize     = 500
	// suffixLength is the number of random characters at the end of a record's name.
	suffixLength = 5
)

// recordsPath is the path of all records of the namespace.
const recordsPath = "/apis/postern.dev/v1alpha1/namespaces/" + namespace + "/webhookdeliveries"

// cost is something that depends on the number of records.
type cost struct {
	name, unit string
	value      float64
	goal       *goal // of the ratio between many and few records
}

// measureLong measures what depends on the number of stored records, first with few, then with many.
func (b *bench) measureLong(ctx context.Context, c *cluster) error {
	if err := c.startPostern(ctx, controlplane.PosternOptions{Flags: []string{
		"--max-deliveries=1000000", "--max-delivery-bytes=17179869184", "--etcd-quota-bytes=8589934592",
	}}); err != nil {
		return err
	}
	k := kinds()[0]
	if err := c.create(ctx, k, 0, manyTargets); err != nil {
		return err
	}
	copied, err := c.deliverRecord(ctx, k)
	if err != nil {
		return err
	}
	few, err := b.withRecords(ctx, c, copied, 0, b.objects)
	if err != nil {
		return err
	}
	many, err := b.withRecords(ctx, c, copied, b.objects, moreRecords*b.objects)
	if err != nil {
		return err
	}
	for i, cost := range many {
		f := compared(fmt.Sprintf("%s with %d records", cost.name, moreRecords*b.objects), cost.unit, cost.value,
			few[i].value, nil, cost.goal)
		slope := (cost.value - few[i].value) / float64((moreRecords-1)*b.objects) * 10_000
		f.Note = fmt.Sprintf("bare: with %d; %v %s more for each 10000", b.objects, rounded(slope), cost.unit)
		b.report.add(f)
	}
	return nil
}

// withRecords adds copies of a record, and returns the costs with that many.
func (b *bench) withRecords(ctx context.Context, c *cluster, copied *storedRecord, from, to int) ([]cost, error) {
	b.say("Copying a record until there are %d...", to)
	if err := c.copyRecord(ctx, copied, from, to); err != nil {
		return nil, err
	}
	b.say("Restarting Postern with %d records, listing and watching them...", to)
	if err := c.postern.Stop(ctx); err != nil {
		return nil, err
	}
	start, err := c.timeStart(ctx, c.postern.Start)
	if err != nil {
		return nil, err
	}
	ready, err := residentMemory(c.postern.PID())
	if err != nil {
		return nil, err
	}
	size, err := metricsOf(c.etcd, "etcd_mvcc_db_total_size_in_use_in_bytes")(ctx)
	if err != nil {
		return nil, err
	}
	costs := []cost{
		{"start to ready", "s", start.Seconds(), atMost(linear)},
		{"resident memory, once ready,", "MiB", ready.resident, atMost(linear)},
		{"etcd's database", "MiB", size["etcd_mvcc_db_total_size_in_use_in_bytes"] / (1 << 20), atMost(linear)},
	}
	for _, read := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"list", c.listRecords},
		{fmt.Sprintf("list by pages of %d", pageSize), c.listPages},
		{"watch until all are there", c.watchRecords},
	} {
		seconds, err := medianTime(ctx, read.do)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", read.name, err)
		}
		costs = append(costs, cost{read.name, "s", seconds, atMost(linear)})
	}
	worked, err := residentMemory(c.postern.PID())
	if err != nil {
		return nil, err
	}
	deliveries := &side{name: "delivery", do: c.deliver(objects{kinds()[0], 0, manyTargets})}
	delivered := summarize("", []round{deliveries.measure(ctx, 1, 2*b.duration)})
	return append(costs, cost{"memory at the highest", "MiB", worked.highest, atMost(linear)},
		cost{"p50 of a delivery", "ms", delivered.P50, nil}), nil
}

// medianTime returns the median of the times of a few calls, in seconds.
func medianTime(ctx context.Context, do func(context.Context) error) (float64, error) {
	var seconds []float64
	for range 3 {
		began := time.Now()
		if err := do(ctx); err != nil {
			return 0, err
		}
		seconds = append(seconds, time.Since(began).Seconds())
	}
	return median(seconds), nil
}

// listRecords lists all records in one request.
func (c *cluster) listRecords(ctx context.Context) error {
	resp, err := c.admin.request(ctx, http.MethodGet, recordsPath, http.Header{}, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("listing was answered %d", resp.StatusCode)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// listPages lists all records as kubectl does.
func (c *cluster) listPages(ctx context.Context) error {
	for next := "first"; next != ""; {
		query := "?limit=" + strconv.Itoa(pageSize)
		if next != "first" {
			query += "&continue=" + next
		}
		page, err := c.admin.must(ctx, http.MethodGet, recordsPath+query, "", nil, http.StatusOK)
		if err != nil {
			return err
		}
		next = stringIn(page[:min(len(page), 2000)], "continue") // the metadata of the list come first
	}
	return nil
}

// watchRecords starts a watch and ends it once it has returned all records.
func (c *cluster) watchRecords(ctx context.Context) error {
	return c.admin.watch(ctx, recordsPath+initialEvents, http.Header{}, func(event []byte) bool {
		return !bytes.Contains(event, initialEventsEnd)
	})
}

// storedRecord is a record in etcd.
type storedRecord struct {
	key       string
	value     []byte
	name, uid string
}

// deliverRecord makes a delivery and returns its record.
func (c *cluster) deliverRecord(ctx context.Context, k kind) (*storedRecord, error) {
	answered, err := c.sender.must(ctx, http.MethodPost, k.deliverPath(nameOf(0)), "application/json", c.newPush(),
		http.StatusAccepted)
	if err != nil {
		return nil, err
	}
	r := &storedRecord{name: stringIn(answered, "name"), uid: stringIn(answered, "uid")}
	client, err := c.EtcdClient(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	stored, err := client.Get(ctx, "/", clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	for _, kv := range stored.Kvs {
		if path.Base(string(kv.Key)) == r.name {
			r.key, r.value = string(kv.Key), kv.Value
			return r, nil
		}
	}
	return nil, errors.New("the record is not in etcd")
}

// numbered returns a copy of a record with another name and UID of the same lengths, so that it is valid in every
// encoding.
func (r *storedRecord) numbered(number int) (key, value string) {
	suffix := "0000" + strconv.FormatInt(int64(number), 36)
	name := r.name[:len(r.name)-suffixLength] + suffix[len(suffix)-suffixLength:]
	uid := fmt.Sprintf("%s%012x", r.uid[:len(r.uid)-12], number)
	return path.Join(path.Dir(r.key), name), strings.NewReplacer(r.name, name, r.uid, uid).Replace(string(r.value))
}

// copyRecord stores copies of a record, numbered from from to to-1, as Postern stores records: each with a lease that
// many share.
func (c *cluster) copyRecord(ctx context.Context, r *storedRecord, from, to int) error {
	client, err := c.EtcdClient(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	for first := from; first < to; first += copiesAtOnce {
		lease, err := client.Grant(ctx, recordTTL)
		if err != nil {
			return err
		}
		var puts []clientv3.Op
		for number := first; number < min(first+copiesAtOnce, to); number++ {
			key, value := r.numbered(number)
			puts = append(puts, clientv3.OpPut(key, value, clientv3.WithLease(lease.ID)))
		}
		if _, err := client.Txn(ctx).Then(puts...).Commit(); err != nil {
			return fmt.Errorf("could not copy the record: %w", err)
		}
	}
	return nil
}
