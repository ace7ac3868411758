package mountpath

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// laneBench is a write lane in front of a store, the mount map beside it, and the map of a
// cluster in which this node and another one have every key.
type laneBench struct {
	*testing.T
	lane   *writeLane
	mounts *smap.Smap
	nodes  *messages.NodeSet
	roster atomic.Pointer[messages.Roster]
	key    objects.Key // held by the lane's mountpath
}

func newLaneBench(t *testing.T) *laneBench {
	t.Helper()
	b := &laneBench{T: t}
	shared := index.NewShared(8<<20, 1)
	t.Cleanup(shared.Close)
	fs := disk.NewMem(1)
	b.must(store.Format(fs, layout.Format{Version: layout.FormatVersion, ClusterID: "c", NodeID: "n", MountpathID: "a", IndexFormat: "pebble 24", Created: time.Unix(1, 0).UTC()}))
	s, err := store.Open(store.Options{
		FS: fs, Shared: shared, Generations: objects.NewSequencer(1, 1), MemTableBytes: index.MinMemTableBytes, Lifetime: new(store.Lifetime), Shares: true,
		BootID: "boot", Now: func() time.Time { return time.Unix(1000, 0) },
	})
	b.must(err)
	t.Cleanup(func() { b.must(s.Close()) })
	cluster, err := smap.New("cluster", smap.Node{ID: "n", Digest: 1}, smap.Node{ID: "m", Digest: 2})
	b.must(err)
	b.nodes = &messages.NodeSet{Self: "n", Map: cluster}
	lanes := new(messages.LaneMap)
	lanes.Store(b.nodes)
	b.lane = &writeLane{store: s, custody: newCustody(), lanes: 1, id: "a", roster: &b.roster, nodes: lanes}
	b.mounts, err = smap.New("mounts", smap.Node{ID: "a", Digest: smap.Digest(objects.DigestID("a"))}, smap.Node{ID: "b", Digest: smap.Digest(objects.DigestID("b"))})
	b.must(err)
	b.publish()
	b.key = objects.Key{Bucket: objects.Bucket{ID: objects.BucketID{1}, Name: "bucket"}, Name: "key"}
	for holder := ""; holder != "a"; {
		b.key.Name += "x"
		view, _ := b.roster.Load().Hold(1, b.key.Digest())
		holder = view.ID
	}
	return b
}

