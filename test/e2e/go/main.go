// Command clientv3-checks uses a member the way programs written in Go do: through clientv3 and its lock and
// election recipes. It prints one JSON line a check and exits non-zero when one failed.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const checkTimeout = 30 * time.Second

type check struct {
	name string
	run  func(ctx context.Context, open opener) error
}

// opener makes a client of its own for whoever needs more than one.
type opener func() *clientv3.Client

type outcome struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"`
	Ms    int64  `json:"ms"`
}

func main() {
	if len(os.Args) != 2 && len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: clientv3-checks ENDPOINT [CA CERT KEY]")
		os.Exit(2)
	}
	secure, err := tlsOf(os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	checks := append(append(append(kvChecks, leaseChecks...), watchChecks...), recipeChecks...)
	failed := false
	for _, c := range checks {
		result := runCheck(c, os.Args[1], secure)
		failed = failed || result.Error != ""
		line, _ := json.Marshal(result)
		fmt.Println(string(line))
	}
	if failed {
		os.Exit(1)
	}
}

// tlsOf reads the files of an authority, a certificate and a key; nil for none.
func tlsOf(files []string) (*tls.Config, error) {
	if len(files) == 0 {
		return nil, nil
	}
	trusted, err := os.ReadFile(files[0])
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(files[1], files[2])
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(trusted)
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}, nil
}

func runCheck(c check, endpoint string, secure *tls.Config) (result outcome) {
	started := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	var clients []*clientv3.Client
	defer func() {
		for _, client := range clients {
			client.Close()
		}
	}()
	open := func() *clientv3.Client {
		client, err := clientv3.New(clientv3.Config{
			Endpoints:   []string{endpoint},
			DialTimeout: 5 * time.Second,
			TLS:         secure,
			Logger:      zap.NewNop(),
		})
		if err != nil {
			panic(err)
		}
		clients = append(clients, client)
		return client
	}
	result = outcome{Name: c.name}
	defer func() {
		if cause := recover(); cause != nil {
			result.Error = fmt.Sprint(cause)
		}
		result.Ms = time.Since(started).Milliseconds()
	}()
	if err := c.run(ctx, open); err != nil {
		result.Error = err.Error()
	}
	return result
}

// expect turns a wrong value into an error that shows both.
func expect(what string, got, want any) error {
	if fmt.Sprint(got) == fmt.Sprint(want) {
		return nil
	}
	return fmt.Errorf("%s: got %v, expected %v", what, got, want)
}

// first returns the first error there is.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
