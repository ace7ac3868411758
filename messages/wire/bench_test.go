package wire

import (
	"bytes"
	"encoding/gob"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
)

// usual is a record as clients make them.
func usual() *objects.Meta {
	return &objects.Meta{
		Generation: objects.Generation{Map: 17, Start: 3, Seq: 123456}, Payload: objects.Generation{Map: 17, Start: 3, Seq: 123455}, Unsettled: true,
		Where: objects.Inline, Size: 4096, XXHash: 0x9f2c11d041aa03be, ETag: "9e107d9d372bb6826bd81d3542a419d6", Modified: time.Unix(1_700_000_000, 5).UTC(), Writes: 2,
		Draft: objects.Draft{Headers: objects.Headers{ContentType: "image/jpeg"}, User: []objects.Pair{{Name: "camera", Value: "a box"}}, Class: objects.Synced},
	}
}

// What a record costs on its way between nodes, written and read: as a message, and as
// it was before, in encoding/gob (docs/decisions/009).
//
//	go test ./messages/wire -run '^$' -bench Record
func BenchmarkRecord(b *testing.B) {
	meta := usual()
	b.Run("protobuf", func(b *testing.B) {
		b.ReportAllocs()
		var size int
		for b.Loop() {
			bytes, err := Append(nil, &StoreQuestion{
				About: &About{Bucket: "photos", Document: 7, Id: make([]byte, 8)}, Epoch: &Epoch{Map: 17, Document: 7}, Name: []byte("2026/11/cat.jpg"), Record: RecordOf(meta),
			})
			if err != nil {
				b.Fatal(err)
			}
			var q StoreQuestion
			if err := Decode(bytes, &q); err != nil {
				b.Fatal(err)
			}
			if _, err := q.Record.Meta(); err != nil {
				b.Fatal(err)
			}
			size = len(bytes)
		}
		b.ReportMetric(float64(size), "bytes")
	})
	b.Run("gob", func(b *testing.B) {
		type question struct {
			Bucket             string
			Document, Map, Key uint64
			ID                 objects.BucketID
			Name               string
			Record             objects.Meta
		}
		b.ReportAllocs()
		var size int
		for b.Loop() {
			var buffer bytes.Buffer
			if err := gob.NewEncoder(&buffer).Encode(&question{"photos", 7, 17, 7, objects.BucketID{}, "2026/11/cat.jpg", *meta}); err != nil {
				b.Fatal(err)
			}
			size = buffer.Len()
			var q question
			if err := gob.NewDecoder(&buffer).Decode(&q); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(size), "bytes")
	})
}
