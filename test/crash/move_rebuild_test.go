package crash

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/offline"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// The power goes in the middle of a move, and then indexes are rebuilt, with what the
// old ones yield: every object and every part is whole on one of the two mountpaths,
// and moving again ends the move. What was on its way to the destination has an intent
// there, which opening it settles: a rebuild that takes its files for an object or an
// upload names what opening removes, and the source goes because the destination says
// that it has everything.
func TestPowerCutsWhileMovingThenRebuild(t *testing.T) {
	seeds, sparse := uint64(2), 5
	if testing.Short() || raceDetector {
		seeds, sparse = 1, 9
	}
	ways := []struct {
		name  string
		sides []int
	}{
		{"the destination", []int{destination}},
		{"the source", []int{source}},
		{"both", []int{source, destination}},
	}
	total := 0
	for seed := uint64(1); seed <= seeds; seed++ {
		number := 0
		states, err := cutMoves(t, seed, sparse, nil, func(c *moveCut, documents offline.Buckets) error {
			way := ways[number%len(ways)]
			number++
			c.where += ", then a rebuild of " + way.name
			for side, mem := range c.left {
				checked, err := examine(mem, documents)
				if err != nil || checked.Faults+checked.Orphans > 0 {
					return errors.Join(fmt.Errorf("check of mountpath %d: %+v", side, checked), err)
				}
			}
			for _, side := range way.sides {
				result, err := rebuild(c.left[side], documents, offline.RebuildOptions{Verify: true})
				if err != nil || result.Old != offline.OldWhole {
					return errors.Join(fmt.Errorf("rebuild of mountpath %d: %+v", side, result), err)
				}
				removeTree(t, c.left[side], result.MovedTo) // as its operator does
			}
			return nil
		})
		total += states
		if err != nil {
			t.Fatal(err)
		}
	}
	if total < 50 {
		t.Errorf("only %d states were looked at", total)
	}
	t.Logf("%d states", total)
}

// documents are what the node knows of the bucket.
func (p *pair) documents() offline.Buckets {
	return offline.Buckets{p.bucket.ID: &objects.BucketDoc{Bucket: p.bucket, State: objects.BucketLive}}
}

