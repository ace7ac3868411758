package crash

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
)

// bench is a store on a faulty memory with the means to put things in it.
type bench struct {
	*testing.T
	mem    *disk.Mem
	faulty *disk.Faulty
	*machine
	key objects.Key
}

func newBench(t *testing.T, name string) *bench {
	t.Helper()
	mem := disk.NewMem(1)
	if err := format(mem); err != nil {
		t.Fatal(err)
	}
	shared := index.NewShared(1<<20, 1)
	b := &bench{T: t, mem: mem, faulty: disk.NewFaulty(mem), machine: &machine{shared: shared, inline: 1 << 10}}
	b.fs = b.faulty
	b.key = objects.Key{Bucket: objects.Bucket{ID: objects.BucketID{1}, Provider: objects.ProviderAIS, Name: "photos"}, Name: name}
	if err := b.open(); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) small(seed uint64) *payload { return newPayload(seed, 100, objects.Draft{}) }
func (b *bench) large(seed uint64) *payload { return newPayload(seed, 5000, objects.Draft{}) }

func (b *bench) putSmall(p *payload) error {
	_, err := b.store.PutInline(b.key, p.meta(), p.bytes, objects.Conditions{}, objects.Origin{})
	return err
}

// begin returns a function that commits a large payload which is sealed now.
func (b *bench) begin(p *payload) (commit func() error) {
	b.Helper()
	in, err := b.store.Create(b.key, p.draft, -1)
	if err != nil {
		b.Fatal(err)
	}
	if err := in.Append(p.bytes); err != nil {
		b.Fatal(err)
	}
	if err := in.Seal(p.sums, p.sums.ETag()); err != nil {
		b.Fatal(err)
	}
	return func() error {
		_, err := b.store.CommitFile(in, p.meta(), objects.Conditions{}, objects.Origin{})
		return err
	}
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// cutAt cuts the power before the nth operation of fn that matches.
func (b *bench) cutAt(call disk.Call, pathPart string, policy disk.CrashPolicy, fn func() error) *disk.Mem {
	b.Helper()
	var left *disk.Mem
	b.mem.OnOperation(func(o disk.Operation) {
		if left == nil && o.Call == call && strings.Contains(o.Path, pathPart) {
			left = b.mem.Crash(policy)
		}
	})
	b.must(fn())
	b.mem.OnOperation(nil)
	if left == nil {
		b.Fatalf("no %s of %s", call, pathPart)
	}
	return left
}

// afterwards opens what is left and returns what the key holds.
func (b *bench) afterwards(left *disk.Mem) string {
	b.Helper()
	m := &machine{fs: left, shared: b.shared, inline: b.inline, start: b.start + 1}
	if err := m.open(); err != nil {
		b.Fatal(err)
	}
	value, err := readObject(m.store, b.key)
	b.must(err)
	b.must(drain(m.store))
	if err := leftovers(left, m.store, []objects.Bucket{b.key.Bucket}); err != nil {
		b.Error(err)
	}
	b.must(m.store.Close())
	if value == nil {
		return ""
	}
	return value.ETag
}

// Decision 6 said that an intent whose record names a newer payload is undone
// whatever the name holds. Payload generations are taken when a transfer starts: a
// write that started later may have committed before this one's turn, and this one
// is the later write. Here the power goes after its rename, which is durable: going
// back would leave an acknowledged large write without its file.
func TestSettlingGoesForwardByTurn(t *testing.T) {
	for _, c := range []struct {
		name string
		fast func(b *bench) (etag string)
	}{
		{"overtaken by a small write", func(b *bench) string {
			p := b.small(2)
			b.must(b.putSmall(p))
			return p.sums.ETag()
		}},
		{"overtaken by a large write", func(b *bench) string {
			p := b.large(3)
			b.must(b.begin(p)())
			return p.sums.ETag()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, "dir/one")
			slow := b.large(1)
			commit := b.begin(slow) // the smaller payload generation
			fast := c.fast(b)       // the greater one, acknowledged

			// Before the rename of the slow write is durable: the fast one stays.
			left := b.cutAt(disk.CallSyncDir, "photos/dir", disk.CrashPolicy{SyncedOnly: true}, commit)
			if got := b.afterwards(left); got != fast {
				t.Errorf("before the directory was synced: %q, want the fast write %q", got, fast)
			}
		})
		t.Run(c.name+", renamed", func(t *testing.T) {
			b := newBench(t, "dir/one")
			slow := b.large(1)
			commit := b.begin(slow)
			c.fast(b)
			// The first operation of the index after the rename is the commit's.
			renamed := false
			var left *disk.Mem
			b.mem.OnOperation(func(o disk.Operation) {
				renamed = renamed || o.Call == disk.CallSyncDir && o.Path == "photos/dir"
				if renamed && left == nil && o.Call == disk.CallWrite && strings.HasPrefix(o.Path, ".troupe/index/") {
					left = b.mem.Crash(disk.CrashPolicy{SyncedOnly: true})
				}
			})
			b.must(commit())
			b.mem.OnOperation(nil)
			if left == nil {
				t.Fatal("the power was not cut")
			}
			if got := b.afterwards(left); got != slow.sums.ETag() {
				t.Errorf("after the rename was durable: %q, want the slow write %q", got, slow.sums.ETag())
			}
		})
	}
}

