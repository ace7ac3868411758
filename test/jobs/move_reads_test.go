package jobs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/OneOfOne/xxhash"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/actors/xaction/mover"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// forgetful keeps no documents: these jobs do not outlive their node.
type forgetful struct{}

func (forgetful) PutJob(string, []byte) error { return nil }
func (forgetful) RemoveJob(string) error      { return nil }

// disks is the mountpaths of a node over crashable memory, with their actors and
// the jobs, and no edge.
type disks struct {
	t       *testing.T
	system  *actors.System
	slabs   *slab.Pool
	roster  atomic.Pointer[messages.Roster]
	buckets atomic.Pointer[messages.BucketSet]
	bucket  objects.Bucket
	mover   *mover.Mover
}

func newDisks(t *testing.T, mountpaths int) *disks {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	d := &disks{t: t, system: actors.NewSystem(logrus.NewEntry(log)), bucket: objects.Bucket{ID: objects.BucketID{5}, Provider: objects.ProviderAIS, Name: "photos"}}
	var err error
	d.slabs, err = slab.NewPool(256)
	must(err)
	shared := index.NewShared(4<<20, mountpaths)
	generations := objects.NewSequencer(1, 1)
	var mounts []mountpath.Mount
	for i := range mountpaths {
		id := fmt.Sprintf("mountpath-%d", i)
		mem := disk.NewMem(uint64(i + 1))
		must(store.Format(mem, layout.Format{
			Version: layout.FormatVersion, ClusterID: "c", NodeID: "n", MountpathID: id,
			IndexFormat: fmt.Sprintf("pebble %d", index.FormatVersion), Created: time.Unix(1, 0).UTC(),
		}))
		s, err := store.Open(store.Options{FS: mem, Shared: shared, Generations: generations, MemTableBytes: index.MinMemTableBytes, InlineLimit: 4 << 10})
		must(err)
		t.Cleanup(func() { must(s.Close()) })
		mounts = append(mounts, mountpath.Mount{ID: id, Path: id, Store: s})
	}
	d.buckets.Store(messages.NewBucketSet([]*messages.BucketView{{Doc: &objects.BucketDoc{Bucket: d.bucket, State: objects.BucketLive}}}))
	config := mover.Config{System: d.system, Slabs: d.slabs, Roster: &d.roster, Buckets: &d.buckets}
	d.mover = &mover.Mover{Config: config}
	pid, err := d.system.Spawn(d.system.Root(), mountpath.Spec(mountpath.Config{System: d.system, Published: &d.roster, Mounts: mounts}))
	must(err)
	must(d.system.Await(waitTime, mountpath.Name))
	for _, m := range d.roster.Load().Mountpaths {
		must(d.system.Await(waitTime, m.Coordinator.Id))
	}
	// The roster is the test's from now on: a mountpath that is called slow on a busy
	// machine must not have another one published.
	_, err = d.system.Control(pid.Id, messages.SuspendActor)
	must(err)
	spec, err := xaction.Spec(xaction.Config{System: d.system, Store: forgetful{}, Kinds: []xaction.Kind{mover.Kind(config)}})
	must(err)
	jobs, err := d.system.Spawn(d.system.Root(), spec)
	must(err)
	t.Cleanup(func() { // before the stores
		must(d.system.Stop(jobs))
		must(d.system.Stop(pid))
		d.system.Shutdown()
		must(d.slabs.Close())
	})
	return d
}

func (d *disks) key(i int) objects.Key { return objects.Key{Bucket: d.bucket, Name: fmt.Sprint(i)} }

// put writes a version of a key at a mountpath, acknowledged.
func (d *disks) put(key objects.Key, version uint64, at *messages.MountpathView) error {
	window, err := d.slabs.Lease(1)
	if err != nil {
		return err
	}
	defer window.Release()
	payload := window.Slab(0)[:1000]
	for i := 0; i < len(payload); i += 8 {
		binary.LittleEndian.PutUint64(payload[i:], version)
	}
	m := &messages.PutObject{Key: key, Window: window, Reply: messages.NewReply[objects.Receipt](), Meta: objects.Meta{
		Size: int64(len(payload)), XXHash: xxhash.Checksum64(payload), ETag: "x", Modified: time.Unix(int64(version), 0),
	}}
	d.system.Root().Send(at.Writer(key.Digest()), m)
	_, err = m.Reply.Wait("put", waitTime)
	return err
}

