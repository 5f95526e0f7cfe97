package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

var recipeChecks = []check{
	{"a lock is held by one session at a time", checkMutex},
	{"a lock is free again when its session ends", checkLostSession},
	{"an election has one leader, and the next takes over", checkElection},
	{"transactions in memory serialize concurrent changes", checkStm},
}

func checkMutex(ctx context.Context, open opener) error {
	const sessions, rounds = 5, 10
	inside, entered := 0, 0
	var guard sync.Mutex
	failures := make(chan error, sessions)
	for range sessions {
		client := open()
		go func() {
			failures <- func() error {
				session, err := concurrency.NewSession(client, concurrency.WithTTL(10))
				if err != nil {
					return err
				}
				defer session.Close()
				mutex := concurrency.NewMutex(session, "lock/a")
				for range rounds {
					if err := mutex.Lock(ctx); err != nil {
						return err
					}
					guard.Lock()
					inside++
					entered++
					together := inside
					guard.Unlock()
					if together != 1 {
						return fmt.Errorf("%d hold the lock", together)
					}
					owner := client.Txn(ctx).If(mutex.IsOwner()).Then(clientv3.OpPut("lock-owner", "x"))
					answer, err := owner.Commit()
					if err != nil {
						return err
					}
					if !answer.Succeeded {
						return errors.New("the holder does not own the lock")
					}
					guard.Lock()
					inside--
					guard.Unlock()
					if err := mutex.Unlock(ctx); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range sessions {
		if err := <-failures; err != nil {
			return err
		}
	}
	return expect("times entered", entered, sessions*rounds)
}

func checkLostSession(ctx context.Context, open opener) error {
	holder, err := concurrency.NewSession(open(), concurrency.WithTTL(2))
	if err != nil {
		return err
	}
	held := concurrency.NewMutex(holder, "lost/a")
	if err := held.Lock(ctx); err != nil {
		return err
	}
	other, err := concurrency.NewSession(open(), concurrency.WithTTL(10))
	if err != nil {
		return err
	}
	defer other.Close()
	waiting := concurrency.NewMutex(other, "lost/a")
	if err := expect("tried while it is held", errors.Is(waiting.TryLock(ctx), concurrency.ErrLocked), true); err != nil {
		return err
	}
	// From here on nobody keeps the lease of the holder: it ends by its time.
	holder.Orphan()
	if err := waiting.Lock(ctx); err != nil {
		return err
	}
	return waiting.Unlock(ctx)
}

func checkElection(ctx context.Context, open opener) error {
	one, err := concurrency.NewSession(open(), concurrency.WithTTL(10))
	if err != nil {
		return err
	}
	defer one.Close()
	two, err := concurrency.NewSession(open(), concurrency.WithTTL(10))
	if err != nil {
		return err
	}
	defer two.Close()
	firstRun, secondRun := concurrency.NewElection(one, "elect/a"), concurrency.NewElection(two, "elect/a")
	observed := concurrency.NewElection(two, "elect/a").Observe(ctx)
	if err := firstRun.Campaign(ctx, "first"); err != nil {
		return err
	}
	leaderSeen := <-observed
	won := make(chan error, 1)
	go func() { won <- secondRun.Campaign(ctx, "second") }()
	leader, err := firstRun.Leader(ctx)
	if err != nil {
		return err
	}
	if err := firstRun.Proclaim(ctx, "first again"); err != nil {
		return err
	}
	proclaimed := <-observed
	if err := firstRun.Resign(ctx); err != nil {
		return err
	}
	if err := <-won; err != nil {
		return err
	}
	next, err := secondRun.Leader(ctx)
	if err != nil {
		return err
	}
	nextSeen := <-observed
	return first(
		expect("leader", string(leader.Kvs[0].Value), "first"),
		expect("observed leader", string(leaderSeen.Kvs[0].Value), "first"),
		expect("observed proclamation", string(proclaimed.Kvs[0].Value), "first again"),
		expect("next leader", string(next.Kvs[0].Value), "second"),
		expect("observed next leader", string(nextSeen.Kvs[0].Value), "second"),
		secondRun.Resign(ctx),
	)
}

func checkStm(ctx context.Context, open opener) error {
	const workers, rounds = 4, 15
	failures := make(chan error, workers)
	for range workers {
		client := open()
		go func() {
			failures <- func() error {
				for range rounds {
					_, err := concurrency.NewSTM(client, func(stm concurrency.STM) error {
						count, _ := strconv.Atoi(stm.Get("stm/count"))
						stm.Put("stm/count", strconv.Itoa(count+1))
						return nil
					}, concurrency.WithIsolation(concurrency.SerializableSnapshot), concurrency.WithAbortContext(ctx))
					if err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range workers {
		if err := <-failures; err != nil {
			return err
		}
	}
	got, err := open().Get(ctx, "stm/count")
	if err != nil {
		return err
	}
	return expect("count", string(got.Kvs[0].Value), workers*rounds)
}
