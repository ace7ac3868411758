// Package memory_test keeps a real node to its budget: 200 uploads that declare
// 1 GiB each, at once, beside 50 small readers, on a node of 256 MiB. Resident
// memory stays below 320 MiB, nobody is killed, every upload is done or told to
// come back (503), and nothing of those that were cut off is left.
package memory_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
	"github.com/troupe-storage/troupe/test/soak"
)

// TestMain builds the binary once.
func TestMain(m *testing.M) { process.Main(m) }

const (
	bucket        = "memory"
	uploads       = 200
	readers       = 50
	declaredBytes = 1 << 30
	// residentLimit is the figure: the budget of 256 MiB and a quarter.
	residentLimit = 320 << 20
)

// cutVariable says after how many MiB the uploads are cut off: 4 in the short
// form, 100 in the long one.
const cutVariable = "TROUPE_MEMORY_CUT_MIB"

// outcome is what came of one upload.
type outcome int

const (
	cut     outcome = iota // sent up to where it was cut off
	refused                // told to come back
)

func cutBytes(t *testing.T) int64 {
	if text := os.Getenv(cutVariable); text != "" {
		mib, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s: %v", cutVariable, err)
		}
		return int64(mib) << 20
	}
	return 4 << 20
}

func TestUploadsWithinBudget(t *testing.T) { uploadsWithinBudget(t, cutBytes(t)) }

// TestUploadsWithinBudgetSoak cuts its uploads at 100 MiB.
func TestUploadsWithinBudgetSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "uploads-within-budget", Unit: "runs", Goal: 10})
	uploadsWithinBudget(t, 100<<20)
	if !t.Failed() {
		slice.Add(1, slice.Next()+1)
	}
}

