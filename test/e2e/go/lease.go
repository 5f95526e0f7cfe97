package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var leaseChecks = []check{
	{"a lease is granted, listed, looked up and revoked with its keys", checkLeaseLife},
	{"a lease that is kept alive outlives its time, and ends without", checkKeepAlive},
	{"a lease that nobody keeps ends with its keys in one revision", checkExpiry},
}

func checkLeaseLife(ctx context.Context, open opener) error {
	client := open()
	lease, err := client.Grant(ctx, 60)
	if err != nil {
		return err
	}
	for _, key := range []string{"lease/b", "lease/a"} {
		if _, err := client.Put(ctx, key, "x", clientv3.WithLease(lease.ID)); err != nil {
			return err
		}
	}
	all, err := client.Leases(ctx)
	if err != nil {
		return err
	}
	listed := 0
	for _, status := range all.Leases {
		if status.ID == lease.ID {
			listed++
		}
	}
	left, err := client.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	if err != nil {
		return err
	}
	if _, err := client.Revoke(ctx, lease.ID); err != nil {
		return err
	}
	gone, err := client.Get(ctx, "lease/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	after, err := client.TimeToLive(ctx, lease.ID)
	if err != nil {
		return err
	}
	_, again := client.Revoke(ctx, lease.ID)
	return first(
		expect("listed", listed, 1),
		expect("granted seconds", left.GrantedTTL, 60),
		expect("seconds left are at most those", left.TTL > 50 && left.TTL <= 60, true),
		expect("attached keys", len(left.Keys), 2),
		expect("keys after the revocation", len(gone.Kvs), 0),
		expect("seconds left of a revoked lease", after.TTL, -1),
		expect("revoked twice", errors.Is(again, rpctypes.ErrLeaseNotFound), true),
	)
}

func checkKeepAlive(ctx context.Context, open opener) error {
	client := open()
	lease, err := client.Grant(ctx, 2)
	if err != nil {
		return err
	}
	if _, err := client.Put(ctx, "alive/a", "x", clientv3.WithLease(lease.ID)); err != nil {
		return err
	}
	keepCtx, stop := context.WithCancel(ctx)
	defer stop()
	answers, err := client.KeepAlive(keepCtx, lease.ID)
	if err != nil {
		return err
	}
	renewed := 0
	for end := time.After(4 * time.Second); ; {
		select {
		case answer := <-answers:
			if answer == nil {
				return errors.New("the stream of keep-alives ended")
			}
			if err := expect("seconds", answer.TTL, 2); err != nil {
				return err
			}
			renewed++
			continue
		case <-end:
		}
		break
	}
	kept, err := client.Get(ctx, "alive/a")
	if err != nil {
		return err
	}
	once, err := client.KeepAliveOnce(ctx, lease.ID)
	if err != nil {
		return err
	}
	stop()
	if err := waitGone(ctx, client, "alive/a"); err != nil {
		return err
	}
	_, gone := client.KeepAliveOnce(ctx, lease.ID)
	return first(
		expect("renewed more than once", renewed >= 2, true),
		expect("keys twice the time later", len(kept.Kvs), 1),
		expect("seconds of a single keep-alive", once.TTL, 2),
		expect("kept after its end", errors.Is(gone, rpctypes.ErrLeaseNotFound), true),
	)
}

func checkExpiry(ctx context.Context, open opener) error {
	client := open()
	lease, err := client.Grant(ctx, 2)
	if err != nil {
		return err
	}
	granted := time.Now()
	var last int64
	for i := range 3 {
		put, err := client.Put(ctx, fmt.Sprintf("expire/%d", i), "x", clientv3.WithLease(lease.ID))
		if err != nil {
			return err
		}
		last = put.Header.Revision
	}
	watch := client.Watch(ctx, "expire/", clientv3.WithPrefix(), clientv3.WithRev(last+1))
	answer := <-watch
	waited := time.Since(granted)
	return first(
		answer.Err(),
		expect("events at once", len(answer.Events), 3),
		expect("a deletion", answer.Events[0].Type, clientv3.EventTypeDelete),
		expect("one revision", answer.Events[2].Kv.ModRevision, answer.Events[0].Kv.ModRevision),
		expect("not before its time, and soon after: "+waited.String(),
			waited > 1900*time.Millisecond && waited < 8*time.Second, true),
	)
}

// waitGone returns when the key is deleted; the check's deadline bounds it.
func waitGone(ctx context.Context, client *clientv3.Client, key string) error {
	got, err := client.Get(ctx, key)
	if err != nil || len(got.Kvs) == 0 {
		return err
	}
	for answer := range client.Watch(ctx, key, clientv3.WithRev(got.Header.Revision+1)) {
		for _, event := range answer.Events {
			if event.Type == clientv3.EventTypeDelete {
				return nil
			}
		}
	}
	return fmt.Errorf("%s is still there", key)
}
