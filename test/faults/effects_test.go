package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/supervisors/faults"
)

// effect is a fault, and what a client sees of it.
type effect struct {
	name  string
	fault faults.Fault
	// try is one request (or a few) of a client, on a key with large(1) under it.
	try func(w *world, key string) error
	// broken reports whether try's error is what the fault must bring about. For
	// nil it must say false: that is health.
	broken func(error) bool
	// after is what must hold while the fault lasts, and try has been made; nil:
	// nothing.
	after func(w *world, key string) error
}

func status(codes ...int) func(error) bool {
	return func(err error) bool {
		for _, c := range codes {
			if statusOf(err) == c {
				return true
			}
		}
		return false
	}
}

// failed is any failure, but never wrong bytes.
func failed(err error) bool { return err != nil && !errors.Is(err, errWrong) }

func write(w *world, key string) error { return w.put(key, large(1)) }

func writeSmall(w *world, key string) error { return w.put("small-"+key, []byte("small")) }

func read(w *world, key string) error { return w.get(key, large(1)) }

func messagesTo(actor, message string, do faults.MessageEffect) faults.Fault {
	return faults.Fault{Messages: &faults.Messages{Actor: actor, Message: message, Do: do}, When: faults.When{Count: 1}}
}

func onDisk(d faults.Disk) faults.Fault { return faults.Fault{Disk: &d} }

// errSlow says that a request took as long as a fault delays it.
var errSlow = errors.New("it took its time")

// delay is beyond what a request takes on any machine that passes other tests,
// and short enough to wait for.
const delay = 2 * time.Second

func slow(do func(*world, string) error) func(*world, string) error {
	return func(w *world, key string) error {
		began := time.Now()
		if err := do(w, key); err != nil {
			return err
		}
		if took := time.Since(began); took >= delay {
			return fmt.Errorf("%w: %s", errSlow, took)
		}
		return nil
	}
}

func effects() []effect {
	const lanes, readers = "node/mountpaths/*/w*", "node/mountpaths/*/r*"
	return []effect{
		{name: "a write lane panics on a small object", fault: messagesTo(lanes, "messages.PutObject", faults.Panic), try: writeSmall, broken: status(503)},
		{name: "a write lane panics on a file", fault: messagesTo(lanes, "mountpath.commitFile", faults.Panic), try: write, broken: status(503)},
		{name: "a read lane panics", fault: messagesTo(readers, "messages.OpenObject", faults.Panic), try: read, broken: status(503)},
		{name: "a transfer panics", fault: messagesTo("node/mountpaths/*/t*", "messages.WriteChunk", faults.Panic), try: write, broken: status(503)},
		{name: "a write lane refuses", fault: messagesTo(lanes, "messages.PutObject", faults.Refuse), try: writeSmall, broken: status(503)},
		{name: "a write lane is slow", fault: faults.Fault{
			Messages: &faults.Messages{Actor: lanes, Message: "messages.PutObject", Do: faults.Delay, Delay: delay}, When: faults.When{Count: 1},
		}, try: slow(writeSmall), broken: func(err error) bool { return errors.Is(err, errSlow) }},

		{name: "reads of payloads fail", fault: onDisk(faults.Disk{Do: faults.Fail, Calls: []string{"open"}, Path: bucket + "/**"}), try: read, broken: failed},
		{name: "reads of payloads break off", fault: onDisk(faults.Disk{Do: faults.Fail, Calls: []string{"read"}, Path: bucket + "/**"}), try: read, broken: failed},
		{name: "payloads rot", fault: onDisk(faults.Disk{Do: faults.FlipBits, Path: bucket + "/**"}), try: read, broken: failed},
		{name: "a work file cannot be synced", fault: faults.Fault{
			Disk: &faults.Disk{Do: faults.Fail, Calls: []string{"sync"}, Path: ".troupe/work/*"}, When: faults.When{Count: 1},
		}, try: write, broken: status(500, 503)},
		{name: "a write is short", fault: faults.Fault{
			Disk: &faults.Disk{Do: faults.ShortWrite, Path: ".troupe/work/*", Bytes: 100}, When: faults.When{Count: 1},
		}, try: write, broken: status(507)},
		{name: "the disks are full", fault: onDisk(faults.Disk{Do: faults.Full, Path: ".troupe/work/*"}), try: write, broken: status(507), after: read},
		{name: "the disks are read-only", fault: onDisk(faults.Disk{Do: faults.ReadOnly, Path: ".troupe/work/*"}), try: write, broken: status(500, 503, 507), after: read},
		{name: "the disks are slow", fault: faults.Fault{
			Disk: &faults.Disk{Do: faults.Slow, Calls: []string{"create"}, Path: ".troupe/work/*", Delay: delay}, When: faults.When{Count: 1},
		}, try: slow(write), broken: func(err error) bool { return errors.Is(err, errSlow) }},

		{name: "the clock is ahead", fault: faults.Fault{Clock: &faults.Clock{Skew: time.Hour}}, try: read, broken: status(403)},
		{name: "the clock is behind", fault: faults.Fault{Clock: &faults.Clock{Skew: -time.Hour}}, try: read, broken: status(403)},
	}
}

