package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var kvChecks = []check{
	{"a put is read back, and its revisions count", checkPutAndGet},
	{"ranges are limited, sorted, counted and read at old revisions", checkRanges},
	{"a delete reports what it removed", checkDelete},
	{"a transaction takes one of its branches as a whole", checkTxn},
	{"a revision before the compaction is refused by its error", checkCompaction},
	{"too large and malformed requests are refused by their errors", checkRefusals},
}

func checkPutAndGet(ctx context.Context, open opener) error {
	client := open()
	created, err := client.Put(ctx, "kv/a", "1")
	if err != nil {
		return err
	}
	changed, err := client.Put(ctx, "kv/a", "2", clientv3.WithPrevKV())
	if err != nil {
		return err
	}
	got, err := client.Get(ctx, "kv/a")
	if err != nil {
		return err
	}
	if len(got.Kvs) != 1 {
		return fmt.Errorf("%d keys", len(got.Kvs))
	}
	kv := got.Kvs[0]
	return first(
		expect("previous value", string(changed.PrevKv.Value), "1"),
		expect("value", string(kv.Value), "2"),
		expect("version", kv.Version, 2),
		expect("create revision", kv.CreateRevision, created.Header.Revision),
		expect("mod revision", kv.ModRevision, changed.Header.Revision),
		expect("revisions in a row", changed.Header.Revision, created.Header.Revision+1),
		expect("header revision", got.Header.Revision, changed.Header.Revision),
	)
}

func checkRanges(ctx context.Context, open opener) error {
	client := open()
	var last int64
	for i := range 20 {
		put, err := client.Put(ctx, fmt.Sprintf("range/%02d", i), strings.Repeat("v", i))
		if err != nil {
			return err
		}
		last = put.Header.Revision
	}
	limited, err := client.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithLimit(5))
	if err != nil {
		return err
	}
	sorted, err := client.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithLimit(3),
		clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend))
	if err != nil {
		return err
	}
	counted, err := client.Get(ctx, "range/1", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	from, err := client.Get(ctx, "range/18", clientv3.WithRange("range0"), clientv3.WithKeysOnly())
	if err != nil {
		return err
	}
	old, err := client.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithRev(last-10), clientv3.WithSerializable())
	if err != nil {
		return err
	}
	_, future := client.Get(ctx, "range/", clientv3.WithRev(last+1_000_000))
	return first(
		expect("limited keys", len(limited.Kvs), 5),
		expect("more", limited.More, true),
		expect("count of a limited range", limited.Count, 20),
		expect("first of the sorted", string(sorted.Kvs[0].Key), "range/19"),
		expect("third of the sorted", string(sorted.Kvs[2].Key), "range/17"),
		expect("count", counted.Count, 10),
		expect("no keys in a count", len(counted.Kvs), 0),
		expect("keys from a key on", len(from.Kvs), 2),
		expect("keys only", len(from.Kvs[0].Value), 0),
		expect("keys at an old revision", len(old.Kvs), 10),
		expect("a future revision", errors.Is(future, rpctypes.ErrFutureRev), true),
	)
}

func checkDelete(ctx context.Context, open opener) error {
	client := open()
	for i := range 5 {
		if _, err := client.Put(ctx, fmt.Sprintf("delete/%d", i), "x"); err != nil {
			return err
		}
	}
	some, err := client.Delete(ctx, "delete/3", clientv3.WithFromKey(), clientv3.WithRange("delete0"), clientv3.WithPrevKV())
	if err != nil {
		return err
	}
	none, err := client.Delete(ctx, "delete/nothing")
	if err != nil {
		return err
	}
	left, err := client.Get(ctx, "delete/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	return first(
		expect("deleted", some.Deleted, 2),
		expect("previous keys", len(some.PrevKvs), 2),
		expect("deleted where nothing is", none.Deleted, 0),
		expect("an empty delete makes no revision", none.Header.Revision, some.Header.Revision),
		expect("left", len(left.Kvs), 3),
	)
}

func checkTxn(ctx context.Context, open opener) error {
	client := open()
	taken, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision("txn/a"), "=", 0)).
		Then(clientv3.OpPut("txn/a", "1"), clientv3.OpPut("txn/b", "1"), clientv3.OpGet("txn/", clientv3.WithPrefix())).
		Else(clientv3.OpGet("txn/a")).
		Commit()
	if err != nil {
		return err
	}
	other, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.Value("txn/a"), "=", "9")).
		Then(clientv3.OpDelete("txn/", clientv3.WithPrefix())).
		Else(clientv3.OpTxn(
			[]clientv3.Cmp{clientv3.Compare(clientv3.Version("txn/a"), "<", 2)},
			[]clientv3.Op{clientv3.OpPut("txn/a", "2")},
			nil,
		)).
		Commit()
	if err != nil {
		return err
	}
	both, err := client.Get(ctx, "txn/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	_, duplicate := client.Txn(ctx).Then(clientv3.OpPut("txn/c", "1"), clientv3.OpPut("txn/c", "2")).Commit()
	return first(
		expect("first branch", taken.Succeeded, true),
		expect("keys a later operation sees", len(taken.Responses[2].GetResponseRange().Kvs), 2),
		expect("second branch", other.Succeeded, false),
		expect("nested branch", other.Responses[0].GetResponseTxn().Succeeded, true),
		expect("keys", len(both.Kvs), 2),
		expect("value", string(both.Kvs[0].Value), "2"),
		expect("one transaction, one revision", both.Kvs[1].ModRevision, taken.Header.Revision),
		expect("a key twice", errors.Is(duplicate, rpctypes.ErrDuplicateKey), true),
	)
}

func checkCompaction(ctx context.Context, open opener) error {
	client := open()
	var revision int64
	for i := range 10 {
		put, err := client.Put(ctx, "compact/a", fmt.Sprint(i))
		if err != nil {
			return err
		}
		revision = put.Header.Revision
	}
	if _, err := client.Compact(ctx, revision-2, clientv3.WithCompactPhysical()); err != nil {
		return err
	}
	at, err := client.Get(ctx, "compact/a", clientv3.WithRev(revision-2))
	if err != nil {
		return err
	}
	_, before := client.Get(ctx, "compact/a", clientv3.WithRev(revision-3))
	_, again := client.Compact(ctx, revision-2)
	return first(
		expect("value at the compacted revision", string(at.Kvs[0].Value), "7"),
		expect("before it", errors.Is(before, rpctypes.ErrCompacted), true),
		expect("compacted twice", errors.Is(again, rpctypes.ErrCompacted), true),
	)
}

func checkRefusals(ctx context.Context, open opener) error {
	client := open()
	_, empty := client.Put(ctx, "", "x")
	_, large := client.Put(ctx, "refuse/large", strings.Repeat("x", 1_700_000))
	ops := make([]clientv3.Op, 129)
	for i := range ops {
		ops[i] = clientv3.OpPut(fmt.Sprintf("refuse/%d", i), "x")
	}
	_, many := client.Txn(ctx).Then(ops...).Commit()
	_, lease := client.Put(ctx, "refuse/lease", "x", clientv3.WithLease(4711))
	return first(
		expect("an empty key", errors.Is(empty, rpctypes.ErrEmptyKey), true),
		expect("a large value", errors.Is(large, rpctypes.ErrRequestTooLarge), true),
		expect("many operations", errors.Is(many, rpctypes.ErrTooManyOps), true),
		expect("an unknown lease", errors.Is(lease, rpctypes.ErrLeaseNotFound), true),
	)
}
