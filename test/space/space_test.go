// Package space_test fills the disks of real nodes, by bytes and by inodes, on
// tmpfs and on ext4, and turns one read-only: reads go on, writes are refused in
// clear words, deletes work while the index has room for them, the space comes
// back, nothing is left behind, and the node lives.
package space_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
	"github.com/troupe-storage/troupe/test/volume"
)

const bucket = "space"

// backWithin is where the wait for space becomes a fault. What is promised (10 s)
// is reported; a busy machine fails nothing.
const backWithin = 40 * time.Second

// looksEvery is longer than a node goes between two looks at its disk.
const looksEvery = 300 * time.Millisecond

// TestMain builds the binary once.
func TestMain(m *testing.M) { process.Main(m) }

// tenant is one node on one volume, and perhaps directories beside it, and what was acknowledged of it.
type tenant struct {
	*testing.T
	volume *volume.Volume
	node   *process.Node
	client *s3client.Client

	mu     sync.Mutex
	stored map[string][]byte
}

func newTenant(t *testing.T, config volume.Config, beside ...string) *tenant {
	t.Helper()
	if err := volume.Check(config.Kind); err != nil {
		process.Missing(t, "%v", err)
	}
	config.Dir = t.TempDir()
	v, err := volume.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	node := process.ForTest(t, process.Config{
		Data: append([]string{filepath.Join(v.Path, "d")}, beside...), Args: []string{"--memory", "64MiB", "--min-part", "1"},
	})
	return &tenant{T: t, volume: v, node: node, client: process.ClientForTest(t, node, bucket), stored: make(map[string][]byte)}
}

// do sends a request; no answer at all is a fault wherever this is used.
func (t *tenant) do(what string, answer *s3client.Answer, err error) *s3client.Answer {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: no answer: %v", what, err)
	}
	return answer
}

// put puts an object and remembers it if it was acknowledged.
func (t *tenant) put(key string, body []byte) *s3client.Answer {
	t.Helper()
	answer, err := t.client.Put(t.Context(), bucket, key, body)
	t.do("put of "+key, answer, err)
	if answer.OK() {
		t.mu.Lock()
		t.stored[key] = body
		t.mu.Unlock()
	}
	return answer
}

// delete deletes an object, which must work.
func (t *tenant) delete(key string) {
	t.Helper()
	answer, err := t.client.Delete(t.Context(), bucket, key)
	if t.do("delete of "+key, answer, err); answer.Status != 204 {
		t.Fatalf("delete of %s: %v", key, answer.Err())
	}
	t.mu.Lock()
	delete(t.stored, key)
	t.mu.Unlock()
}

// wantRefused fails unless the answer is a refusal with one of the codes.
func (t *tenant) wantRefused(what string, answer *s3client.Answer, status int, code string) {
	t.Helper()
	if answer.Status != status || answer.Code != code {
		t.Errorf("%s: %d %s, want %d %s: %.300s", what, answer.Status, answer.Code, status, code, answer.Body)
	}
}

// readAll reads and lists all that was acknowledged.
func (t *tenant) readAll(when string) {
	t.Helper()
	listed, err := t.client.List(t.Context(), bucket, "", 1000)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if len(listed) != len(t.stored) {
		t.Errorf("%s: %d objects are listed, %d were acknowledged", when, len(listed), len(t.stored))
	}
	t.getAll(when)
}

// getAll reads all that was acknowledged.
func (t *tenant) getAll(when string) {
	t.Helper()
	for key, body := range t.stored {
		answer, err := t.client.Get(t.Context(), bucket, key)
		if t.do("get of "+key, answer, err); !answer.OK() || !bytes.Equal(answer.Body, body) {
			t.Fatalf("%s: get of %s: %v, %d bytes, want %d", when, key, answer.Err(), len(answer.Body), len(body))
		}
	}
}