// Every part can be broken by the desk: its effect is there while the fault lasts,
// and before and after, each checked, it is not.
func TestEffects(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	for n, e := range effects() {
		t.Run(e.name, func(t *testing.T) {
			w := &world{TB: t, dir: w.dir, node: w.node, client: w.client}
			key := fmt.Sprintf("k%d", n)
			w.eventually("before", func() error { return w.put(key, large(1)) })
			// The mountpaths may still be what the fault before made of them.
			w.eventually("before the fault", func() error { return e.try(w, key) })
			i := w.inject(e.fault)
			var err error
			w.eventually("with the fault", func() error {
				if err = e.try(w, key); i.Hits() == 0 && status(503)(err) {
					return err // a mountpath was reported as the fault before made it, after all
				}
				return nil
			})
			if !e.broken(err) {
				t.Errorf("with the fault: %v", err)
			}
			if e.after != nil {
				if err := e.after(w, key); err != nil {
					t.Errorf("with the fault: %v", err)
				}
			}
			i.Clear()
			if i.Hits() == 0 {
				t.Error("the fault hit nothing")
			}
			w.eventually("after the fault", func() error {
				if err := e.try(w, key); err != nil {
					return err
				}
				return read(w, key)
			})
		})
	}
}

// Negative control: what breaks with a fault works in a node without a desk, which
// has none of the hooks.
func TestWithoutADesk(t *testing.T) {
	w := start(t, nil)
	if w.node.Faults() != nil {
		t.Error("a node that was given no desk has one")
	}
	for n, e := range effects() {
		key := fmt.Sprintf("k%d", n)
		if err := w.put(key, large(1)); err != nil {
			t.Fatal(err)
		}
		if err := e.try(w, key); err != nil || e.broken(err) {
			t.Errorf("%s: %v", e.name, err)
		}
	}
}

// A fault that nobody clears ends by itself.
func TestAFaultEndsByItself(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	if err := w.put("k", large(1)); err != nil {
		t.Fatal(err)
	}
	i := w.inject(faults.Fault{Disk: &faults.Disk{Do: faults.Stall, Calls: []string{"open"}, Path: bucket + "/**"}, Expiry: 300 * time.Millisecond})
	if err := w.get("k", large(1)); err != nil { // hangs until then
		t.Error(err)
	}
	select {
	case <-i.Lifted():
	default:
		t.Error("the request was answered before the fault ended")
	}
	if i.Hits() != 1 || len(w.node.Faults().List()) != 0 {
		t.Errorf("%d hits; at the desk: %+v", i.Hits(), w.node.Faults().List())
	}
}

