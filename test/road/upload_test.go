package road

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/s3client"
)

// upload is an upload of the key of a pair, and what was sent of it.
type upload struct {
	*pair
	id     string
	parts  []s3client.Part
	bodies map[int][]byte
}

// partSizes are of parts that go in one piece between nodes, and of one that does not.
var partSizes = []int{20 << 10, 300 << 10, 5}

func (p *pair) upload(at *member) *upload {
	p.t.Helper()
	id, answer, err := at.s3.CreateUpload(p.ctx, p.doc.Name, p.name)
	must(p.t, answer, err)
	return &upload{pair: p, id: id, bodies: make(map[int][]byte)}
}

// send sends a part through a node, and returns what it was told.
func (u *upload) send(at *member, number int) *s3client.Answer {
	u.t.Helper()
	body := payload(uint64(number)+100*uint64(len(u.bodies)), partSizes[number%len(partSizes)])
	answer, err := at.s3.PutPart(u.ctx, u.doc.Name, u.name, u.id, number, body)
	if err != nil {
		u.t.Fatal(err)
	}
	if answer.OK() {
		u.parts = slices.DeleteFunc(u.parts, func(p s3client.Part) bool { return p.Number == number })
		u.parts = append(u.parts, s3client.Part{Number: number, ETag: answer.ETag(), Size: int64(len(body))})
		slices.SortFunc(u.parts, func(a, b s3client.Part) int { return a.Number - b.Number })
		u.bodies[number] = body
	}
	return answer
}

// listed fails unless a node lists the parts that were acknowledged.
func (u *upload) listed(at *member) {
	u.t.Helper()
	parts, ok, err := at.s3.Parts(u.ctx, u.doc.Name, u.name, u.id)
	if err != nil || !ok || !slices.Equal(parts, u.parts) {
		u.t.Fatalf("%s lists %v, %v, %v; want %v", at.id, parts, ok, err, u.parts)
	}
	all, err := at.s3.Uploads(u.ctx, u.doc.Name)
	if err != nil || !slices.Equal(all, []s3client.Upload{{Key: u.name, UploadID: u.id}}) {
		u.t.Fatalf("%s lists the uploads %v, %v", at.id, all, err)
	}
}

// ended fails unless no node that runs knows of the upload.
func (u *upload) ended(at ...*member) {
	u.t.Helper()
	for _, m := range at {
		if _, ok, err := m.s3.Parts(u.ctx, u.doc.Name, u.name, u.id); err != nil || ok {
			u.t.Fatalf("%s: %v, %v", m.id, ok, err)
		}
		if all, err := m.s3.Uploads(u.ctx, u.doc.Name); err != nil || len(all) != 0 {
			u.t.Fatalf("%s lists the uploads %v, %v", m.id, all, err)
		}
	}
}

func (u *upload) complete(at *member) *s3client.Answer {
	u.t.Helper()
	answer, err := at.s3.Complete(u.ctx, u.doc.Name, u.name, u.id, u.parts)
	if err != nil {
		u.t.Fatal(err)
	}
	return answer
}

// content is what the parts make.
func (u *upload) content() string {
	var b strings.Builder
	for _, p := range u.parts {
		b.Write(u.bodies[p.Number])
	}
	return b.String()
}

// under is what a node has of the upload under way: its parts, and whether it is there.
func (u *upload) under(m *member) (parts []s3client.Part, there bool) {
	u.t.Helper()
	c := chargeOf(u.t, m, u.doc, u.name)
	kept, err := m.Gateway().ShowUpload(u.doc, u.name, c.Epoch, u.id)
	if err != nil {
		u.t.Fatal(err)
	}
	for _, p := range kept.Parts {
		parts = append(parts, s3client.Part{Number: p.Number, ETag: p.ETag, Size: p.Size})
	}
	return parts, kept.Upload != nil
}

// both fails unless both nodes of the key have the upload as it was acknowledged.
func (u *upload) both() {
	u.t.Helper()
	for _, m := range []*member{u.first, u.second} {
		if parts, there := u.under(m); !there || !slices.Equal(parts, u.parts) {
			u.t.Fatalf("%s has %v, %v; want %v", m.id, parts, there, u.parts)
		}
	}
}

