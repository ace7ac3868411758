package gateway

import (
	"archive/tar"
	"bytes"
	"fmt"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/archive"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// A tar whose last member claims more bytes than there are gives none of what lies behind it
// in memory, which is another request's.
func TestMemberBehindTheEndOfItsShard(t *testing.T) {
	const secret = "of another request"
	for _, claimed := range []int64{5, 6, 64 << 10, slab.Bytes, 1 << 40} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "m", Size: claimed, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		b.WriteString("bytes") // and neither padding nor trailer
		slabs, err := slab.NewPool(1)
		if err != nil {
			t.Fatal(err)
		}
		window, err := slabs.Lease(1)
		if err != nil {
			t.Fatal(err)
		}
		room := window.Slab(0)
		for at := 0; at < len(room); at += len(secret) {
			copy(room[at:], secret)
		}
		copy(room, b.Bytes())
		meta := &objects.Meta{Where: objects.Inline, Size: int64(b.Len()), Payload: objects.Generation{Seq: 7}}
		o := &Object{Meta: meta, slabs: slabs, window: window, inline: true, opened: &messages.ObjectOpened{Meta: meta, Inline: b.Len()}}
		s := &Shard{Object: o, gateway: new(Gateway), limits: archive.Limits{Unpacked: shardUnpacks}}
		if err := s.open("shard.tar", ""); err != nil {
			t.Fatal(err)
		}
		given, err := func() (given []byte, err error) {
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("panic: %v", p)
				}
			}()
			m, err := s.Member("m")
			if err != nil {
				return nil, err
			}
			var ctx fasthttp.RequestCtx
			if err := s.Send(&ctx, 0, m.Size); err != nil {
				return nil, err
			}
			return bytes.Clone(ctx.Response.Body()), nil
		}()
		s.Close()
		if claimed == 5 { // control: what is there is given
			if err != nil || string(given) != "bytes" {
				t.Errorf("a member that is there: %q: %v", given, err)
			}
			continue
		}
		if !errs.Is(errs.Invalid, err) {
			t.Errorf("a member of %d bytes, of which 5 are there: %d were given, with %v", claimed, len(given), err)
		}
		if bytes.Contains(given, []byte(secret)) {
			t.Error("what is another request's was given")
		}
	}
}