func uploadsWithinBudget(t *testing.T, cutAt int64) {
	node := process.ForTest(t, process.Config{Args: []string{"--memory", "256MiB"}})
	client := process.ClientForTest(t, node, bucket)
	small := bytes.Repeat([]byte("small"), 800)
	if answer, err := client.Put(t.Context(), bucket, "small", small); err != nil || !answer.OK() {
		t.Fatal(answer, err)
	}

	ctx, stop := context.WithCancel(t.Context())
	reads := startReaders(ctx, t, client, small)
	begin := time.Now()
	counts := uploadAll(t, client, cutAt)
	took := time.Since(begin)
	stop()
	read := reads()
	if !node.Running() {
		t.Fatal("the node ended")
	}

	// Uploads that fit are done afterwards, and nothing is left of the others.
	if err := node.Await(t.Context(), "everything is given back", func(m process.Metrics) bool { return m["troupe_slabs_in_use"] == 0 }); err != nil {
		t.Error(err)
	}
	whole := bytes.Repeat([]byte("w"), 4<<20)
	if answer, err := client.Put(t.Context(), bucket, "whole", whole); err != nil || !answer.OK() {
		t.Errorf("an upload afterwards: %v, %v", answer, err)
	}
	listed, err := client.List(t.Context(), bucket, "", 1000)
	if err != nil || len(listed) != 2 {
		t.Errorf("the bucket holds %v, %v", listed, err)
	}
	if files, err := node.Files(process.PayloadFiles); err != nil || len(files) != 1 {
		t.Errorf("%d files are there, want that of one object: %q, %v", len(files), files[:min(len(files), 5)], err)
	}
	peak, err := node.ResidentPeak()
	if err := errors.Join(err, judge(peak)); err != nil {
		t.Error(err)
	}
	t.Logf("%d uploads of 1 GiB cut at %d MiB in %s: %d sent, %d told to come back; beside them %d small reads, %d of them told to come back, the slowest %s; at most %d MiB resident",
		uploads, cutAt>>20, took.Round(time.Millisecond), counts[cut], counts[refused], read.done, read.refused, read.slowest.Round(time.Millisecond), peak>>20)
	if read.done == 0 {
		t.Error("no reader was served")
	}
	if counts[cut] == 0 {
		t.Error("no upload was taken")
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// judge says what is wrong with a node that had so much resident at most.
func judge(peak int64) error {
	if peak > residentLimit {
		return fmt.Errorf("the node had %d MiB resident, at most %d MiB", peak>>20, int64(residentLimit)>>20)
	}
	return nil
}

// Negative control: uploads that a node lets in because its budget is another one, with
// their windows as bounded as ever, are found. A judge of memory that does not see them
// would see nothing.
func TestUploadsWithinBudgetFindsMore(t *testing.T) {
	const (
		many       = 800 // with four slabs each 400 MiB
		mountpaths = 8   // for each of which 128 are let in
		sent       = 1 << 20
	)
	node := process.ForTest(t, process.Config{Mountpaths: mountpaths, Args: []string{"--memory", "4GiB"}})
	client := process.ClientForTest(t, node, bucket)
	idle, err := node.ResidentPeak()
	if err := errors.Join(err, judge(idle)); err != nil {
		t.Fatalf("before there was an upload: %v", err)
	}
	var group sync.WaitGroup
	for i := range many {
		group.Go(func() {
			conn, _, err := begin(client, fmt.Sprintf("upload/%d", i), sent)
			if err != nil {
				t.Errorf("upload %d: %v", i, err)
				return
			}
			t.Cleanup(func() { conn.Close() }) //nolint:errcheck // it is cut off
		})
	}
	group.Wait()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for over := time.After(time.Minute); ; {
		peak, err := node.ResidentPeak()
		if err != nil {
			t.Fatal(err)
		}
		if found := judge(peak); found != nil {
			t.Logf("idle %d MiB; with %d uploads under way: %v", idle>>20, many, found)
			return
		}
		select {
		case <-look.C:
		case <-over:
			t.Fatalf("%d uploads are under way in a node that is not bounded, and nobody notices: %d MiB", many, peak>>20)
		}
	}
}

// uploadAll starts all uploads at once and returns what came of them.
func uploadAll(t *testing.T, client *s3client.Client, cutAt int64) map[outcome]int {
	t.Helper()
	counts := make(map[outcome]int)
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range uploads {
		group.Go(func() {
			o, err := upload(client, fmt.Sprintf("upload/%d", i), cutAt)
			mu.Lock()
			defer mu.Unlock()
			counts[o]++
			if err != nil {
				t.Errorf("upload %d: %v", i, err)
			}
		})
	}
	group.Wait()
	return counts
}

// begin declares 1 GiB and sends some of it. Ended says that the node has hung up.
func begin(client *s3client.Client, key string, bytes int64) (conn net.Conn, ended bool, err error) {
	head, _, err := client.Head(s3client.Request{Method: "PUT", Bucket: bucket, Key: key})
	if err != nil {
		return nil, false, err
	}
	conn, err = net.Dial("tcp", client.Address)
	if err != nil {
		return nil, false, err
	}
	_, err = io.WriteString(conn, head+fmt.Sprintf("Content-Length: %d\r\n\r\n", declaredBytes))
	block := make([]byte, 256<<10)
	for sent := int64(0); err == nil && sent < bytes; sent += int64(len(block)) {
		_, err = conn.Write(block)
	}
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return conn, true, nil
	}
	if err != nil {
		return nil, false, errors.Join(err, conn.Close())
	}
	return conn, false, nil
}

// upload declares 1 GiB, sends some of it, and goes away.
func upload(client *s3client.Client, key string, cutAt int64) (outcome, error) {
	conn, ended, err := begin(client, key, cutAt)
	if err != nil {
		return cut, err
	}
	defer conn.Close()
	// An answer that came before the body's end is a refusal. A closed connection
	// may have lost it.
	if deadline := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); deadline != nil {
		return cut, deadline
	}
	answer, readErr := io.ReadAll(io.LimitReader(conn, 64<<10))
	switch {
	case len(answer) > 0:
		if !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") {
			return refused, fmt.Errorf("answered before its end: %.300s", answer)
		}
		return refused, nil
	case ended:
		return refused, nil
	case !errors.Is(readErr, os.ErrDeadlineExceeded):
		return refused, fmt.Errorf("the node hung up without an answer: %w", readErr)
	}
	return cut, nil
}

// reading is what the readers saw.
type reading struct {
	done, refused int
	slowest       time.Duration
}

// startReaders lets readers read until ctx ends; the function that it returns
// waits for them.
func startReaders(ctx context.Context, t *testing.T, client *s3client.Client, want []byte) (wait func() reading) {
	var mu sync.Mutex
	var all reading
	var group sync.WaitGroup
	for range readers {
		group.Go(func() {
			var mine reading
			for ctx.Err() == nil {
				begin := time.Now()
				answer, err := client.Get(context.WithoutCancel(ctx), bucket, "small")
				switch {
				case err != nil:
					t.Errorf("a reader: %v", err)
					return
				case answer.OK() && bytes.Equal(answer.Body, want):
					mine.done++
					mine.slowest = max(mine.slowest, time.Since(begin))
				case answer.Status == 503:
					mine.refused++
				default:
					t.Errorf("a reader: %v, %d bytes", answer.Err(), len(answer.Body))
					return
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all.done += mine.done
			all.refused += mine.refused
			all.slowest = max(all.slowest, mine.slowest)
		})
	}
	return func() reading {
		group.Wait()
		return all
	}
}