// partFiles are the part files on the disks of a node, and what else is in their
// directories but manifests.
func partFiles(t *testing.T, m *member) []string {
	t.Helper()
	var list []string
	for _, v := range m.Roster().Mountpaths {
		root := filepath.Join(v.Path, filepath.FromSlash(layout.PartsDir))
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && !strings.HasPrefix(entry.Name(), "manifest") {
				list = append(list, path)
			}
			return nil // it went meanwhile
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// files waits until a node has so many part files.
func (w *world) files(m *member, count int) {
	w.t.Helper()
	for end := time.Now().Add(patience); len(partFiles(w.t, m)) != count; <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s has the part files %v, want %d", m.id, partFiles(w.t, m), count)
		}
	}
}

// returns has a node that was down catch up and become up.
func (p *pair) returns(m *smap.Smap, x *member) *smap.Smap {
	p.t.Helper()
	m = becomes(p.t, m, x.id, smap.Recovering)
	p.adopt(m)
	p.awaitMap(m)
	if err := x.Gateway().CatchUp(p.ctx, m); err != nil {
		p.t.Fatal(err)
	}
	m = becomes(p.t, m, x.id, smap.Up)
	p.adopt(m)
	p.awaitMap(m)
	return m
}

// without has a node taken for dead; it knows.
func (p *pair) without(m *smap.Smap, x *member) *smap.Smap {
	p.t.Helper()
	m = becomes(p.t, m, x.id, smap.Down)
	p.adopt(m)
	p.awaitMap(m)
	return m
}

// Whatever was acknowledged of an upload is at both nodes of its key, whichever node was
// asked; no byte goes twice when it is completed, and nothing is left over when it ends.
func TestUploadIsAtBoth(t *testing.T) {
	p := newPair(t, objects.BucketProps{})
	u := p.upload(p.other)
	u.both()
	u.listed(p.second)
	for i, number := range []int{2, 1, 7, 2} { // one is replaced
		must(t, u.send(p.members[i%3], number), nil)
		u.both()
		u.listed(p.members[(i+1)%3])
	}
	must(t, u.send(p.other, 9), nil) // not named below
	u.parts = u.parts[:len(u.parts)-1]
	sent := p.first.peers.parts.Load()
	must(t, u.complete(p.other), nil)
	if n := p.first.peers.parts.Load(); n != sent {
		t.Errorf("%d parts were sent again", n-sent)
	}
	for _, m := range []*member{p.first, p.second} {
		if _, content := shows(t, m, p.doc, p.name); content != u.content() {
			t.Fatalf("%s has %d bytes, want %d", m.id, len(content), len(u.content()))
		}
		p.files(m, len(u.parts))
	}
	u.ended(p.members...)
	if answer := u.complete(p.second); !answer.OK() { // who lost the answer asks again
		t.Fatalf("again: %+v", answer)
	}
	if answer := u.send(p.other, 3); answer.Code != "NoSuchUpload" {
		t.Fatalf("a part after the end: %+v", answer)
	}
	must(t, p.put(p.other, "replaced"), nil)
	v := p.upload(p.second)
	must(t, v.send(p.other, 1), nil)
	answer, err := p.other.s3.Abort(p.ctx, p.doc.Name, p.name, v.id)
	must(t, answer, err)
	v.ended(p.members...)
	for _, m := range p.members {
		p.files(m, 0)
	}
	p.want(p.other, "replaced", http.StatusOK)
	p.quiet()
}

