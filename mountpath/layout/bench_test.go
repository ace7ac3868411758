package layout

import (
	"testing"

	"github.com/troupe-storage/troupe/objects"
)

// Each small write encodes a record and two keys; each entry of a listing is one
// DecodeEntry (wanted: below 250 ns, at most 2 allocations).

func BenchmarkAppendRecord(b *testing.B) {
	m := sampleMeta()
	room := AppendRecord(nil, m)
	b.SetBytes(int64(len(room)))
	b.ReportAllocs()
	for b.Loop() {
		room = AppendRecord(room[:0], m)
	}
}

func BenchmarkDecodeRecord(b *testing.B) {
	record := AppendRecord(nil, sampleMeta())
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRecord(record); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEntry(b *testing.B) {
	record := AppendRecord(nil, sampleMeta())
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	var m objects.Meta
	for b.Loop() {
		if err := DecodeEntry(record, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPayloadKey(b *testing.B) {
	id := objects.BucketID{1, 2, 3, 4, 5, 6, 7, 8}
	g := objects.Generation{Map: 1, Start: 7, Seq: 4711}
	room := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		room = PayloadKey(room[:0], id, "2026/11/22/photos/cat-0001.jpg", g)
	}
}