// An answer that is lost ends in a clear error at the gateway's deadline, which a
// jump of the clock brings near: the client reads that nobody knows, and finds
// the write done. A command that is lost ends likewise, and is not done.
func TestLostMessages(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	for n, c := range []struct {
		message string
		do      faults.MessageEffect
		body    []byte
		done    bool
	}{
		{"messages.PutObject", faults.DropReply, []byte("small"), true},
		{"messages.PutObject", faults.Drop, []byte("small"), false},
		{"mountpath.commitFile", faults.DropReply, large(1), true},
	} {
		t.Run(string(c.do)+" "+c.message, func(t *testing.T) {
			w := &world{TB: t, dir: w.dir, node: w.node, client: w.client}
			key := fmt.Sprintf("k%d", n)
			lost := w.inject(messagesTo("node/mountpaths/*/w*", c.message, c.do))
			answer := make(chan error, 1)
			go func() { answer <- w.put(key, c.body) }()
			<-lost.Reached()
			select {
			case err := <-answer:
				t.Fatalf("answered although the answer was lost: %v", err)
			default:
			}
			lost.Clear()
			if c.done { // reads wait for the commit to be durable
				w.eventually("the write", func() error { return w.get(key, c.body) })
			}
			late := w.inject(faults.Fault{Clock: &faults.Clock{Jump: 10 * time.Minute}})
			err := <-answer
			late.Clear()
			if statusOf(err) != http.StatusServiceUnavailable {
				t.Errorf("answered %v", err)
			}
			if err := w.get(key, c.body); c.done != (err == nil) || !c.done && statusOf(err) != http.StatusNotFound {
				t.Errorf("afterwards: %v; done: %t", err, c.done)
			}
			if err := w.put(key, c.body); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// An upload that nobody goes on with is aborted when its time is over, which a jump
// of the clock brings about; one of a shorter jump is not.
func TestAbandonedUploadsExpire(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	id, a, err := w.client.CreateUpload(t.Context(), bucket, "abandoned")
	if err := outcome(a, err); err != nil {
		t.Fatal(err)
	}
	a, err = w.client.PutPart(t.Context(), bucket, "abandoned", id, 1, large(1))
	if err := outcome(a, err); err != nil {
		t.Fatal(err)
	}
	// What the jump lets happen is watched by faults that do no harm.
	watch := func(message string) *faults.Injected {
		return w.inject(faults.Fault{Messages: &faults.Messages{Actor: "node/**", Message: message, Do: faults.Delay, Delay: 1}})
	}
	left := func() int {
		uploads, err := w.client.Uploads(t.Context(), bucket)
		if err != nil {
			t.Fatal(err)
		}
		return len(uploads)
	}
	for _, c := range []struct {
		jump time.Duration
		left int
	}{{24 * time.Hour, 1}, {8 * 24 * time.Hour, 0}} {
		looks, aborts := watch("messages.ListUploads"), watch("messages.AbortUpload")
		jump := w.inject(faults.Fault{Clock: &faults.Clock{Jump: c.jump}})
		<-looks.Reached()
		if c.left == 0 {
			<-aborts.Reached()
		}
		jump.Clear()
		w.eventually("who looks for such uploads ends", func() error {
			for _, a := range w.node.System().Actors() {
				if ok, err := path.Match("node/buckets/*/x*", a.Address); ok || err != nil {
					return errors.Join(err, errors.New(a.Address+" is at work"))
				}
			}
			return nil
		})
		w.eventually("the upload", func() error {
			if n := left(); n != c.left {
				return fmt.Errorf("%d uploads are left after %s, want %d", n, c.jump, c.left)
			}
			return nil
		})
		if c.left > 0 && aborts.Hits() > 0 {
			t.Errorf("an upload was aborted after %s", c.jump)
		}
		looks.Clear()
		aborts.Clear()
	}
}

// A wrong clock dates what is written, and nothing else: the object is there.
func TestAWrongClockDates(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	const ahead = 10 * time.Minute // within what signatures may be off
	dateOf := func(key string) time.Time {
		a, err := w.client.Get(context.Background(), bucket, key)
		if err := outcome(a, err); err != nil {
			t.Fatal(err)
		}
		date, err := http.ParseTime(a.Header.Get("Last-Modified"))
		if err != nil {
			t.Fatal(err)
		}
		return date
	}
	i := w.inject(faults.Fault{Clock: &faults.Clock{Skew: ahead}})
	if err := w.put("ahead", large(1)); err != nil {
		t.Fatal(err)
	}
	i.Clear()
	if err := w.put("now", large(1)); err != nil {
		t.Fatal(err)
	}
	if off := dateOf("ahead").Sub(dateOf("now")); off < ahead-patience || off > ahead+patience {
		t.Errorf("the dates differ by %s; the clock was ahead by %s", off, ahead)
	}
}