// The node in charge goes away between parts: the next one has what was acknowledged and
// goes on. What the one that was away has is made equal when it returns, whether the
// upload goes on, has become an object, or was aborted.
func TestUploadGoesOn(t *testing.T) {
	for _, end := range []string{"goes on", "completed", "completed and replaced", "aborted"} {
		t.Run(end, func(t *testing.T) {
			p := newPair(t, objects.BucketProps{})
			u := p.upload(p.other)
			for _, number := range []int{1, 2, 3} {
				must(t, u.send(p.other, number), nil)
			}
			m := p.without(p.before, p.first)
			u.listed(p.other)
			must(t, u.send(p.other, 2), nil) // replaces one
			must(t, u.send(p.second, 4), nil)
			u.listed(p.second)
			switch end {
			case "completed":
				must(t, u.complete(p.other), nil)
			case "completed and replaced":
				must(t, u.complete(p.other), nil)
				must(t, p.put(p.other, "replaced"), nil)
			case "aborted":
				answer, err := p.other.s3.Abort(p.ctx, p.doc.Name, p.name, u.id)
				must(t, answer, err)
			}
			if n := len(partFiles(t, p.first)); n < 3 { // negative control of what follows
				t.Fatalf("%s has %d part files: the test says nothing", p.first.id, n)
			}
			p.returns(m, p.first)
			switch end {
			case "goes on":
				u.both()
				u.listed(p.other)
				must(t, u.send(p.second, 6), nil)
				u.both()
				must(t, u.complete(p.second), nil)
				fallthrough
			case "completed":
				for _, x := range []*member{p.first, p.second} {
					if _, content := shows(t, x, p.doc, p.name); content != u.content() {
						t.Fatalf("%s has %d bytes, want %d", x.id, len(content), len(u.content()))
					}
					p.files(x, len(u.parts))
				}
				if got, status := p.get(p.other); got != u.content() {
					t.Fatalf("%d bytes with status %d, want %d", len(got), status, len(u.content()))
				}
			default:
				p.files(p.first, 0)
				p.files(p.second, 0)
			}
			u.ended(p.members...)
			p.agrees(p.doc)
			p.quiet()
		})
	}
}

// A part that did not get to both is not acknowledged, and is at both before it is shown.
// One that is acknowledged without the other node is gone with this one.
func TestPartIsAcknowledgedByBoth(t *testing.T) {
	p := newPair(t, objects.BucketProps{})
	u := p.upload(p.other)
	must(t, u.send(p.other, 1), nil)
	p.first.peers.loseStores.Store(true)
	if answer := u.send(p.other, 2); answer.Status != http.StatusServiceUnavailable || !bytes.Contains(answer.Body, []byte("outcome is unknown")) {
		t.Fatalf("%+v %s", answer, answer.Body)
	}
	if _, _, err := p.other.s3.Parts(p.ctx, p.doc.Name, p.name, u.id); err == nil {
		t.Fatal("it is listed, and is at one node")
	}
	if _, err := p.other.s3.Uploads(p.ctx, p.doc.Name); err == nil {
		t.Fatal("the upload is listed, and differs at its nodes")
	}
	p.first.peers.loseStores.Store(false)
	parts, ok, err := p.other.s3.Parts(p.ctx, p.doc.Name, p.name, u.id)
	if err != nil || !ok || len(parts) != 2 {
		t.Fatalf("%v, %v, %v", parts, ok, err)
	}
	if there, _ := u.under(p.second); len(there) != 2 {
		t.Fatalf("it was shown, and %s has %v", p.second.id, there)
	}

	c := newPair(t, objects.BucketProps{})
	u = c.upload(c.other)
	must(t, u.send(c.other, 1), nil)
	c.first.peers.fakeStores.Store(true)
	must(t, u.send(c.other, 2), nil)
	c.without(c.before, c.first)
	if parts, _, _ := c.other.s3.Parts(c.ctx, c.doc.Name, c.name, u.id); len(parts) != 1 {
		t.Fatalf("%v: the test says nothing", parts)
	}
}

