package intra

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/messages/wire"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/allocation"
	"github.com/troupe-storage/troupe/objects/errs"
)

// frameMemory bounds what the smallest input costs: what wire.Decode allows, what is
// made of it, and what a length is believed to be.
const frameMemory = 16<<10 + believedBytes

// A node may send any frame: it is refused, or read with memory in proportion to it,
// whatever length it says it has. What follows it is left alone.
func FuzzFrame(f *testing.F) {
	whole, err := appendFrame(nil, &wire.StoreQuestion{Name: []byte("a"), Record: wire.RecordOf(&objects.Meta{Size: 3}), Payload: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(whole, "abc"...))
	f.Add([]byte{0, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add(whole[:5])
	f.Fuzz(func(t *testing.T, b []byte) {
		var from *bytes.Reader
		var q wire.StoreQuestion
		var err error
		allocation.Check(t, len(b), frameMemory, func() {
			from = bytes.NewReader(b)
			q = wire.StoreQuestion{}
			if err = unframe(from, &q); err == nil {
				_, _, _ = arriving(&q)
			}
		})
		if err == nil && from.Len() != len(b)-frameHead-int(binary.BigEndian.Uint32(b)) {
			t.Fatalf("%d bytes are left of %x", from.Len(), b)
		}
		allocation.Check(t, len(b), frameMemory, func() { _, _, _ = readKept(bytes.NewReader(b)) })
	})
}

// What is made of pages of other nodes takes memory in proportion to them, too.
func FuzzPages(f *testing.F) {
	pages := []func(b []byte) error{
		func(b []byte) error {
			var a wire.ListAnswer
			if err := decode(b, &a); err != nil {
				return err
			}
			_, err := nodePage(&a)
			return err
		},
		func(b []byte) error {
			var a wire.UploadsAnswer
			if err := decode(b, &a); err != nil {
				return err
			}
			_, err := nodeUploads(&a)
			return err
		},
		func(b []byte) error {
			var a wire.HoldingsAnswer
			if err := decode(b, &a); err != nil {
				return err
			}
			holdingsPage(&a)
			return nil
		},
		func(b []byte) error {
			var q wire.HoldingsQuestion
			if err := decode(b, &q); err != nil {
				return err
			}
			_, err := holdingsRequest(&q)
			return err
		},
		func(b []byte) error {
			var a wire.Failure
			if err := decode(b, &a); err != nil {
				return err
			}
			_ = toldBy("n1", &a).Error()
			return nil
		},
	}
	for which, m := range []wire.Message{
		listAnswer(&gateway.NodePage{Entries: []messages.ObjectEntry{{Name: "a/"}, {Name: "b", Meta: &objects.Meta{Size: 1}}}}),
		uploadsAnswer(&gateway.NodeUploads{Uploads: []objects.Upload{{ID: "1", Name: "a"}}, More: true}),
		holdingsAnswer(&gateway.HoldingsPage{Holdings: []gateway.Holding{{Name: "a", Unsettled: true}}, Told: "b"}),
		holdingsQuestion(&wire.About{Bucket: "b"}, 7, &gateway.HoldingsRequest{Asker: "n1", From: 1, To: 4095}),
		failureOf(objects.ErrNoSuchKey),
	} {
		b, err := wire.Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(which), b)
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		allocation.Check(t, len(b), frameMemory, func() { _ = pages[int(which)%len(pages)](b) })
	})
}

// A length that is a lie takes little memory before the bytes have failed to come.
func TestLengthsAreNotBelieved(t *testing.T) {
	frame := binary.BigEndian.AppendUint32(nil, questionBytes)
	allocation.Check(t, len(frame), frameMemory, func() {
		if err := unframe(bytes.NewReader(frame), new(wire.StoreQuestion)); err != io.ErrUnexpectedEOF {
			t.Errorf("a frame without its message: %v", err)
		}
	})
}

// A node that is asked what it does not know, or cannot read, says which question that
// was, and what is wrong with it.
func TestQuestionsThatMakeNoSenseAreNamed(t *testing.T) {
	s := NewServer(ServerConfig{Gateway: new(gateway.Gateway)})
	for _, c := range []struct{ path, body, want string }{
		{"/question/of-another-version", "", "/question/of-another-version: invalid: this node knows no such question"},
		{pathHoldings, "GET / HTTP/1.1", "HoldingsQuestion: invalid"},
		{pathList, "\xff", "ListQuestion: invalid"},
		{pathStore, "\x00\x00\x00\x01\xff", "StoreQuestion: invalid"},
		{pathStore, "\x00\x00\x00\x00", "there is no record"},
		{pathConfirm, "\xff\xff\xff\xff", "a message of 4294967295 bytes"},
	} {
		ours, theirs := net.Pipe() // for deadlines
		defer ours.Close()
		defer theirs.Close()
		ctx := new(fasthttp.RequestCtx)
		ctx.Init2(ours, nil, false)
		ctx.Request.Header.SetMethod(fasthttp.MethodPost)
		ctx.Request.SetRequestURI(c.path)
		ctx.Request.SetBodyStream(strings.NewReader(c.body), len(c.body))
		s.question(ctx)
		var f wire.Failure
		if err := decode(ctx.Response.Body(), &f); err != nil {
			t.Fatal(err)
		}
		err := toldBy("n2", &f)
		status := fasthttp.StatusConflict
		if strings.Contains(c.path, "another") {
			status = fasthttp.StatusNotFound
		}
		if ctx.Response.StatusCode() != status || !errs.Is(errs.Invalid, err) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "node n2") {
			t.Errorf("%s %q: status %d, %v, want %q", c.path, c.body, ctx.Response.StatusCode(), err, c.want)
		}
	}
}

