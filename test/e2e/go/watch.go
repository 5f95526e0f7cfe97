package main

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var watchChecks = []check{
	{"a watch of a prefix delivers puts and deletions with what was there before", checkWatchPrefix},
	{"a watch resumes from a revision and misses nothing", checkWatchResume},
	{"a watch reports progress when asked", checkWatchProgress},
	{"a watch from before the compaction is cancelled with the revision to go on from", checkWatchCompacted},
	{"filters, fragments and many watches share one stream", checkWatchOptions},
}

func checkWatchPrefix(ctx context.Context, open opener) error {
	client := open()
	if _, err := client.Put(ctx, "watch/a", "1"); err != nil {
		return err
	}
	watch := client.Watch(ctx, "watch/", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
	created := <-watch
	if _, err := client.Put(ctx, "watch/a", "2"); err != nil {
		return err
	}
	if _, err := client.Put(ctx, "other/a", "2"); err != nil {
		return err
	}
	if _, err := client.Delete(ctx, "watch/a"); err != nil {
		return err
	}
	events, err := collect(watch, 2)
	if err != nil {
		return err
	}
	return first(
		expect("created", created.Created, true),
		expect("modified", events[0].IsModify(), true),
		expect("previous value", string(events[0].PrevKv.Value), "1"),
		expect("deleted", events[1].Type, clientv3.EventTypeDelete),
		expect("last value", string(events[1].PrevKv.Value), "2"),
		expect("nothing between but another key", events[1].Kv.ModRevision, events[0].Kv.ModRevision+2),
	)
}

func checkWatchResume(ctx context.Context, open opener) error {
	client := open()
	var begin int64
	const before, after = 500, 500
	for i := range before {
		put, err := client.Put(ctx, "resume/a", fmt.Sprint(i))
		if err != nil {
			return err
		}
		if i == 0 {
			begin = put.Header.Revision
		}
	}
	watch := client.Watch(ctx, "resume/a", clientv3.WithRev(begin))
	done := make(chan error, 1)
	go func() {
		for i := range after {
			if _, err := client.Put(ctx, "resume/a", fmt.Sprint(before+i)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	events, err := collect(watch, before+after)
	if err != nil {
		return err
	}
	for i, event := range events {
		if err := first(
			expect("value", string(event.Kv.Value), i),
			expect("version", event.Kv.Version, i+1),
		); err != nil {
			return err
		}
	}
	return <-done
}

func checkWatchProgress(ctx context.Context, open opener) error {
	client := open()
	put, err := client.Put(ctx, "progress/a", "1")
	if err != nil {
		return err
	}
	watch := client.Watch(ctx, "progress/none", clientv3.WithCreatedNotify())
	<-watch
	if err := client.RequestProgress(ctx); err != nil {
		return err
	}
	answer := <-watch
	return first(
		expect("progress", answer.IsProgressNotify(), true),
		expect("revision", answer.Header.Revision, put.Header.Revision),
	)
}

func checkWatchCompacted(ctx context.Context, open opener) error {
	client := open()
	var last int64
	for i := range 5 {
		put, err := client.Put(ctx, "gone/a", fmt.Sprint(i))
		if err != nil {
			return err
		}
		last = put.Header.Revision
	}
	if _, err := client.Compact(ctx, last-1); err != nil {
		return err
	}
	refused := <-client.Watch(ctx, "gone/a", clientv3.WithRev(last-3))
	events, err := collect(client.Watch(ctx, "gone/a", clientv3.WithRev(last-1)), 2)
	if err != nil {
		return err
	}
	return first(
		expect("canceled", refused.Canceled, true),
		expect("error", errors.Is(refused.Err(), rpctypes.ErrCompacted), true),
		expect("revision to go on from", refused.CompactRevision, last-1),
		expect("first event after it", string(events[0].Kv.Value), "3"),
	)
}

func checkWatchOptions(ctx context.Context, open opener) error {
	client := open()
	const watches = 50
	var puts []clientv3.WatchChan
	for range watches {
		puts = append(puts, client.Watch(ctx, "many/", clientv3.WithPrefix(), clientv3.WithFilterDelete(), clientv3.WithCreatedNotify()))
	}
	deletes := client.Watch(ctx, "many/", clientv3.WithPrefix(), clientv3.WithFilterPut(), clientv3.WithFragment(), clientv3.WithCreatedNotify())
	for _, watch := range append(puts, deletes) {
		if answer := <-watch; !answer.Created {
			return errors.New("a watch was not created")
		}
	}
	if _, err := client.Put(ctx, "many/a", "1"); err != nil {
		return err
	}
	if _, err := client.Delete(ctx, "many/a"); err != nil {
		return err
	}
	if _, err := client.Put(ctx, "many/b", "1"); err != nil {
		return err
	}
	for _, watch := range puts {
		events, err := collect(watch, 2)
		if err != nil {
			return err
		}
		if err := expect("second put", string(events[1].Kv.Key), "many/b"); err != nil {
			return err
		}
	}
	events, err := collect(deletes, 1)
	if err != nil {
		return err
	}
	return expect("deletion", events[0].Type, clientv3.EventTypeDelete)
}

// collect reads that many events, and refuses any that is not newer than the one before.
func collect(watch clientv3.WatchChan, count int) ([]*clientv3.Event, error) {
	var events []*clientv3.Event
	for answer := range watch {
		if err := answer.Err(); err != nil {
			return nil, err
		}
		for _, event := range answer.Events {
			if len(events) > 0 && event.Kv.ModRevision < events[len(events)-1].Kv.ModRevision {
				return nil, fmt.Errorf("revision %d after %d", event.Kv.ModRevision, events[len(events)-1].Kv.ModRevision)
			}
			events = append(events, event)
		}
		if len(events) >= count {
			break
		}
	}
	return events, expect("events", len(events), count)
}
