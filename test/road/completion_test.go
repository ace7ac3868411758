package road

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// returning is an upload that began while the node that is to be in charge of its key was
// taken for dead: acknowledged by the other node alone. The first is recovering, and has
// not caught up.
func returning(t *testing.T, before string) (*pair, *upload, *smap.Smap) {
	t.Helper()
	p := newPair(t, objects.BucketProps{})
	if before != "" {
		must(t, p.put(p.other, before), nil)
	}
	m := p.without(p.before, p.first)
	u := p.upload(p.other)
	must(t, u.send(p.other, 1), nil)
	must(t, u.send(p.other, 2), nil)
	m = becomes(t, m, p.first.id, smap.Recovering)
	p.adopt(m)
	p.awaitMap(m)
	return p, u, m
}

// unknown completes the upload at the second node, whose messages do not arrive: as an edge
// does that has listed the parts under the map before.
func (u *upload) unknown(lose *atomic.Bool) {
	u.t.Helper()
	c := gateway.Complete{Name: u.name, UploadID: u.id, Size: -1}
	for _, p := range u.parts {
		c.Parts = append(c.Parts, messages.CompletePart{Number: p.Number, ETag: strings.Trim(p.ETag, `"`)})
	}
	lose.Store(true)
	defer lose.Store(false)
	if _, err := u.second.Gateway().CompleteUpload(u.ctx, u.doc, c); !errs.Is(errs.Offline, err) {
		u.t.Fatalf("%v: the test says nothing", err)
	}
}

// became fails unless the upload is the object, at both nodes, and nothing else is there.
func (u *upload) became() {
	u.t.Helper()
	if got, status := u.get(u.other); got != u.content() {
		u.t.Fatalf("%d bytes with status %d, want %d", len(got), status, len(u.content()))
	}
	for _, x := range []*member{u.first, u.second} {
		if _, got := shows(u.t, x, u.doc, u.name); got != u.content() {
			u.t.Fatalf("%s has %d bytes, want %d", x.id, len(got), len(u.content()))
		}
		u.files(x, len(u.parts))
	}
	u.ended(u.members...)
	u.agrees(u.doc)
	u.quiet()
}

// An upload is completed while the first node returns, after that has compared the records
// of the key and before it knows of the upload, and the object does not get there: once it
// is in charge, the completion that is sent again finds the upload, or what it became.
func TestCompletionWhileANodeReturns(t *testing.T) {
	for _, before := range []string{"", "before"} {
		for _, when := range []string{"held", "shared"} {
			for _, lost := range []string{"all", "the object"} {
				t.Run(before+"/"+when+"/"+lost, func(t *testing.T) {
					p, u, m := returning(t, before)
					lose := &p.second.peers.loseStores
					if lost == "the object" {
						lose = &p.second.peers.loseRecords
					}
					done := false
					complete := func() { u.unknown(lose); done = true }
					hook := &p.first.peers.beforeHeld
					if when == "shared" {
						hook = &p.first.peers.beforeShare
					}
					hook.Store(&complete)
					if err := p.first.Gateway().CatchUp(p.ctx, m); err != nil || !done {
						t.Fatalf("%v, %v", err, done)
					}
					m = becomes(t, m, p.first.id, smap.Up)
					p.adopt(m)
					p.awaitMap(m)
					must(t, u.complete(p.other), nil)
					u.became()
				})
			}
		}
	}
}

// The second node, in charge, completes an upload, and the object does not get to the first,
// which has caught up and is in charge next: it has the upload. What is done to it there
// counts, and nothing else comes to light when the second is in charge again: it is
// completed, or went, or had become the object before.
func TestCompletionThatTheNextLacks(t *testing.T) {
	for _, end := range []string{"completed", "aborted", "listed"} {
		t.Run(end, func(t *testing.T) {
			p, u, m := returning(t, "before")
			if err := p.first.Gateway().CatchUp(p.ctx, m); err != nil {
				t.Fatal(err)
			}
			u.unknown(&p.second.peers.loseStores)
			m = becomes(t, m, p.first.id, smap.Up)
			p.adopt(m)
			p.awaitMap(m)
			if _, there := u.under(p.first); !there {
				t.Fatal("the test says nothing")
			}
			want := u.content()
			switch end {
			case "completed":
				must(t, u.complete(p.other), nil)
			case "aborted":
				answer, err := p.other.s3.Abort(p.ctx, p.doc.Name, p.name, u.id)
				if err != nil || !answer.OK() && answer.Code != "NoSuchUpload" {
					t.Fatalf("%v %+v", err, answer)
				}
				if answer.OK() {
					want = "before"
				}
			default:
				if _, ok, err := p.other.s3.Parts(p.ctx, p.doc.Name, p.name, u.id); err != nil {
					t.Fatal(err)
				} else if ok {
					want = "before"
				}
			}
			if got, status := p.get(p.other); got != want {
				t.Fatalf("%d bytes with status %d, want %d", len(got), status, len(want))
			}
			p.without(m, p.first)
			if got, status := p.get(p.other); got != want {
				t.Fatalf("once the second is in charge: %d bytes with status %d, want %d", len(got), status, len(want))
			}
		})
	}
}