// A write that was refused after its predecessor was linked to the trash leaves
// no link: with one, the predecessor could not be moved to the trash later, and
// would stay under its name after its delete.
func TestRefusedOverwriteLeavesNoLink(t *testing.T) {
	for _, c := range []struct {
		name string
		call disk.Call
		late bool
	}{{"the rename fails", disk.CallReceive, false}, {"the link fails afterwards", disk.CallLink, true}} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, "one")
			b.must(b.begin(b.large(1))())
			fault, err := b.faulty.Add(disk.Rule{Calls: []disk.Call{c.call}, Times: 1, Err: syscall.EIO, Afterwards: c.late})
			b.must(err)
			if err := b.begin(b.large(2))(); !errors.Is(err, syscall.EIO) || fault.Hits() != 1 {
				t.Fatalf("%v, %d faults", err, fault.Hits())
			}
			if entries := list(b, ".troupe/trash"); len(entries) > 0 {
				t.Errorf("in the trash: %q", entries)
			}
			if _, _, err := b.store.Delete(b.key, objects.Conditions{}, objects.Origin{}); err != nil {
				t.Fatal(err)
			}
			if entries := list(b, "photos"); len(entries) > 0 {
				t.Errorf("under its name after the delete: %q", entries)
			}
			b.must(b.store.Close())
			if got := b.afterwards(b.mem.Crash(disk.CrashPolicy{SyncedOnly: true})); got != "" {
				t.Errorf("%q came back", got)
			}
		})
	}
}

// reopen closes the store, cuts the power and returns what the key holds then.
func (b *bench) reopen() string {
	b.Helper()
	b.must(b.store.Close())
	return b.afterwards(b.mem.Crash(disk.CrashPolicy{SyncedOnly: true}))
}

func list(b *bench, dir string) (names []string) {
	b.Helper()
	b.must(b.mem.ReadDir(dir, func(e disk.Entry) bool { names = append(names, e.Name); return true }))
	return names
}

// A write that was interrupted between its rename and its commit keeps its key
// busy: a write or a delete acknowledged after it would be undone by the next open,
// which goes forward with the interrupted one.
func TestInterruptedWriteKeepsItsKeyBusy(t *testing.T) {
	b := newBench(t, "one")
	_, err := b.faulty.Add(disk.Rule{Calls: []disk.Call{disk.CallSyncDir}, Path: "photos", Times: 1, Panic: "on purpose"})
	b.must(err)
	interrupted := b.large(1)
	commit := b.begin(interrupted)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing panicked")
			}
		}()
		b.must(commit())
	}()
	later := b.small(2)
	err = b.putSmall(later)
	want := []string{"", interrupted.sums.ETag()}
	if err == nil {
		want = []string{later.sums.ETag()}
	} else if !errors.Is(err, objects.ErrOutcomeUnknown) {
		t.Errorf("refused with: %v", err)
	}
	other := b.key
	b.key.Name = "other"
	b.must(b.putSmall(b.small(3))) // other keys go on
	b.must(b.begin(b.large(4))())
	b.key = other
	b.must(b.store.Close())
	if got := b.afterwards(b.mem.Crash(disk.CrashPolicy{SyncedOnly: true})); got != want[0] && got != want[len(want)-1] {
		t.Errorf("after a restart it holds %q, allowed %q", got, want)
	}
}