func (b *laneBench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// publish publishes a roster with the mount map as it is.
func (b *laneBench) publish() {
	roster := messages.NewRoster([]messages.MountpathView{{ID: "a"}, {ID: "b"}})
	roster.Serve(&messages.MountSet{Map: b.mounts})
	b.roster.Store(roster)
}

// become has the mount map say something else of a mountpath.
func (b *laneBench) become(id string, state smap.State) {
	b.Helper()
	node, _ := b.mounts.Node(smap.NodeID(id))
	next, err := b.mounts.Change().SetState(node.ID, node.Since, state).Done()
	b.must(err)
	b.mounts = next
	b.publish()
}

// fence admits a command of the key under the maps as they are.
func (b *laneBench) fence() messages.Fence {
	key := smap.Key{Digest: b.key.Digest(), Bucket: b.key.Bucket.ID, Owners: 2}
	f := messages.Fence{Set: b.nodes, Epoch: b.nodes.Map.View(key).Epoch, Key: key, Unsettled: true}
	return b.roster.Load().Fenced(f, b.nodes.Holders(key), key.Digest)
}

// A lane refuses what was admitted under another mount epoch of its key, whatever it is, and
// does nothing of it; once the command is admitted anew, it is done.
func TestALaneRefusesAnotherMountEpoch(t *testing.T) {
	b := newLaneBench(t)
	put := func(f messages.Fence) error {
		_, err := b.lane.onPutObject(&messages.PutObject{Key: b.key, Meta: objects.Meta{ETag: "e", Modified: time.Unix(5, 0)}, Fence: f})
		return err
	}
	commands := map[string]func(messages.Fence) error{
		"PutObject": put,
		"DeleteObject": func(f messages.Fence) error {
			_, err := b.lane.onDeleteObject(&messages.DeleteObject{Key: b.key, Fence: f})
			return err
		},
		"ChangeDraft": func(f messages.Fence) error {
			_, err := b.lane.onChangeDraft(&messages.ChangeDraft{Key: b.key, Fence: f})
			return err
		},
		"CreateUpload": func(f messages.Fence) error {
			return b.lane.onCreateUpload(&messages.CreateUpload{Key: b.key, Upload: objects.Upload{ID: "u", Name: b.key.Name}, Fence: f})
		},
		"CompleteUpload": func(f messages.Fence) error {
			_, err := b.lane.onCompleteUpload(&messages.CompleteUpload{Key: b.key, UploadID: "u", Fence: f})
			return err
		},
		"AbortUpload": func(f messages.Fence) error {
			return b.lane.onAbortUpload(&messages.AbortUpload{Key: b.key, UploadID: "u", Fence: f})
		},
		"StoreRecord": func(f messages.Fence) error {
			record := &objects.Meta{ETag: "other", Generation: objects.Generation{Map: 9, Start: 1, Seq: 1}}
			_, err := b.lane.onStoreRecord(&messages.StoreRecord{Key: b.key, Record: record, Fence: f})
			return err
		},
		"DropRecord": func(f messages.Fence) error {
			return b.lane.onDropRecord(&messages.DropRecord{Key: b.key, Fence: f})
		},
		"KeepUpload": func(f messages.Fence) error {
			_, err := b.lane.onKeepUpload(&messages.KeepUpload{Key: b.key, Upload: objects.Upload{ID: "v", Name: b.key.Name}, Writes: b.lane.custody.writes.of(b.key), Fence: f})
			return err
		},
		"RenewRecord": func(f messages.Fence) error {
			_, err := b.lane.onRenewRecord(&messages.RenewRecord{Key: b.key, Fence: f})
			return err
		},
	}
	b.must(put(b.fence()))
	before, err := b.lane.store.HeadMarked(b.key)
	b.must(err)

	older := b.fence()
	b.become("b", smap.Down)
	b.must(b.lane.refuses("test", b.key, &older)) // the state of another mountpath is not of the key's epoch
	b.become("a", smap.Down)
	b.become("a", smap.Recovering)
	for name, do := range commands {
		var differs *messages.MountsDiffer
		if err := do(older); !errors.As(err, &differs) || !errors.Is(err, messages.ErrMoved) || !errs.Is(errs.Busy, err) {
			t.Errorf("%s under an older mount epoch: %v", name, err)
		}
	}
	after, err := b.lane.store.HeadMarked(b.key)
	if err != nil || after.Generation != before.Generation {
		t.Errorf("something was done: the record was of %v and is of %v, %v", before.Generation, after, err)
	}
	if page, err := b.lane.store.Uploads(b.key.Bucket, "", "", "", 10); err != nil || len(page.Uploads) > 0 {
		t.Errorf("something was done: uploads %+v, %v", page, err)
	}
	b.must(put(b.fence()))
	if after, err = b.lane.store.HeadMarked(b.key); err != nil || after.Generation.Compare(before.Generation) <= 0 {
		t.Errorf("admitted anew, it was not done: %v, %v", after, err)
	}

	// Without protection the mount map says nothing of the key.
	alone := b.fence()
	alone.Holders, alone.Mounts, alone.Mount = 0, nil, smap.Epoch{}
	b.become("a", smap.Up)
	b.must(b.lane.refuses("test", b.key, &alone))
	unfenced := b.lane.unfenced(smap.Key{Digest: b.key.Digest(), Bucket: b.key.Bucket.ID, Owners: 2})
	b.must(b.lane.refuses("test", b.key, unfenced))
	if unfenced.Mounts == nil {
		t.Error("what nobody admitted is not judged by the mount map")
	}
}