// The beginning and the end of an upload are known to both nodes, or their outcome is
// said not to be: then it counts later, or not at all, and the same at both.
func TestUploadEndsAtBoth(t *testing.T) {
	p := newPair(t, objects.BucketProps{})
	p.first.peers.loseStores.Store(true)
	if _, answer, err := p.other.s3.CreateUpload(p.ctx, p.doc.Name, p.name); err != nil || answer.Status != http.StatusServiceUnavailable {
		t.Fatalf("%v %+v", err, answer)
	}
	p.first.peers.loseStores.Store(false)
	all, err := p.second.s3.Uploads(p.ctx, p.doc.Name)
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	u := &upload{pair: p, id: all[0].UploadID, bodies: make(map[int][]byte)}
	u.both()
	must(t, u.send(p.other, 1), nil)
	p.first.peers.loseStores.Store(true)
	if answer, err := p.other.s3.Abort(p.ctx, p.doc.Name, p.name, u.id); err != nil || answer.Status != http.StatusServiceUnavailable {
		t.Fatalf("%v %+v", err, answer)
	}
	p.first.peers.loseStores.Store(false)
	u.listed(p.other)
	u.both()
	answer, err := p.other.s3.Abort(p.ctx, p.doc.Name, p.name, u.id)
	must(t, answer, err)
	if answer, err = p.other.s3.Abort(p.ctx, p.doc.Name, p.name, u.id); err != nil || answer.Code != "NoSuchUpload" {
		t.Fatalf("%v %+v", err, answer)
	}
	p.files(p.first, 0)
	p.files(p.second, 0)
}

// A completion that did not get to both counts later if the node that has it still is in
// charge; otherwise the upload goes on at the next one, or is what it became once that
// meets it. Either way both have the same in the end.
func TestCompletionThatIsUnknown(t *testing.T) {
	begin := func(t *testing.T) (*pair, *upload) {
		p := newPair(t, objects.BucketProps{})
		must(t, p.put(p.other, "before"), nil)
		for end := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) { // or it is settled later, and what is greater counts
			if record, _ := shows(t, p.second, p.doc, p.name); !record.Unsettled {
				break
			}
			if time.Now().After(end) {
				t.Fatal("it is not settled")
			}
		}
		u := p.upload(p.other)
		must(t, u.send(p.other, 1), nil)
		must(t, u.send(p.other, 2), nil)
		p.first.peers.loseStores.Store(true)
		if answer := u.complete(p.other); answer.Status != http.StatusServiceUnavailable {
			t.Fatalf("%+v %s", answer, answer.Body)
		}
		p.first.peers.loseStores.Store(false)
		if _, there := u.under(p.second); !there {
			t.Fatal("the test says nothing")
		}
		return p, u
	}
	same := func(p *pair, u *upload, content string, files int) {
		p.t.Helper()
		if got, status := p.get(p.other); got != content {
			p.t.Fatalf("%d bytes with status %d, want %d", len(got), status, len(content))
		}
		for _, x := range []*member{p.first, p.second} {
			if _, got := shows(p.t, x, p.doc, p.name); got != content {
				p.t.Fatalf("%s has %d bytes, want %d", x.id, len(got), len(content))
			}
			p.files(x, files)
		}
		u.ended(p.members...)
		p.agrees(p.doc)
		p.quiet()
	}
	t.Run("read", func(t *testing.T) {
		p, u := begin(t)
		sent := p.first.peers.parts.Load()
		same(p, u, u.content(), 2)
		if n := p.first.peers.parts.Load(); n != sent {
			t.Errorf("%d parts were sent again", n-sent)
		}
	})
	t.Run("again", func(t *testing.T) {
		p, u := begin(t)
		must(t, u.complete(p.second), nil)
		same(p, u, u.content(), 2)
	})
	t.Run("at the next", func(t *testing.T) {
		p, u := begin(t)
		m := p.without(p.before, p.first)
		u.listed(p.other)
		must(t, u.send(p.other, 2), nil)
		must(t, u.send(p.other, 3), nil)
		must(t, u.complete(p.other), nil)
		p.returns(m, p.first)
		same(p, u, u.content(), 3)
	})
	t.Run("aborted at the next", func(t *testing.T) {
		p, u := begin(t)
		m := p.without(p.before, p.first)
		answer, err := p.other.s3.Abort(p.ctx, p.doc.Name, p.name, u.id)
		must(t, answer, err)
		p.returns(m, p.first)
		same(p, u, "before", 0)
	})
	t.Run("met by the next", func(t *testing.T) {
		p, u := begin(t)
		m := becomes(t, p.without(p.before, p.first), p.first.id, smap.Recovering)
		p.adopt(m)
		p.awaitMap(m)
		u.ended(p.other) // before the first has caught up: it is in the ack set
		same(p, u, u.content(), 2)
	})
}

