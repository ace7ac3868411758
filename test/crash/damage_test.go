package crash

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// The power goes at every operation while a damaged payload is found, noted, put aside and
// forgotten: its file never leaves its name before that is noted, nothing of it is given out
// once it was noted, and the scrubber comes to the same end. Others are served throughout.
func TestPowerCutsWhileDamageIsPutAside(t *testing.T) {
	for seed := range uint64(2) {
		cuts := 0
		for at := 1; ; at++ {
			d := newDamageYard(t)
			left, where := d.cutAt(at, seed)
			if left == nil {
				break
			}
			cuts++
			d.again(left)
			d.judge(fmt.Sprintf("seed %d, cut %d at %s", seed, at, where))
			if t.Failed() {
				return
			}
		}
		if cuts < 10 {
			t.Fatalf("only %d cuts: nothing was put aside", cuts)
		}
		t.Logf("seed %d: %d cuts", seed, cuts)
	}
}

// damageYard is a mountpath with three objects, of which one is damaged.
type damageYard struct {
	*testing.T
	mem     *disk.Mem
	m       *machine
	bucket  objects.Bucket
	payload objects.Generation // of the one that is damaged
	path    string
	body    []byte
}

func newDamageYard(t *testing.T) *damageYard {
	d := &damageYard{
		T: t, mem: disk.NewMem(1), bucket: objects.Bucket{ID: objects.BucketID{7}, Provider: objects.ProviderAIS, Name: "photos"},
		path: "photos/bad", body: bytes.Repeat([]byte("damage"), 1000),
	}
	if err := format(d.mem); err != nil {
		t.Fatal(err)
	}
	d.m = &machine{fs: d.mem, shared: index.NewShared(8<<20, 1), inline: 1 << 10, boot: "first"}
	t.Cleanup(d.m.shared.Close)
	if err := d.m.open(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "bad", "c"} {
		in, err := d.m.store.Create(d.key(name), objects.Draft{Class: objects.Synced}, int64(len(d.body)))
		if err != nil {
			t.Fatal(err)
		}
		sums := checksum.Sums{Size: int64(len(d.body)), XXHash: xxhash.Checksum64(d.body)}
		if err := errors.Join(in.Append(d.body), in.Seal(sums, "e")); err != nil {
			t.Fatal(err)
		}
		receipt, err := d.m.store.CommitFile(in, objects.Meta{Size: sums.Size, XXHash: sums.XXHash, ETag: "e", Modified: time.Unix(epoch, 0)}, objects.Conditions{}, objects.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		if name == "bad" {
			d.payload = receipt.Meta.Payload
		}
	}
	file, err := d.mem.OpenFile(d.path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt([]byte{'D'}, 3000)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *damageYard) key(name string) objects.Key { return objects.Key{Bucket: d.bucket, Name: name} }

// scrub finds what is damaged and puts it aside; then its key is deleted and forgotten.
func (d *damageYard) scrub() error {
	s := d.m.store
	for rests := false; !rests; {
		step, err := s.Scrub().Step(store.ScrubOrder{Within: 30 * 24 * time.Hour, Buckets: []objects.Bucket{d.bucket}})
		if err != nil {
			return err
		}
		rests = step.Rest > 0
	}
	for {
		key, payload, ok := s.ToPutAside()
		if !ok {
			return s.Scrub().Note()
		}
		if err := s.PutAside(key, payload); err != nil {
			return err
		}
	}
}

func (d *damageYard) forget() error {
	_, _, err := d.m.store.Delete(d.key("bad"), objects.Conditions{}, objects.Origin{})
	return errors.Join(err, d.m.store.KeepDamage())
}

// cutAt does all of it with the power going at an operation, and returns what is left then;
// nil: there were fewer.
func (d *damageYard) cutAt(at int, seed uint64) (left *disk.Mem, where string) {
	policy := disk.CrashPolicy{SyncedOnly: true}
	if seed > 0 {
		policy = disk.CrashPolicy{Random: rand.New(rand.NewPCG(seed, uint64(at)))}
	}
	var mu sync.Mutex
	n := 0
	d.mem.OnOperation(func(o disk.Operation) {
		mu.Lock()
		defer mu.Unlock()
		if !o.Call.Changes() {
			return
		}
		if n++; n == at {
			left, where = d.mem.Crash(policy), o.String()
		}
	})
	err := errors.Join(d.scrub(), d.forget())
	d.mem.OnOperation(nil)
	if err := errors.Join(err, d.m.store.Close()); err != nil {
		d.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return left, where
}

// again opens what a cut left.
func (d *damageYard) again(left *disk.Mem) {
	d.mem, d.m.fs, d.m.boot = left, left, d.m.boot+"+"
	if err := d.m.open(); err != nil {
		d.Fatal(err)
	}
}

func (d *damageYard) exists(name string) bool {
	_, err := d.mem.Stat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.Fatal(err)
	}
	return err == nil
}

// judge says what is wrong after a cut.
func (d *damageYard) judge(when string) {
	defer func() {
		if err := d.m.store.Close(); err != nil {
			d.Errorf("%s: %v", when, err)
		}
	}()
	room := make([]byte, d.m.store.InlineLimit())
	open := func(name string) error {
		opened, err := d.m.store.Open(d.key(name), room)
		if err != nil {
			return err
		}
		defer opened.Close()
		payload := make([]byte, opened.Meta.Size)
		if _, err = opened.File.ReadAt(payload, 0); err == nil && !bytes.Equal(payload, d.body) {
			return errors.New("other bytes")
		}
		return err
	}
	for _, name := range []string{"a", "c"} {
		if err := open(name); err != nil {
			d.Errorf("%s: %s: %v", when, name, err)
		}
	}
	refused := func(err error) bool {
		return errs.Is(errs.Corrupt, err) && strings.Contains(err.Error(), "found damaged")
	}
	number, _ := d.m.store.Damaged(10)
	switch err := open("bad"); {
	case errs.Is(errs.NotFound, err): // it was deleted
		if err := d.m.store.KeepDamage(); err != nil {
			d.Errorf("%s: %v", when, err)
		}
		if number, _ := d.m.store.Damaged(10); number != 0 {
			d.Errorf("%s: %d are damaged, and nothing names them", when, number)
		}
		return
	case number == 1 && !refused(err):
		d.Errorf("%s: it was noted, and a read says %v", when, err)
	case number == 0 && (!d.exists(d.path) || d.exists(layout.QuarantinePath(d.payload))):
		d.Errorf("%s: its file left its name, and that is not noted: %v", when, err)
	}
	if err := d.scrub(); err != nil {
		d.Errorf("%s: %v", when, err)
	}
	if number, list := d.m.store.Damaged(10); number != 1 || list[0].Path != d.path || !refused(open("bad")) || d.exists(d.path) || !d.exists(layout.QuarantinePath(d.payload)) {
		d.Errorf("%s: scrubbed again: %+v, a read says %v", when, list, open("bad"))
	}
}
