// Package faults_test breaks each part of a running node through its fault desk,
// in the test's own process: messages to actors, operations of disks, steps of jobs, the
// clock; and the same over its native listener, as operators do.
// Each case is healthy before, broken in the way that it says while its fault
// lasts, and healthy afterwards; without a desk nothing of it shows.
//
// Start with cases in effects_test.go, then isolation_test.go, then public_test.go.
package faults_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
	"github.com/troupe-storage/troupe/test/s3client"
)

const (
	bucket = "photos"
	// inlineBytes is the inline limit of these nodes: small, so that files are cheap.
	inlineBytes = 4 << 10
	// patience ends a wait that should have ended long ago: only then it is a fault.
	patience = time.Minute
)

// world is a node with two mountpaths and a client of it.
type world struct {
	testing.TB
	dir    string
	node   *supervisors.Node
	client *s3client.Client
}

// start starts a node; desk nil: it has none.
func start(t testing.TB, desk *faults.Desk) *world {
	t.Helper()
	return startWith(t, desk, func(*supervisors.Config) {})
}

// startWith starts a node whose configuration is changed before.
func startWith(t testing.TB, desk *faults.Desk, change func(*supervisors.Config)) *world {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	w := &world{TB: t, dir: t.TempDir()}
	config := supervisors.Config{
		Native: "127.0.0.1:0", S3: "127.0.0.1:0", MemoryBytes: 256 << 20, LimitHeap: func(int64) {}, InlineBytes: inlineBytes, Log: log, Faults: desk,
	}
	for i := range 2 {
		config.Data = append(config.Data, filepath.Join(w.dir, "d"+strconv.Itoa(i)))
	}
	change(&config)
	var err error
	if w.node, err = supervisors.Start(config); err != nil {
		t.Fatal(err)
	}
	w.client = s3client.New(w.node.S3(), sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey})
	t.Cleanup(func() {
		w.client.Close()
		if err := w.node.Stop(); err != nil {
			t.Errorf("the node did not stop cleanly: %v", err)
		}
	})
	if err := w.client.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	return w
}

// inject injects a fault that does not outlive the test by much.
func (w *world) inject(f faults.Fault) *faults.Injected {
	w.Helper()
	if f.Expiry == 0 {
		f.Expiry = 2 * patience
	}
	i, err := w.node.Faults().Inject(f)
	if err != nil {
		w.Fatal(err)
	}
	return i
}

// refused is an answer that is no success.
type refused struct {
	status int
	code   string
	body   string
}

// Error tells the answer.
func (r *refused) Error() string { return fmt.Sprintf("%d %s: %.300s", r.status, r.code, r.body) }

// statusOf is the status that a request was refused with; 0 for none.
func statusOf(err error) int {
	var r *refused
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}

func outcome(a *s3client.Answer, err error) error {
	if err == nil && !a.OK() {
		return &refused{a.Status, a.Code, string(a.Body)}
	}
	return err
}

func (w *world) put(key string, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return outcome(w.client.Put(ctx, bucket, key, body))
}

// errWrong says that a read was answered with other bytes than were stored.
var errWrong = errors.New("the answer holds other bytes")

func (w *world) get(key string, want []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, err := w.client.Get(ctx, bucket, key)
	if err := outcome(a, err); err != nil {
		return err
	}
	if !bytes.Equal(a.Body, want) {
		return errWrong
	}
	return nil
}

// large is a payload that is a file; n tells it from others.
func large(n int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("%07d ", n)), 3*inlineBytes/8)
}

// keyOn returns a key that lies on the mountpath, with large(0) under it.
func (w *world) keyOn(mountpath, prefix string) string {
	w.Helper()
	for n := range 100 {
		key := prefix + strconv.Itoa(n)
		if err := w.put(key, large(0)); err != nil {
			w.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(w.dir, mountpath, bucket, key)); err == nil {
			return key
		}
	}
	w.Fatalf("none of 100 keys lies on %s", mountpath)
	return ""
}

// eventually repeats what is refused for now until it works, and fails the test if
// it does not.
func (w *world) eventually(what string, do func() error) {
	w.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	over := time.After(patience)
	for {
		err := do()
		if err == nil {
			return
		}
		select {
		case <-look.C:
		case <-over:
			w.Fatalf("%s: still after %s: %v", what, patience, err)
		}
	}
}