// A commit that fails because the index died after the rename, before it took the
// commit, is in doubt: the next open goes forward.
func TestCommitOnADeadIndexIsInDoubt(t *testing.T) {
	b := newBench(t, "one")
	commit := b.begin(b.large(1))
	// The directory's sync comes after the rename; the index dies meanwhile.
	_, err := b.faulty.Add(disk.Rule{Calls: []disk.Call{disk.CallSyncDir}, Path: "photos", Times: 1, Wait: func(disk.Operation) {
		if _, err := b.faulty.Add(disk.Rule{Calls: []disk.Call{disk.CallWrite}, Path: ".troupe/index/**", Err: syscall.EIO}); err != nil {
			t.Error(err)
		}
		other := b.key
		other.Name = "other"
		p := b.small(2)
		if _, err := b.store.PutInline(other, p.meta(), p.bytes, objects.Conditions{}, objects.Origin{}); err == nil {
			t.Error("the index does not die")
		}
		<-b.store.Dead()
	}})
	b.must(err)
	if err := commit(); !errors.Is(err, objects.ErrOutcomeUnknown) {
		t.Errorf("the commit failed with: %v", err)
	}
	if _, err := readObject(b.store, b.key); !errors.Is(err, objects.ErrOutcomeUnknown) {
		t.Errorf("a read of the key: %v", err)
	}
}

// The reclaimer looks at a name and then moves the file away: a payload that takes
// the name in between must not go.
func TestReclaimDoesNotTakeANewPayload(t *testing.T) {
	b := newBench(t, "one")
	b.must(b.begin(b.large(1))())
	// The delete's own rename fails: the name is left to the reclaimer.
	_, err := b.faulty.Add(disk.Rule{Calls: []disk.Call{disk.CallRename}, Path: "photos/one", Times: 1, Err: syscall.EIO})
	b.must(err)
	if _, _, err := b.store.Delete(b.key, objects.Conditions{}, objects.Origin{}); err != nil {
		t.Fatal(err)
	}
	commit, gate := b.begin(b.large(2)), disk.NewGate()
	_, err = b.faulty.Add(disk.Rule{Calls: []disk.Call{disk.CallRename}, Path: "photos/one", Times: 1, Wait: gate.Wait})
	b.must(err)
	reclaimed, committed := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := b.store.Reclaim(10)
		reclaimed <- err
	}()
	<-gate.Reached() // it has looked
	go func() { committed <- commit() }()
	// The commit waits for the reclaimer, or is done while that one holds still: it
	// is given the processor often enough for either.
	var commitErr error
	done := false
	for range 100_000 {
		select {
		case commitErr = <-committed:
			done = true
		default:
			runtime.Gosched()
		}
	}
	gate.Open()
	if !done {
		commitErr = <-committed
	}
	b.must(commitErr)
	b.must(<-reclaimed)
	if value, err := readObject(b.store, b.key); err != nil || value == nil || value.ETag != b.large(2).sums.ETag() {
		t.Errorf("the new payload is gone: %s, %v", value, err)
	}
}

// A write that failed between its rename and its commit keeps its key busy until
// its turn settles it: then the key is free without a restart, and holds that
// write, because its file has the name.
func TestFailedWriteIsSettledWithoutARestart(t *testing.T) {
	for _, c := range []struct {
		name string
		rule disk.Rule
	}{
		{"the directory cannot be synced", disk.Rule{Calls: []disk.Call{disk.CallSyncDir}, Path: "photos", Times: 1, Err: syscall.EIO}},
		{"the lane panics", disk.Rule{Calls: []disk.Call{disk.CallSyncDir}, Path: "photos", Times: 1, Panic: "on purpose"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, "one")
			old := b.large(1)
			b.must(b.begin(old)())
			_, err := b.faulty.Add(c.rule)
			b.must(err)
			late, under := b.large(2), b.begin(b.large(3)) // a transfer under way is none of Settle's
			commit := b.begin(late)
			func() {
				defer func() { _ = recover() }() // one of the two is a panic
				if err := commit(); !errors.Is(err, objects.ErrOutcomeUnknown) {
					t.Errorf("the write failed with: %v", err)
				}
			}()
			if err := b.putSmall(b.small(4)); !errors.Is(err, objects.ErrOutcomeUnknown) {
				t.Errorf("before it is settled, a write was answered: %v", err)
			}
			b.must(b.store.Settle(func(k objects.Key) bool { return k.Name != "one" }, nil))
			if keys, intents := b.store.Unsettled(); keys != 1 || intents != 1 {
				t.Errorf("another lane's turn settled it: %d keys, %d intents are left", keys, intents)
			}
			b.must(b.store.Settle(func(objects.Key) bool { return true }, nil))
			if keys, intents := b.store.Unsettled(); keys != 0 || intents != 0 {
				t.Errorf("%d keys, %d intents are left", keys, intents)
			}
			if got, err := readObject(b.store, b.key); err != nil || got == nil || got.ETag != late.sums.ETag() {
				t.Errorf("the key holds %v, %v; want the write whose file has the name", got, err)
			}
			b.must(under())
			if got := b.reopen(); got != b.large(3).sums.ETag() {
				t.Errorf("after a restart the key holds %q", got)
			}
		})
	}
}