// What callers tell apart arrives, and the rest of an error is for people.
func TestFailuresCross(t *testing.T) {
	crossed := func(err error) error {
		b, encodeErr := encode(nil, failureOf(err))
		if encodeErr != nil {
			t.Fatal(encodeErr)
		}
		var f wire.Failure
		if err := decode(b, &f); err != nil {
			t.Fatal(err)
		}
		return toldBy("n2", &f)
	}
	for _, sentinel := range sentinels() {
		sent := errs.E("gateway.Test", "a", errs.Busy, sentinel)
		if got := crossed(sent); !errors.Is(got, sentinel) || !errs.Is(errs.Busy, got) || !strings.Contains(got.Error(), sent.Error()) {
			t.Errorf("%v arrives as %v", sent, got)
		}
	}
	away := &messages.MountpathAway{Path: "/d\xff", State: messages.MountpathSlow, Reason: "it takes its time", Writes: true, Begun: true}
	var got *messages.MountpathAway
	if err := crossed(errs.E("gateway.Test", errs.Offline, away)); !errors.As(err, &got) || *got != *away || !errs.Is(errs.Offline, err) {
		t.Errorf("%v arrives as %v", away, err)
	}
	q := &messages.Quarantined{ID: "a1", Subject: "key b/a\xff (read)", Since: time.UnixMilli(1234).UTC(), Panics: 3, Cause: "it fell"}
	for _, at := range []string{"", "n7"} { // the node that says so, or one that it asked
		q.Node = at
		var told *messages.Quarantined
		err := crossed(errs.E("gateway.Test", errs.Offline, q))
		want := *q
		want.Node = cmp.Or(at, "n2")
		if !errors.As(err, &told) || *told != want || !errs.Is(errs.Offline, err) {
			t.Errorf("%v arrives as %v", q, err)
		}
	}
}

// Pages and requests of package gateway arrive as they were sent.
func TestPagesCross(t *testing.T) {
	meta := &objects.Meta{Generation: objects.Generation{Map: 1, Start: 2, Seq: 3}, Size: 5, Modified: time.Unix(7, 8).UTC(), Unsettled: true}
	about := &wire.About{Bucket: "b", Document: 3}
	list := gateway.ListRequest{Prefix: "a\xff", After: "b", Delimiter: "/", Limit: 7, Whole: true, Markers: messages.AllMarkers}
	uploads := gateway.UploadsRequest{Prefix: "p", AfterName: "n", AfterID: "i", Limit: 5}
	holdings := gateway.HoldingsRequest{Asker: "n1", Next: true, After: "a", Upto: "u", From: 3, To: 4095}
	page := &gateway.NodePage{Entries: []messages.ObjectEntry{{Name: "d/"}, {Name: "e\xff", Meta: meta}}, Upto: "e\xff"}
	uploading := &gateway.NodeUploads{Uploads: []objects.Upload{{ID: "1", Name: "n", Initiated: time.Unix(1, 2).UTC()}}, More: true, UptoName: "n", UptoID: "1"}
	held := &gateway.HoldingsPage{Holdings: []gateway.Holding{{Name: "k", Generation: meta.Generation, Unsettled: true}}, Told: "k"}
	gone := messages.ObjectDeleted{Existed: true, Generation: meta.Generation, Marker: meta}
	has := messages.Stored{Has: true, Here: meta, NeedsPayload: true, Covered: 9}
	for _, c := range []struct {
		sent, arrived any
		err           error
	}{
		second(list)(listRequest(listQuestion(about, 1, &list))), second(uploads)(uploadsRequest(uploadsQuestion(about, 1, &uploads))),
		second(holdings)(holdingsRequest(holdingsQuestion(about, 1, &holdings))), second(page)(nodePage(listAnswer(page))),
		second(uploading)(nodeUploads(uploadsAnswer(uploading))), second(held)(holdingsPage(holdingsAnswer(held)), nil),
		second(gone)(objectDeleted(deletedAnswer(&gone))), second(has)(stored(storeAnswer(&has))),
	} {
		if c.err != nil || !reflect.DeepEqual(c.sent, c.arrived) {
			t.Errorf("%v\nsent    %+v\narrived %+v", c.err, c.sent, c.arrived)
		}
	}
	for _, q := range []*wire.HoldingsQuestion{{From: 2, To: 1}, {To: 4096}, {From: 65536, To: 65536}} {
		if r, err := holdingsRequest(q); err == nil {
			t.Errorf("%v was read as %+v", q, r)
		}
	}
}

// second makes a row of a table of what a function returns.
func second[V any](sent V) func(V, error) struct {
	sent, arrived any
	err           error
} {
	return func(arrived V, err error) struct {
		sent, arrived any
		err           error
	} {
		return struct {
			sent, arrived any
			err           error
		}{sent, arrived, err}
	}
}