// fill puts objects, from four sides, until each side was refused for want of
// room three times in a row; it returns the keys that were stored.
func (t *tenant) fill(size int) (keys []string) {
	t.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex
	for side := range 4 {
		group.Go(func() {
			body := bytes.Repeat([]byte{byte('a' + side)}, size)
			for i, refused := 0, 0; refused < 3; i++ {
				key := fmt.Sprintf("fill/%d/%06d", side, i)
				answer, err := t.client.Put(t.Context(), bucket, key, body)
				switch {
				case err != nil:
					t.Errorf("put of %s: no answer: %v", key, err)
					return
				case answer.OK():
					mu.Lock()
					t.stored[key] = body
					keys = append(keys, key)
					mu.Unlock()
					refused = 0
				case answer.Status == 507 && answer.Code == "InsufficientStorage":
					refused++
					<-time.After(looksEvery) // what it thinks of the disk is that old
				case answer.Status == 503: // busy: the index compacts
				default:
					t.Errorf("put of %s: %v", key, answer.Err())
					return
				}
			}
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return keys
}

// awaitRoom puts small and large objects until both are stored, and reports how
// long that took.
func (t *tenant) awaitRoom(since time.Time, what string) {
	t.Helper()
	probe := time.NewTicker(50 * time.Millisecond)
	defer probe.Stop()
	for {
		small := t.put("room/small", []byte("small"))
		if small.OK() && t.put("room/large", make([]byte, 100<<10)).OK() {
			t.Logf("%s: writes work again after %s", what, time.Since(since).Round(10*time.Millisecond))
			t.delete("room/small")
			t.delete("room/large")
			return
		}
		if time.Since(since) > backWithin {
			t.Fatalf("%s: there is no room yet after %s: %v", what, backWithin, small.Err())
		}
		<-probe.C
	}
}

// refusedOne writes all that is stored once more, and returns a key that is refused:
// some must be, as of a mountpath that takes no writes, and some must not.
func (t *tenant) refusedOne() (refused string) {
	t.Helper()
	written := 0
	for key, body := range t.stored {
		switch answer := t.put(key, body); {
		case answer.OK():
			written++
		case answer.Status == 503 && strings.Contains(string(answer.Body), "takes no writes"):
			refused = key
		default:
			t.Errorf("put of %s: %d: %.300s", key, answer.Status, answer.Body)
		}
	}
	if refused == "" || written == 0 {
		t.Fatalf("%q was refused, and %d writes were not", refused, written)
	}
	return refused
}

// awaitWrites puts an object that is stored until that works, and reports how long it
// took.
func (t *tenant) awaitWrites(key, what string) {
	t.Helper()
	since := time.Now()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for answer := t.put(key, t.stored[key]); !answer.OK(); answer = t.put(key, t.stored[key]) {
		if time.Since(since) > backWithin {
			t.Fatalf("%s: %s is refused yet after %s: %v", what, key, backWithin, answer.Err())
		}
		<-look.C
	}
	t.Logf("%s: writes work again after %s", what, time.Since(since).Round(10*time.Millisecond))
}

// tip takes the little room that a write smaller than those that filled the disk
// would still find, so that the node calls itself full.
func (t *tenant) tip() {
	t.Helper()
	const files, size = 6, 256 << 10
	for i := range files {
		if err := os.WriteFile(filepath.Join(t.volume.Path, fmt.Sprint("tip", i)), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Full, and not exhausted: the node has kept room for deletes by itself.
	err := t.node.Await(t.Context(), "the mountpath is full", func(m process.Metrics) bool { return m.Sum("troupe_mountpath_fullness") == 1 })
	if err != nil {
		t.Fatal(err)
	}
}

// writesAreRefused tries every kind of write on a full node.
func (t *tenant) writesAreRefused(uploadID string) {
	t.Helper()
	const status, code = 507, "InsufficientStorage"
	ctx := t.Context()
	t.wantRefused("a small put", t.put("small", []byte("x")), status, code)
	t.wantRefused("a large put", t.put("large", make([]byte, 100<<10)), status, code)
	t.wantRefused("an overwrite", t.put("keep/1", []byte("other")), status, code)
	answer, err := t.client.Copy(ctx, bucket, "keep/1", "copied")
	t.wantRefused("a copy", t.do("copy", answer, err), status, code)
	_, answer, err = t.client.CreateUpload(ctx, bucket, "upload")
	t.wantRefused("the creation of an upload", t.do("upload", answer, err), status, code)
	answer, err = t.client.PutPart(ctx, bucket, "begun", uploadID, 2, make([]byte, 64<<10))
	t.wantRefused("a part", t.do("part", answer, err), status, code)
}

// A node on a full disk serves every read, refuses every write in clear words,
// deletes, and writes again soon after; nothing is left of what was refused.
func TestFullDisk(t *testing.T) {
	for _, c := range []struct {
		name  string
		disk  volume.Config
		bytes int // of an object that fills
	}{
		{"tmpfs of few bytes", volume.Config{Kind: volume.Tmpfs, Bytes: 256 << 20}, 1 << 20},
		{"tmpfs of few inodes", volume.Config{Kind: volume.Tmpfs, Bytes: 1 << 30, Files: 1500}, 33 << 10},
		{"ext4 of few bytes", volume.Config{Kind: volume.Ext4, Bytes: 256 << 20}, 1 << 20},
		{"ext4 of few inodes", volume.Config{Kind: volume.Ext4, Bytes: 256 << 20, Files: 1024}, 33 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			tenant := newTenant(t, c.disk)
			for i := range 20 {
				tenant.put(fmt.Sprintf("keep/%d", i), bytes.Repeat([]byte{byte(i)}, 1+i*5000))
			}
			uploadID, answer, err := tenant.client.CreateUpload(t.Context(), bucket, "begun")
			if tenant.do("upload", answer, err); !answer.OK() {
				t.Fatal(answer.Err())
			}
			keys := tenant.fill(c.bytes)
			tenant.tip()
			tenant.writesAreRefused(uploadID)
			tenant.readAll("on a full disk")

			for _, key := range keys[:len(keys)/2] {
				tenant.delete(key)
			}
			tenant.awaitRoom(time.Now(), fmt.Sprintf("%d objects of %d bytes filled it, half were deleted", len(keys), c.bytes))
			answer, err = tenant.client.Abort(t.Context(), bucket, "begun", uploadID)
			if tenant.do("abort", answer, err); !answer.OK() {
				t.Error(answer.Err())
			}
			tenant.readAll("with room again")
			tenant.nothingIsLeft()
		})
	}
}

// nothingIsLeft deletes everything and looks for files that nobody deleted.
func (t *tenant) nothingIsLeft() {
	t.Helper()
	for key := range t.stored {
		t.delete(key)
	}
	err := t.node.Await(t.Context(), "nothing left to reclaim", func(m process.Metrics) bool { return m.Sum("troupe_reclaimable_payloads") == 0 })
	if err != nil {
		t.Fatal(err)
	}
	files, err := t.node.Files(process.PayloadFiles)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) > 0 {
		t.Errorf("everything is deleted, and there are still %d files: %q", len(files), files[:min(len(files), 10)])
	}
	if err := t.node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// Somebody else who fills the disk to its last byte takes away even what the
// index keeps for itself: reads go on, the node lives, and when he goes it works
// again by itself.
func TestSomebodyElseFillsTheDisk(t *testing.T) {
	for _, kind := range []volume.Kind{volume.Tmpfs, volume.Ext4} {
		t.Run(string(kind), func(t *testing.T) {
			tenant := newTenant(t, volume.Config{Kind: kind, Bytes: 256 << 20})
			for i := range 20 {
				tenant.put(fmt.Sprintf("keep/%d", i), bytes.Repeat([]byte{byte(i)}, 1+i*5000))
			}
			other := filepath.Join(tenant.volume.Path, "other")
			takeAll(t, tenant.volume, other)
			tenant.readAll("filled by somebody else")
			// The node has not looked yet: the index may have room left, or not.
			if answer := tenant.put("early", []byte("x")); !answer.OK() && (answer.Status < 500 || answer.Code == "") {
				t.Errorf("a put: %d %s", answer.Status, answer.Code)
			}
			err := tenant.node.Await(t.Context(), "the mountpath is exhausted", func(m process.Metrics) bool { return m.Sum("troupe_mountpath_fullness") == 2 })
			if err != nil {
				t.Fatal(err)
			}
			tenant.wantRefused("a small put", tenant.put("small", []byte("x")), 507, "InsufficientStorage")
			answer, err := tenant.client.Delete(t.Context(), bucket, "keep/1")
			tenant.wantRefused("a delete", tenant.do("delete", answer, err), 507, "InsufficientStorage")
			tenant.readAll("exhausted")
			if err := os.Remove(other); err != nil {
				t.Fatal(err)
			}
			tenant.awaitRoom(time.Now(), "somebody else left")
			tenant.readAll("with room again")
			tenant.nothingIsLeft()
		})
	}
}

// takeAll makes a file of all the room that a volume has.
func takeAll(t *testing.T, v *volume.Volume, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	at := int64(0)
	for size := int64(64 << 20); size >= 4<<10; {
		if err := unix.Fallocate(int(file.Fd()), 0, at, size); err != nil {
			size /= 2
			continue
		}
		at += size
	}
	if free, _, err := v.Free(); err != nil || free > 64<<10 {
		t.Fatalf("%d bytes are still free, %v", free, err)
	}
}

// A disk that turns read-only in service serves reads and listings; writes and
// deletes answer 503, and after a repair and a start everything is there.
func TestReadOnlyDisk(t *testing.T) {
	tenant := newTenant(t, volume.Config{Kind: volume.Ext4, Bytes: 256 << 20})
	for i := range 20 {
		tenant.put(fmt.Sprintf("keep/%d", i), bytes.Repeat([]byte{byte(i)}, 1+i*5000))
	}
	uploadID, answer, err := tenant.client.CreateUpload(t.Context(), bucket, "begun")
	if tenant.do("upload", answer, err); !answer.OK() {
		t.Fatal(answer.Err())
	}
	if err := tenant.volume.Fail(); err != nil {
		t.Fatal(err)
	}
	want503 := func(what string, answer *s3client.Answer) {
		t.Helper()
		if answer.Status != 503 || answer.Code == "" {
			t.Errorf("%s: %d %s, want 503: %.300s", what, answer.Status, answer.Code, answer.Body)
		}
	}
	for round := range 3 { // the first find it out, the others must know
		want503(fmt.Sprintf("small put, round %d", round), tenant.put("small", []byte("x")))
		want503(fmt.Sprintf("large put, round %d", round), tenant.put("large", make([]byte, 200<<10)))
		for _, key := range []string{"keep/1", "keep/10"} {
			answer, err = tenant.client.Delete(t.Context(), bucket, key)
			want503(fmt.Sprintf("delete of %s, round %d", key, round), tenant.do("delete", answer, err))
		}
		answer, err = tenant.client.PutPart(t.Context(), bucket, "begun", uploadID, 1, make([]byte, 64<<10))
		want503(fmt.Sprintf("part, round %d", round), tenant.do("part", answer, err))
		tenant.getAll(fmt.Sprintf("read-only, round %d", round))
		// A listing waits for keys whose outcome is not known; the put that found
		// the disk out is one.
		answer, err = tenant.client.Do(t.Context(), s3client.Request{Method: "GET", Bucket: bucket, Query: "list-type=2"})
		if answer = tenant.do("list", answer, err); !answer.OK() {
			want503(fmt.Sprintf("list, round %d", round), answer)
		}
	}
	if !tenant.node.Running() {
		t.Fatal("the node ended")
	}
	if err := tenant.node.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := tenant.volume.Mend(); err != nil {
		t.Fatal(err)
	}
	if err := tenant.node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A delete that was answered 503 may have happened, or not; a put likewise.
	tenant.awaitRoom(time.Now(), "the disk was mended")
	listed, err := tenant.client.List(t.Context(), bucket, "keep/", 1000)
	if err != nil || len(listed) < len(tenant.stored)-2 {
		t.Errorf("%d objects are listed, %d were acknowledged: %v", len(listed), len(tenant.stored), err)
	}
	if err := tenant.node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// killedTenant is a tenant of an ext4 with objects small and large, whose node was
// killed.
func killedTenant(t *testing.T) *tenant {
	t.Helper()
	tenant := newTenant(t, volume.Config{Kind: volume.Ext4, Bytes: 256 << 20}, t.TempDir())
	for i := range 40 {
		if answer := tenant.put(fmt.Sprintf("keep/%d", i), bytes.Repeat([]byte{byte(i)}, 1+i*5000)); !answer.OK() {
			t.Fatal(answer.Err())
		}
	}
	must(t, tenant.node.Kill())
	return tenant
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A filesystem that is mounted read-only when the node starts, after a kill, is read
// and listed: what its index has in its log, too. Writes of its keys are refused with
// the reason, those of others are not, and once it takes writes so do all keys, with
// nobody's help.
func TestReadOnlyAtTheStart(t *testing.T) {
	tenant := killedTenant(t)
	must(t, tenant.volume.TakeNoWrites())
	must(t, tenant.node.Restart(t.Context()))
	tenant.readAll("read-only")
	refused := tenant.refusedOne()
	tenant.readAll("after writes were refused")
	must(t, tenant.volume.TakeWrites())
	tenant.awaitWrites(refused, "the filesystem takes writes again")
	tenant.readAll("writable")
	for key := range maps.Clone(tenant.stored) {
		tenant.delete(key)
	}
	must(t, tenant.node.Stop(t.Context()))
}

// A disk that is full to the last block when the node starts, after a kill, is read and
// listed, and costs the keys of no other; it takes writes with room again, by itself.
func TestFullAtTheStart(t *testing.T) {
	tenant := killedTenant(t)
	takeAll(t, tenant.volume, filepath.Join(tenant.volume.Path, "ballast"))
	must(t, tenant.node.Restart(t.Context()))
	tenant.readAll("full")
	refused := tenant.refusedOne()
	tenant.readAll("after writes were refused")
	must(t, os.Remove(filepath.Join(tenant.volume.Path, "ballast")))
	tenant.awaitWrites(refused, "somebody else has left")
	tenant.readAll("with room again")
	for key := range maps.Clone(tenant.stored) {
		tenant.delete(key)
	}
	must(t, tenant.node.Stop(t.Context()))
}
