package smap

import (
	"fmt"
	"testing"

	"github.com/troupe-storage/troupe/objects"
)

// BenchmarkView is what a request pays to know who is in charge of its key.
func BenchmarkView(b *testing.B) {
	for _, count := range []int{3, 100, 1000} {
		nodes := make([]Node, count)
		for i := range nodes {
			id := fmt.Sprintf("n%04d", i)
			nodes[i] = Node{ID: NodeID(id), Digest: Digest(objects.DigestID(id))}
		}
		m, err := New("lineage", nodes...)
		if err != nil {
			b.Fatal(err)
		}
		for _, owners := range []int{1, 3} {
			b.Run(fmt.Sprintf("nodes=%d/owners=%d", count, owners), func(b *testing.B) {
				b.ReportAllocs()
				digest := uint64(1)
				for b.Loop() {
					digest = digest*6364136223846793005 + 1442695040888963407
					m.View(Key{Digest: digest, Owners: owners, Document: 1})
				}
			})
		}
	}
}