// examine checks a mountpath as it was left.
func examine(fs disk.FS, documents offline.Buckets) (_ *offline.Checked, err error) {
	m, err := offline.OpenMount(fs, "mountpath", false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return offline.Check(m, offline.CheckOptions{Buckets: documents, Verify: true})
}

// lost makes what a power cut and the loss of its index leave of the destination, with
// an index rebuilt from its files alone, and opens both mountpaths again.
func (p *pair) lost(t *testing.T, mems [2]*disk.Mem) *offline.Rebuilt {
	t.Helper()
	left := mems[destination].Crash(disk.CrashPolicy{SyncedOnly: true})
	removeTree(t, left, layout.IndexDir)
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	result, err := rebuild(left, p.documents(), offline.RebuildOptions{Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	p.fs[destination] = left
	if err := p.open(); err != nil {
		t.Fatal(err)
	}
	return result
}

// uploadsAt are the ids of the uploads under way on a mountpath.
func (p *pair) uploadsAt(t *testing.T, side int) (ids []string) {
	t.Helper()
	page, err := p.stores[side].Uploads(p.bucket, "", "", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range page.Uploads {
		ids = append(ids, u.ID)
	}
	return ids
}

// What came of an object in parts to a mountpath that then lost its index is not taken
// for an upload under way, which somebody could abort when the object has come with
// files of the same names; what came of an upload under way is one.
func TestRebuildFromFilesOfWhatWasOnItsWay(t *testing.T) {
	p, mems := newPair(t)
	defer p.close()
	const id = "0123456789abcdef0123456789abcdef"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := p.put(source, "chunks", "chunks", 1, objects.Synced)
	must(err)
	must(p.upload(source, "upload", id, 2, new([]messages.CompletePart)))
	want := make(map[string]held)
	for _, name := range []string{"chunks", "upload"} {
		h, err := p.look(source, name)
		must(err)
		want[name] = h
	}
	i, _, err := p.copy(source, destination, "chunks")
	must(err)
	opened, err := p.stores[source].ExportUpload(p.key("upload"), id, 0)
	must(err)
	u, err := p.stores[destination].CopyUpload(p.key("upload"), opened, room())
	must(err)
	result := p.lost(t, mems)
	_, _ = i, u // they were on their way when the power went
	if ids := p.uploadsAt(t, destination); !slices.Equal(ids, []string{id}) || result.Uploads != 1 || result.Findings != 1 {
		t.Fatalf("rebuilt from files, the destination has the uploads %q under way, want that which was moved: %+v", ids, result)
	}
	for name, h := range want {
		must(p.move(source, destination, name))
		must(p.check(name, h))
	}
}

// An upload that is under way at the destination of the object that it became ends when
// the object comes, and takes nothing with it; one that is under way at the source of
// an object that was completed at the destination is not moved there.
func TestMoveMeetsTheUploadOfItsObject(t *testing.T) {
	p, _ := newPair(t)
	defer p.close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := p.put(source, "chunks", "chunks", 1, objects.Synced)
	must(err)
	want, err := p.look(source, "chunks")
	must(err)
	id := fmt.Sprintf("%032x", 1)
	begin := func(side int) {
		t.Helper()
		must(p.stores[side].CreateUpload(p.key("chunks"), objects.Upload{ID: id, Name: "chunks"}))
	}
	whole := func(side int, when string) {
		t.Helper()
		must(drain(p.stores[side]))
		if got, err := p.look(side, "chunks"); err != nil || !got.value.Equal(want.value) || len(got.parts) > 0 {
			t.Fatalf("%s the object is %s (%v) beside %d uploads, want %s", when, got.value, err, len(got.parts), want.value)
		}
	}

	begin(source) // beside its own object
	must(p.close())
	checked, err := examine(p.fs[source], p.documents())
	must(err)
	if checked.Faults != 1 {
		t.Errorf("an upload under way beside its object: %+v", checked)
	}
	must(p.open())
	must(p.stores[source].AbortUpload(p.key("chunks"), id))
	whole(source, "after its upload was aborted beside it")

	begin(destination)
	i, meta, err := p.copy(source, destination, "chunks")
	must(err)
	_, err = p.stores[destination].CommitImport(i, objects.Origin{})
	must(err)
	must(p.stores[source].RemoveMoved(p.key("chunks"), meta.Generation, objects.MutationLeft, objects.Origin{}))
	must(drain(p.stores[source]))
	whole(destination, "after it met its upload")

	must(p.upload(source, "chunks", id, 1, new([]messages.CompletePart)))
	must(p.moveUpload(source, destination, "chunks", id))
	whole(destination, "after its upload was moved to it")
	if ids := p.uploadsAt(t, source); len(ids) > 0 {
		t.Errorf("the source still has the uploads %q", ids)
	}
}

// A damaged index may have lost entries of parts and of objects, and that what its
// intents speak of arrived, or that what its reclaim entries speak of went, before the
// payload came back: a rebuild loses nothing whose files are whole where they belong,
// neither then nor when the mountpath is opened and reclaims.
func TestRebuildAroundDamageKeepsWhatIsWhole(t *testing.T) {
	p, mems := newPair(t)
	defer p.close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const id = "0123456789abcdef0123456789abcdef"
	names := []string{"arrived", "returned", "returned file", "upload"}
	for n, kind := range []string{"chunks", "chunks", "file"} {
		_, err := p.put(source, names[n], kind, uint64(n+1), objects.Synced)
		must(err)
	}
	must(p.upload(source, "upload", id, 9, new([]messages.CompletePart)))
	want := make(map[string]held)
	for _, name := range names {
		must(p.move(source, destination, name))
		must(drain(p.stores[source]))
		h, err := p.look(destination, name)
		must(err)
		want[name] = h
	}

	s, bucket := p.stores[destination], p.bucket.ID
	batch := s.Index().NewBatch()
	intend := func(name, id string, kind layout.IntentKind, parts []objects.Part) {
		for _, part := range parts {
			intent := &layout.Intent{Kind: kind, Key: p.key(name), Payload: part.Payload, UploadID: id, Part: part.Number}
			batch.Set(layout.IntentKey(nil, bucket, name, part.Payload), layout.AppendIntent(nil, intent))
		}
	}
	reclaim := func(r layout.Reclaim) {
		r.Bucket = bucket
		batch.Set(layout.ReclaimKey(nil, bucket, r.Name, r.Payload), layout.AppendReclaim(nil, &r))
	}
	opened, err := s.Open(p.key("arrived"), nil)
	must(err)
	intend("arrived", opened.Meta.Path, layout.IntentImportPart, opened.Parts.Parts)
	opened.Close()
	page, err := s.Parts(p.key("upload"), id, 0, 10)
	must(err)
	intend("upload", id, layout.IntentPart, page.Parts)
	meta, err := s.Head(p.key("returned"))
	must(err)
	reclaim(layout.Reclaim{Kind: layout.ReclaimUpload, Name: "returned", Payload: meta.Payload, UploadID: meta.Path})
	meta, err = s.Head(p.key("returned file"))
	must(err)
	reclaim(layout.Reclaim{Kind: layout.ReclaimFile, Name: "returned file", Payload: meta.Payload, Path: "photos/returned file"})
	batch.Set(layout.PartKey(nil, bucket, "upload", id, 2), []byte("damaged"))
	batch.Set(layout.ObjectKey(nil, bucket, "arrived"), []byte("damaged"))
	must(s.Index().Commit(batch))
	must(p.close())
	result, err := rebuild(mems[destination], p.documents(), offline.RebuildOptions{Verify: true})
	must(err)
	if result.Old != offline.OldDamaged {
		t.Fatalf("the damage was not noticed: %+v", result)
	}
	must(p.open())
	must(drain(p.stores[destination]))
	for name, h := range want {
		must(p.check(name, h))
	}
	if _, intents := p.stores[destination].Unsettled(); intents > 0 {
		t.Errorf("%d intents are not settled", intents)
	}
}

// A destination whose copy has lost a file is not taken at its word: the source stays.
func TestMoveKeepsTheSourceOfACopyWithoutFiles(t *testing.T) {
	for _, kind := range []string{"file", "chunks"} {
		p, mems := newPair(t)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
		}
		_, err := p.put(source, kind, kind, 1, objects.Synced)
		must(err)
		want, err := p.look(source, kind)
		must(err)
		i, meta, err := p.copy(source, destination, kind)
		must(err)
		_, err = p.stores[destination].CommitImport(i, objects.Origin{})
		must(err)
		must(p.stores[destination].Index().Flush())
		path := "photos/" + kind
		if kind == "chunks" {
			opened, err := p.stores[destination].Open(p.key(kind), nil)
			must(err)
			path = layout.PartPath(meta.Path, 2, opened.Parts.Parts[1].Payload)
			opened.Close()
		}
		must(mems[destination].Remove(path))
		if err := p.move(source, destination, kind); !errs.Is(errs.Corrupt, err) {
			t.Errorf("%s: %v, want corrupt", kind, err)
		}
		if got, err := p.look(source, kind); err != nil || !got.value.Equal(want.value) {
			t.Errorf("%s: the source has %s (%v), want %s", kind, got.value, err, want.value)
		}
		must(p.close())
	}
}