// read reads the version of a key at a mountpath.
func (d *disks) read(key objects.Key, at *messages.MountpathView) (uint64, error) {
	window, err := d.slabs.Lease(1)
	if err != nil {
		return 0, err
	}
	defer window.Release()
	m := &messages.OpenObject{Key: key, Window: window, Reply: messages.NewReply[*messages.ObjectOpened]()}
	d.system.Root().Send(at.Reader(key.Digest()), m)
	opened, err := m.Reply.Wait("read", waitTime)
	if messages.Overtaken(err) {
		m.Reply = messages.NewReply[*messages.ObjectOpened]()
		d.system.Root().Send(at.Writer(key.Digest()), m)
		opened, err = m.Reply.Wait("read", waitTime)
	}
	if err != nil {
		return 0, err
	}
	defer opened.Close()
	payload := window.Slab(0)[:opened.Inline]
	version := binary.LittleEndian.Uint64(payload)
	for i := 0; i < len(payload); i += 8 {
		if binary.LittleEndian.Uint64(payload[i:]) != version {
			return 0, errs.E("read", key, errs.Corrupt, errors.New("a torn object"))
		}
	}
	return version, nil
}

// readMoving reads a key that may be on its way: at the destination, then at the
// source, and, since it may have left between the two looks, at the destination.
func (d *disks) readMoving(key objects.Key, from, to *messages.MountpathView) (uint64, error) {
	version, err := d.read(key, to)
	for _, at := range []*messages.MountpathView{from, to} {
		if !errs.Is(errs.NotFound, err) {
			break
		}
		version, err = d.read(key, at)
	}
	return version, err
}

// leave is the roster while a mountpath leaves the set.
func leave(r *messages.Roster, id string) *messages.Roster {
	t := &messages.Transition{}
	for _, m := range r.Mountpaths {
		t.From = append(t.From, m.ID)
		if m.ID != id {
			t.To = append(t.To, m.ID)
		}
	}
	return messages.NewMovingRoster(r.Mountpaths, t)
}

// While objects move, every read finds them, with what was acknowledged last or
// something newer; who writes has the key moved first and writes at the
// destination, and that is what is there in the end.
func TestReadsAndWritesDuringAMove(t *testing.T) {
	const keys = 300
	d := newDisks(t, 3)
	view := d.roster.Load()
	target := messages.NewRoster(view.Mountpaths[:2])
	leaving := &view.Mountpaths[2]
	var moving []int
	acknowledged := make([]atomic.Uint64, keys)
	for i := range keys {
		owner := view.Owner(d.key(i).Digest())
		if err := d.put(d.key(i), 1, owner); err != nil {
			t.Fatal(err)
		}
		acknowledged[i].Store(1)
		if owner == leaving {
			moving = append(moving, i)
		}
	}
	d.roster.Store(leave(view, leaving.ID))
	if len(moving) < 50 {
		t.Fatalf("only %d of %d keys are to move", len(moving), keys)
	}

	var stop atomic.Bool
	var reads, writes atomic.Int64
	var work sync.WaitGroup
	for n := range 4 {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		work.Go(func() {
			for !stop.Load() {
				i := moving[random.IntN(len(moving))]
				key, least := d.key(i), acknowledged[i].Load()
				version, err := d.readMoving(key, leaving, target.Owner(key.Digest()))
				if err != nil || version < least {
					t.Errorf("read of %s: version %d, acknowledged %d: %v", key, version, least, err)
					return
				}
				reads.Add(1)
			}
		})
	}
	wait := func(pause time.Duration) error {
		<-time.After(pause)
		return nil
	}
	for n := range 2 {
		random := rand.New(rand.NewPCG(2, uint64(n)))
		work.Go(func() {
			for !stop.Load() {
				i := moving[random.IntN(len(moving)/4)*4+n] // half of the keys, each with one writer
				key := d.key(i)
				to := target.Owner(key.Digest())
				if _, err := d.mover.Object(t.Context(), key, leaving, to, wait); err != nil {
					t.Errorf("having %s moved: %v", key, err)
					return
				}
				version := acknowledged[i].Load() + 1
				if err := d.put(key, version, to); err != nil {
					t.Errorf("write of %s: %v", key, err)
					return
				}
				acknowledged[i].Store(version)
				writes.Add(1)
			}
		})
	}

	m := &messages.StartJob{
		Kind: mover.Name, Parameters: []byte(`{"placement": ["mountpath-0", "mountpath-1"]}`), Rate: messages.JobRate{Objects: 100},
		Reply: messages.NewReply[*messages.Job](),
	}
	d.system.Root().Send(d.system.PID(xaction.Name), m)
	job, err := m.Reply.Wait("test", waitTime)
	if err != nil {
		t.Fatal(err)
	}
	ended := &messages.WaitJob{ID: job.ID, Within: waitTime, Reply: messages.NewReply[*messages.Job]()}
	d.system.Root().Send(d.system.PID(xaction.Name), ended)
	job, err = ended.Reply.Wait("test", waitTime)
	stop.Store(true)
	work.Wait()
	if err != nil || job.State != messages.JobFinished || job.Progress.Errors != 0 {
		t.Fatalf("the move ended as %+v: %v", job, err)
	}
	for _, i := range moving {
		key := d.key(i)
		version, err := d.read(key, target.Owner(key.Digest()))
		if want := acknowledged[i].Load(); err != nil || version != want {
			t.Errorf("%s has version %d (%v) at the destination, acknowledged was %d", key, version, err, want)
		}
		if _, err := d.read(key, leaving); !errs.Is(errs.NotFound, err) {
			t.Errorf("%s is still at the source: %v", key, err)
		}
	}
	if reads.Load() < int64(len(moving)) || writes.Load() < 10 {
		t.Errorf("only %d reads and %d writes came in between", reads.Load(), writes.Load())
	}
	t.Logf("%d objects moved by the job, %d reads, %d writes", job.Progress.Objects, reads.Load(), writes.Load())
}

