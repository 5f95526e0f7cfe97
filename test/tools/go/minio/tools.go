//go:build tools

// Package tools names the programs whose modules go.mod pins.
package tools

import _ "github.com/minio/minio"
