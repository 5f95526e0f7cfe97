//go:build tools

// Package tools names the programs whose modules go.mod pins.
package tools

import (
	_ "go.etcd.io/etcd/v3/tools/benchmark"
	_ "go.etcd.io/etcd/v3/tools/etcd-dump-db"
	_ "go.etcd.io/etcd/v3/tools/etcd-dump-logs"
)