// A mountpath that takes nothing ends the move with the reason; what was moved
// stays moved, and the job can be taken up again.
func TestMoveToAMountpathThatIsAway(t *testing.T) {
	d := newDisks(t, 2)
	view := d.roster.Load()
	for i := range 50 {
		if err := d.put(d.key(i), 1, view.Owner(d.key(i).Digest())); err != nil {
			t.Fatal(err)
		}
	}
	mountpaths := append([]messages.MountpathView(nil), view.Mountpaths...)
	mountpaths[0].Offline = "disabled: for a test"
	d.roster.Store(leave(messages.NewRoster(mountpaths), "mountpath-1"))
	start := &messages.StartJob{Kind: mover.Name, Parameters: []byte(`{"from": ["mountpath-1"], "placement": ["mountpath-0"]}`), Reply: messages.NewReply[*messages.Job]()}
	d.system.Root().Send(d.system.PID(xaction.Name), start)
	job, err := start.Reply.Wait("test", waitTime)
	if err != nil {
		t.Fatal(err)
	}
	wait := func() *messages.Job {
		t.Helper()
		m := &messages.WaitJob{ID: job.ID, Within: waitTime, Reply: messages.NewReply[*messages.Job]()}
		d.system.Root().Send(d.system.PID(xaction.Name), m)
		ended, err := m.Reply.Wait("test", waitTime)
		if err != nil {
			t.Fatal(err)
		}
		return ended
	}
	if failed := wait(); failed.State != messages.JobFailed || failed.Progress.Objects != 0 {
		t.Fatalf("it ended as %+v", failed)
	}
	d.roster.Store(leave(view, "mountpath-1"))
	again := &messages.RestartJob{ID: job.ID, Reply: messages.NewReply[*messages.Job]()}
	d.system.Root().Send(d.system.PID(xaction.Name), again)
	if _, err := again.Reply.Wait("test", waitTime); err != nil {
		t.Fatal(err)
	}
	if finished := wait(); finished.State != messages.JobFinished || finished.Progress.Objects == 0 {
		t.Fatalf("taken up again it ended as %+v", finished)
	}
	for i := range 50 {
		if version, err := d.read(d.key(i), &view.Mountpaths[0]); err != nil || version != 1 {
			t.Errorf("%s: version %d: %v", d.key(i), version, err)
		}
	}
}