// A message of the node in charge that comes late undoes nothing: neither the upload that
// has ended since, nor what has come to it since. And nothing is done under another epoch.
func TestLateMessagesOfUploads(t *testing.T) {
	p := newPair(t, objects.BucketProps{})
	u := p.upload(p.other)
	must(t, u.send(p.other, 1), nil)
	c := chargeOf(t, p.first, p.doc, p.name)
	kept, err := p.first.Gateway().ShowUpload(p.doc, p.name, c.Epoch, u.id)
	if err != nil {
		t.Fatal(err)
	}
	c.Node = c.Set.Find(p.second.id)
	peers := p.first.Gateway().Peers
	theirs, err := peers.ShowUpload(c, p.doc, p.name, u.id)
	if err != nil || theirs.Upload == nil || len(theirs.Parts) != 1 {
		t.Fatalf("%+v, %v", theirs, err)
	}
	late := kept.Parts[0]
	must(t, u.send(p.other, 1), nil) // replaces it
	must(t, u.send(p.other, 2), nil)
	if err := peers.EndUpload(c, p.doc, p.name, u.id, theirs.Writes); !errs.Is(errs.Busy, err) {
		t.Fatalf("a late end: %v", err)
	}
	if _, err := peers.KeepUpload(c, p.doc, kept.Upload, kept.Parts, theirs.Writes); !errs.Is(errs.Busy, err) {
		t.Fatalf("late parts: %v", err)
	}
	if err := peers.StorePart(c, p.doc, p.name, u.id, &late, bytes.NewReader(payload(1, int(late.Size)))); err != nil {
		t.Fatalf("a late part: %v", err)
	}
	u.both()
	other := c
	other.Epoch.Map += 7
	if _, err := peers.ShowUpload(other, p.doc, p.name, u.id); err == nil {
		t.Fatal("shown under another epoch")
	}
	now, err := peers.ShowUpload(c, p.doc, p.name, u.id)
	if err != nil {
		t.Fatal(err)
	}
	if err := peers.EndUpload(other, p.doc, p.name, u.id, now.Writes); err == nil {
		t.Fatal("ended under another epoch")
	}
	answer, err := p.other.s3.Abort(p.ctx, p.doc.Name, p.name, u.id)
	must(t, answer, err)
	if _, err := peers.KeepUpload(c, p.doc, kept.Upload, kept.Parts, now.Writes); !errs.Is(errs.Busy, err) {
		t.Fatalf("a late beginning: %v", err)
	}
	if err := peers.StorePart(c, p.doc, p.name, u.id, &late, bytes.NewReader(payload(1, int(late.Size)))); !errors.Is(err, objects.ErrNoSuchUpload) {
		t.Fatalf("a part of an upload that has ended: %v", err)
	}
	p.files(p.first, 0)
	p.files(p.second, 0)
	p.quiet()
}

// A part whose bytes are not what it says is not kept.
func TestDamagedPartIsRefused(t *testing.T) {
	p := newPair(t, objects.BucketProps{})
	u := p.upload(p.other)
	must(t, u.send(p.other, 1), nil)
	c := chargeOf(t, p.first, p.doc, p.name)
	kept, err := p.first.Gateway().ShowUpload(p.doc, p.name, c.Epoch, u.id)
	if err != nil {
		t.Fatal(err)
	}
	part := kept.Parts[0]
	part.Number, part.Payload.Seq = 5, part.Payload.Seq+1000
	c.Node = c.Set.Find(p.second.id)
	if err := p.first.Gateway().Peers.StorePart(c, p.doc, p.name, u.id, &part, bytes.NewReader(payload(77, int(part.Size)))); err == nil {
		t.Fatal("it was kept")
	}
	u.both()
	p.quiet()
}
