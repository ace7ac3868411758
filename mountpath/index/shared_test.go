package index

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// The memtables of mountpaths that a node gets while it runs do not take the room of
// blocks: what is cached stays so, and what is read later is cached.
func TestAddedIndexesLeaveRoomForBlocks(t *testing.T) {
	noLeaks(t)
	const indexes, keys = 6, 300
	shared := NewShared(4<<20, 1)
	t.Cleanup(shared.Close)
	on := func(o *Options) { o.Node, o.MemTableBytes = shared, MinMemTableBytes }
	var open []*Index
	cached := func() int64 { return shared.cache.Metrics().Size }
	read := func(x *Index) {
		t.Helper()
		for i := range keys {
			value, err := x.Get(fmt.Appendf(nil, "o/%06d", i))
			if err != nil {
				t.Fatal(err)
			}
			if err := value.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := range indexes {
		x := mustOpen(t, disk.NewMem(uint64(n)), on)
		open = append(open, x)
		for i := range keys {
			b := x.NewBatch()
			b.Set(fmt.Appendf(nil, "o/%06d", i), bytes.Repeat([]byte{byte(i), byte(n)}, 400)) // below what goes to a blob file
			if err := x.Commit(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := x.Flush(); err != nil {
			t.Fatal(err)
		}
		before := cached()
		read(x)
		if now := cached(); n == 0 && now == 0 || now < before {
			t.Fatalf("%d indexes: %d bytes of blocks are cached after all was read, %d before", n+1, now, before)
		}
	}
	if least, now := int64(indexes*keys*20), cached(); now < least { // they compress well
		t.Errorf("%d bytes of blocks are cached, at least %d were read", now, least)
	}
	for _, x := range open {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}
