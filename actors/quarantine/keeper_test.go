package quarantine

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// disk is a Store in memory that can fail.
type disk struct {
	mu     sync.Mutex
	docs   map[string][]byte
	broken error
}

func (d *disk) Put(id string, content []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken == nil {
		d.docs[id] = slices.Clone(content)
	}
	return d.broken
}

func (d *disk) Remove(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken == nil {
		delete(d.docs, id)
	}
	return d.broken
}

func (d *disk) breaks(how error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = how
}

func (d *disk) all() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.docs)
}

// poison is a request on which its actor panics.
type poison struct {
	key   string
	reply messages.Reply[struct{}]
}

func (m *poison) Fail(err error) { m.reply.Fail(err) }

func (m *poison) Handles() messages.Handling {
	if m.key == "" { // of an extension
		return messages.Handling{Thing: "stone", Does: "weigh"}
	}
	return messages.HandlesKey(objects.Key{Bucket: objects.Bucket{ID: objects.BucketID{7}, Name: "photos"}, Name: m.key}, messages.ReadAccess)
}

// victim panics on poison.
type victim struct{}

func (victim) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(*poison); ok {
		panic("poisoned by " + m.key)
	}
}

// node is a keeper and a victim over a disk, on virtual time.
type node struct {
	*testing.T
	disk   *disk
	system *actors.System
	keeper *actor.PID
	victim *actor.PID
}

// life runs a test in one process over the disk.
func life(t *testing.T, d *disk, test func(n *node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := logrus.New()
		log.SetOutput(io.Discard)
		n := &node{T: t, disk: d, system: actors.NewSystemWith(actors.Options{Clock: clock.NewSystem(), Log: logrus.NewEntry(log), Version: "v3"})}
		var err error
		if n.keeper, err = n.system.Spawn(n.system.Root(), Spec(Config{System: n.system, Store: d, Self: n.system.PID(Name), Documents: d.all()})); err != nil {
			t.Fatal(err)
		}
		if n.victim, err = n.system.Spawn(n.system.Root(), actors.Spec{Name: "victim", New: func() actor.Actor { return victim{} }}); err != nil {
			t.Fatal(err)
		}
		test(n)
		for _, pid := range []*actor.PID{n.victim, n.keeper} {
			if err := n.system.Stop(pid); err != nil {
				t.Error(err)
			}
		}
		n.system.Shutdown()
		<-time.After(3 * time.Second)
		synctest.Wait()
	})
}

func (n *node) poison(key string) error {
	m := &poison{key: key, reply: messages.NewReply[struct{}]()}
	n.system.Root().Send(n.victim, m)
	_, err := m.reply.Wait("test", time.Minute)
	synctest.Wait()
	return err
}

func (n *node) refused(key string) bool {
	var refusal *messages.Quarantined
	return errors.As(n.poison(key), &refusal)
}

func (n *node) only() messages.QuarantineState {
	n.Helper()
	list := n.system.Quarantine().List()
	if len(list) != 1 {
		n.Fatalf("%d quarantines: %+v", len(list), list)
	}
	return list[0]
}

func (n *node) release(id string) error {
	m := &messages.ReleaseQuarantine{ID: id, Reply: messages.NewReply[messages.Quarantine]()}
	n.system.Root().Send(n.keeper, m)
	_, err := m.Reply.Wait("test", time.Minute)
	return err
}

// What is quarantined is on the disk a moment later, with the evidence, and refused in
// the next process; what was released is not, in either.
func TestQuarantinesAreKept(t *testing.T) {
	d := &disk{docs: make(map[string][]byte)}
	var was messages.QuarantineState
	life(t, d, func(n *node) {
		for range 3 {
			if n.refused("bad") {
				t.Fatal("refused too early")
			}
		}
		if was = n.only(); !was.Kept || len(d.all()) != 1 {
			t.Fatalf("%+v; on the disk: %q", was, d.all())
		}
	})
	life(t, d, func(n *node) {
		if !n.refused("bad") {
			t.Error("after a restart the actor gets what it panicked on")
		}
		is := n.only()
		if is.Refused != 1 {
			t.Errorf("%d refused", is.Refused)
		}
		is.Refused, is.LastRefused = was.Refused, was.LastRefused
		if is != was {
			t.Errorf("after a restart:\n%+v\nbefore:\n%+v", is, was)
		}
		if err := n.release("nobody"); !errs.Is(errs.NotFound, err) {
			t.Errorf("released what is not there: %v", err)
		}
		if err := n.release(was.ID); err != nil {
			t.Error(err)
		}
		if len(d.all()) != 0 || n.refused("bad") {
			t.Errorf("released, and on the disk: %q", d.all())
		}
	})
	life(t, d, func(n *node) {
		if n.refused("bad") {
			t.Error("released, and refused after a restart")
		}
	})
}

// A thing of an extension need not have a name.
func TestThingWithoutANameIsKept(t *testing.T) {
	d := &disk{docs: make(map[string][]byte)}
	life(t, d, func(n *node) {
		for range 3 {
			_ = n.poison("")
		}
		n.only()
	})
	life(t, d, func(n *node) {
		if !n.refused("") {
			t.Error("after a restart the actor gets what it panicked on")
		}
	})
}

// While the disk fails, a quarantine is at work and says that it is not kept; a release
// is refused and changes nothing; both are made good when the disk is back.
func TestQuarantineOutlastsItsDisk(t *testing.T) {
	d := &disk{docs: make(map[string][]byte), broken: errs.E("disk", errs.IO, errors.New("it burns"))}
	life(t, d, func(n *node) {
		for range 3 {
			_ = n.poison("bad")
		}
		if q := n.only(); q.Kept || !n.refused("bad") {
			t.Errorf("%+v", q)
		}
		d.breaks(nil)
		<-time.After(again)
		synctest.Wait()
		q := n.only()
		if !q.Kept || len(d.all()) != 1 {
			t.Errorf("%+v; on the disk: %q", q, d.all())
		}
		d.breaks(errs.E("disk", errs.IO, errors.New("it burns")))
		if err := n.release(q.ID); !errs.Is(errs.IO, err) || n.only().Kept || !n.refused("bad") {
			t.Errorf("released without a disk: %v", err)
		}
		d.breaks(nil)
		<-time.After(again)
		synctest.Wait()
		if !n.only().Kept {
			t.Error("it is not kept again")
		}
		if err := n.release(q.ID); err != nil || n.refused("bad") {
			t.Error(err)
		}
	})
}

// A document that cannot be read is told of and left alone; the others count.
func TestStrangeDocumentsAreLeftAlone(t *testing.T) {
	d := &disk{docs: make(map[string][]byte)}
	life(t, d, func(n *node) {
		for range 3 {
			_ = n.poison("bad")
		}
	})
	for id, content := range d.all() {
		d.docs["other"] = content // says another id
		d.docs["newer"] = []byte(strings.Replace(string(content), `"format": 1`, `"format": 2`, 1))
		if string(d.docs["newer"]) == string(content) {
			t.Fatalf("%s: %s", id, content)
		}
	}
	d.docs["torn"] = []byte(`{"format": 1, "id": "to`)
	life(t, d, func(n *node) {
		n.only()
		if !n.refused("bad") {
			t.Error("the good one is not at work")
		}
	})
	if len(d.all()) != 4 {
		t.Errorf("left: %v", slices.Sorted(maps.Keys(d.all())))
	}
}
