//go:build tools

// Package tools names the program whose module go.mod pins.
package tools

import _ "go.etcd.io/etcd/server/v3"