// What a failed write could not undo is undone soon afterwards, and not only by the
// next start: its work file, its intent, and the link of what it did not replace.
func TestLeftoversOfAFailedWriteGo(t *testing.T) {
	b := newBench(t, "one")
	b.must(b.begin(b.large(1))())
	commit := b.begin(b.large(2))
	_, err := b.faulty.Add(disk.Rule{Calls: []disk.Call{disk.CallReceive}, Times: 1, Err: syscall.EIO})
	b.must(err)
	stuck, err := b.faulty.Add(disk.Rule{Calls: []disk.Call{disk.CallRemove}, Err: syscall.EIO})
	b.must(err)
	if err := commit(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if err := b.store.Settle(func(objects.Key) bool { return true }, nil); !errors.Is(err, syscall.EIO) {
		t.Errorf("settling on a disk that removes nothing: %v", err)
	}
	if len(list(b, ".troupe/work")) != 1 || len(list(b, ".troupe/trash")) != 1 {
		t.Error("the test has lost its cause: nothing was left over")
	}
	stuck.Remove()
	b.must(b.putSmall(b.small(3))) // the key was never busy
	b.must(b.store.Settle(func(objects.Key) bool { return true }, nil))
	b.must(drain(b.store))
	if err := leftovers(b.mem, b.store, []objects.Bucket{b.key.Bucket}); err != nil {
		t.Error(err)
	}
}

// A disk that said it had synced a payload, and had not, costs that payload and
// not the mountpath: it opens, the torn file is in quarantine with its reason, and
// the key holds what it held before the write, which nobody acknowledged.
func TestTornFileGoesToQuarantine(t *testing.T) {
	for _, replaced := range []bool{false, true} {
		b := newBench(t, "one")
		want := ""
		if replaced {
			old := b.large(1)
			b.must(b.begin(old)())
			want = old.sums.ETag()
		}
		torn := b.large(2)
		commit := b.begin(torn)
		renamed := false
		var left *disk.Mem
		b.mem.OnOperation(func(o disk.Operation) {
			renamed = renamed || o.Call == disk.CallSyncDir && o.Path == "photos"
			if renamed && left == nil && o.Call == disk.CallWrite && strings.HasPrefix(o.Path, ".troupe/index/") {
				left = b.mem.Crash(disk.CrashPolicy{SyncedOnly: true})
			}
		})
		if replaced { // the replaced file's link is not synced in this class: here it lasted by chance
			_, err := b.faulty.Add(disk.Rule{Calls: []disk.Call{disk.CallReceive}, Times: 1, Wait: func(disk.Operation) {
				b.must(b.mem.SyncDir(".troupe/trash"))
			}})
			b.must(err)
		}
		b.must(commit())
		b.mem.OnOperation(nil)
		file, err := left.OpenFile("photos/one", os.O_RDWR, 0)
		b.must(err)
		b.must(file.Truncate(17)) // what the disk had not written
		b.must(file.Sync())
		b.must(file.Close())

		var events []store.Event
		m := &machine{fs: left, shared: b.shared, inline: b.inline, start: b.start + 1, onEvent: func(e store.Event) { events = append(events, e) }}
		if err := m.open(); err != nil {
			t.Fatalf("replaced %t: the mountpath does not open: %v", replaced, err)
		}
		got, err := readObject(m.store, b.key)
		b.must(err)
		if replaced != (got != nil) || got != nil && got.ETag != want {
			t.Errorf("replaced %t: the key holds %v, want %q", replaced, got, want)
		}
		if len(events) != 1 || events[0].Kind != store.Damaged || events[0].Key.Name != "one" {
			t.Errorf("replaced %t: events %v", replaced, events)
		}
		var names []string
		b.must(left.ReadDir(".troupe/quarantine", func(e disk.Entry) bool { names = append(names, e.Name); return true }))
		if len(names) != 2 {
			t.Fatalf("replaced %t: in quarantine: %q", replaced, names)
		}
		slices.Sort(names)
		reason, err := store.ReadFile(left, ".troupe/quarantine/"+names[1])
		b.must(err)
		if names[1] != names[0]+".reason" || !strings.Contains(string(reason), "17 bytes") || !strings.Contains(string(reason), `"photos/one"`) {
			t.Errorf("replaced %t: %q says %s", replaced, names, reason)
		}
		b.must(m.store.Close())
	}
}

// A part that begins while its upload is being aborted leaves nothing: no file, no
// directory, no intent.
func TestPartOfAnAbortedUploadLeavesNothing(t *testing.T) {
	b := newBench(t, "one")
	const id = "0123456789abcdef0123456789abcdef"
	b.must(b.store.CreateUpload(b.key, objects.Upload{ID: id, Name: b.key.Name}))
	p := b.large(1)
	in, err := b.store.CreatePart(b.key, id, 1, -1)
	b.must(err)
	b.must(b.store.AbortUpload(b.key, id))
	b.must(drain(b.store)) // the upload's directory has gone
	b.must(in.Append(p.bytes))
	b.must(in.Seal(p.sums, p.sums.ETag())) // makes it again
	if len(list(b, ".troupe/parts")) != 1 {
		t.Error("the test has lost its cause: the part has no directory")
	}
	if _, err := b.store.CommitPart(in, p.sums, p.sums.ETag()); !errors.Is(err, objects.ErrNoSuchUpload) {
		t.Errorf("the part of an upload that has gone: %v", err)
	}
	if err := leftovers(b.mem, b.store, []objects.Bucket{b.key.Bucket}); err != nil {
		t.Error(err)
	}
}

// A payload whose removal panics costs the others nothing: they are reclaimed in the same
// run, and it is when the mountpath is opened again.
func TestReclaimPanics(t *testing.T) {
	b := newBench(t, "one")
	for seed := range uint64(4) {
		b.must(b.begin(b.large(seed))())
	}
	if n, _ := b.store.Reclaimable(); n != 3 {
		t.Fatalf("%d payloads are to be reclaimed", n)
	}
	_, err := b.faulty.Add(disk.Rule{Calls: []disk.Call{disk.CallRemove}, Path: ".troupe/trash/*", Times: 1, Panic: "on purpose"})
	b.must(err)
	finished, err := b.store.Reclaim(100)
	var panicked *store.PanicError
	if finished != 2 || !errors.As(err, &panicked) || panicked.Reason != "on purpose" || panicked.Does != messages.DeleteAccess {
		t.Errorf("%d payloads are reclaimed, %v", finished, err)
	}
	if n, err := b.store.Reclaim(100); n != 0 || err != nil {
		t.Errorf("it is tried again: %d, %v", n, err)
	}
	if n, bytes := b.store.Reclaimable(); n != 1 || bytes != int64(len(b.large(0).bytes)) {
		t.Errorf("%d payloads, %d bytes are left", n, bytes)
	}
	if got := b.reopen(); got != b.large(3).sums.ETag() { // which looks for leftovers
		t.Errorf("the key holds %q", got)
	}
}

// A listing that panics leaves nothing open: its mountpath can be closed, and opened again
// in the same process.
func TestListingThatPanicsLeavesNothingOpen(t *testing.T) {
	b := newBench(t, "one")
	b.must(b.putSmall(b.small(1)))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing panicked")
			}
		}()
		_, _ = b.store.List(store.ListRequest{Bucket: b.key.Bucket}) // of no entries, which nobody asks for
	}()
	if got := b.reopen(); got != b.small(1).sums.ETag() {
		t.Errorf("the key holds %q", got)
	}
}
