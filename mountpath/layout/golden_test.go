package layout

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/erasure"
)

// rewrite makes the golden files anew. A change of one is a change of the format
// on the disks of everyone: it needs a version, not this flag.
var rewrite = flag.Bool("rewrite", false, "rewrite the golden files in testdata")

// golden are values with every field set, and values with none.
func golden() map[string]any {
	at := func(ns int64) time.Time { return time.Unix(0, ns).UTC() }
	g := func(seq uint64) objects.Generation { return objects.Generation{Map: 1, Start: 7, Seq: seq} }
	bucket := objects.Bucket{
		ID: objects.BucketID{0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7}, Provider: "ais", Namespace: "u#n", Name: "photos",
	}
	key := objects.Key{Bucket: bucket, Name: "2026/cat.jpg"}
	draft := objects.Draft{
		Headers: objects.Headers{
			ContentType: "image/jpeg", ContentEncoding: "identity", ContentDisposition: "inline", ContentLanguage: "en",
			CacheControl: "no-cache", Expires: "never", Redirect: "/x",
		},
		User:  []objects.Pair{{Name: "b", Value: "2"}, {Name: "a", Value: "K\xf6ln"}, {Name: "empty"}},
		Tags:  []objects.Pair{{Name: "project", Value: "archive"}},
		Class: objects.Relaxed, VersionID: "v1",
	}
	sums := []checksum.Value{
		{Algorithm: checksum.CRC64NVME, Sum: "12345678"},
		{Algorithm: checksum.SHA1, Type: checksum.Composite, Parts: 3, Sum: strings.Repeat("s", 20)},
	}
	part := objects.Part{
		Number: 3, Payload: g(9), Size: 5 << 20, XXHash: 0x0102030405060708, ETag: "9e107d9d372bb6826bd81d3542a419d6",
		Checksums: sums[:1], Modified: at(1_700_000_000_000_000_001),
	}
	record := &objects.Meta{
		Generation: g(4711), Payload: g(4710), Deleted: true, Where: objects.Chunks, Path: "photos/.troupe-escaped/aa/aa",
		Inode: 300, Birth: 1_600_000_000_000_000_000, Size: 15 << 20, XXHash: 0xffeeddccbbaa9988,
		ETag: "9e107d9d372bb6826bd81d3542a419d6-3", Checksums: sums, Modified: at(1_700_000_001_987_654_321),
		PartCount: 3, PartSize: 5 << 20, Draft: draft,
	}
	members := []objects.Member{{Node: 0x0123456789abcdef, Index: 0}, {Node: 0xfedcba9876543210, Index: 1}, {Node: 7, Index: 2}, {Node: 0x0123456789abcdef, Index: 3}}
	held := []objects.Member{{Node: 7, Index: 0, Holds: true}, {Node: 8, Index: 1, Holds: true}, {Node: 9, Index: 2}}
	sliced, whole := *record, *record
	sliced.Deleted, sliced.Where, sliced.Path, sliced.PartCount, sliced.PartSize = false, objects.Slices, "", 0, 0
	sliced.Slicing, sliced.Follows = &objects.Slicing{Data: 2, Parity: 2, CellBytes: 65536, Members: members}, g(4000)
	whole.Slicing = &objects.Slicing{Data: 2, Parity: 1, CellBytes: 65536, Whole: true, Members: held}
	wholePart := part
	wholePart.Whole = true
	return map[string]any{
		"record-sliced": &sliced, "record-whole": &whole, "record-follows": &objects.Meta{Deleted: true, Follows: g(4000)}, "part-whole": &wholePart,
		"upload-sliced": &objects.Upload{ID: "0123456789abcdef0123456789abcdef", Name: key.Name, Slicing: sliced.Slicing},
		"intent-slice": &Intent{
			Kind: IntentSlice, Key: key, Payload: g(4710), Begun: at(0), Indices: []uint8{0, 63, objects.WholeIndex},
			UploadID: "0123456789abcdef0123456789abcdef", Part: 10_000,
		},
		"reclaim-slices": &Reclaim{
			Kind: ReclaimSlices, Bucket: bucket.ID, Name: key.Name, Payload: g(4709), Bytes: 1 << 30, Previous: []byte("record"), Indices: []uint8{0, 3}, Settles: true,
		},
		"attribute-slice": &Attribute{
			Key: key, Payload: g(4710), Size: 3 << 20, XXHash: 0xffeeddccbbaa9988, ETag: "9e107d9d372bb6826bd81d3542a419d6",
			Modified: at(1_700_000_001_987_654_321), Draft: &draft, Form: erasure.Form{Data: 2, Parity: 1, CellBytes: 65536}, Index: 0, Sums: []uint64{1, 2, 0xffeeddccbbaa9988},
		},
		"attribute-whole": &Attribute{Key: key, Payload: g(4710), Size: 3, Form: erasure.Form{Data: 32, Parity: 32, CellBytes: 65536}, Index: objects.WholeIndex},
		"record":          record, "record-empty": new(objects.Meta), "record-writes": &objects.Meta{Size: 1, Writes: 300}, "record-unsettled": &objects.Meta{Size: 1, Unsettled: true},
		"part": &part, "part-empty": new(objects.Part),
		"parts": []objects.Part{part, {Number: 10_000}}, "parts-empty": []objects.Part(nil),
		"upload": &objects.Upload{
			ID: "0123456789abcdef0123456789abcdef", Name: key.Name, Initiated: at(1_700_000_000_000_000_000),
			Checksum: checksum.Wanted{Algorithm: checksum.SHA256, Type: checksum.Composite}, Draft: draft,
		},
		"upload-empty": new(objects.Upload),
		"intent": &Intent{
			Kind: IntentObject, Key: key, Payload: g(4710), Path: "photos/2026/cat.jpg",
			Begun: at(0), Draft: draft,
		},
		"intent-part": &Intent{
			Kind: IntentPart, Key: key, Payload: g(4712), Begun: at(0),
			UploadID: "0123456789abcdef0123456789abcdef", Part: 10_000,
		},
		"intent-import": &Intent{
			Kind: IntentImport, Key: key, Payload: g(4710), Path: "photos/2026/cat.jpg", Begun: at(0), Record: []byte("record"),
		},
		"intent-empty": new(Intent),
		"reclaim": &Reclaim{
			Kind: ReclaimUpload, Bucket: bucket.ID, Name: key.Name, Payload: g(4709), Path: "photos/2026/cat.jpg",
			UploadID: "0123456789abcdef0123456789abcdef", Part: 2, Bytes: 1 << 30,
			By: g(4711), Previous: []byte("record"), Sidecar: true,
		},
		"reclaim-empty": new(Reclaim),
		"attribute": &Attribute{
			Key: key, Payload: g(4710), Size: 3 << 20, XXHash: 0xffeeddccbbaa9988, ETag: "9e107d9d372bb6826bd81d3542a419d6",
			Checksums: sums, PartNumber: 3, UploadID: "0123456789abcdef0123456789abcdef", SupersededBy: g(4711), ByMarker: true,
			Modified: at(1_700_000_001_987_654_321), Draft: &draft, Sidecar: true,
			Wanted: checksum.Wanted{Algorithm: checksum.SHA256, Type: checksum.Composite}, Initiated: at(1_700_000_000_000_000_000),
		},
		"attribute-empty": new(Attribute),
		"mutation": &objects.Mutation{
			Kind: objects.MutationStored, At: at(1_700_000_001_987_654_321), Generation: g(4711), Size: 3 << 20, XXHash: 0xffeeddccbbaa9988,
			Origin: objects.Origin{Cause: objects.CauseWrite, Principal: "troupe", Request: "1F2E3D4C5B6A7988", Asked: "n2", Other: "n3"},
		},
		"mutation-unknown": &objects.Mutation{Kind: 200, At: at(0), Origin: objects.Origin{Cause: 201}},
		"mutation-empty":   new(objects.Mutation),
		"segment":          &Segment{Begun: at(1_700_000_000_000_000_000), Bytes: 16 << 20},
		"segment-empty":    new(Segment),
		"destroyedbucket":  &DestroyedBucket{Bucket: bucket, Destroyed: at(1_700_000_000_000_000_000)},
		"scrub": &Scrub{
			Cycle: 3, Begun: at(1_700_000_000_000_000_000), Ended: at(1_700_000_001_000_000_000), At: "o12345678cat", Bytes: 15 << 20,
			Payloads: 4, Skipped: 5, Found: 6, Remaining: 7, Counted: at(5),
		},
		"scrub-empty": new(Scrub),
		"scrubrange": &ScrubRange{
			Verified: []ScrubSpan{{End: "cat", At: at(1_700_000_000_000_000_000), Bytes: 15 << 20, Payloads: 4}},
			Former:   []ScrubSpan{{End: "dog", At: at(0), Bytes: 1, Payloads: 2}, {}}, Ahead: []ScrubSpan{{At: at(1), Bytes: 3}},
		},
		"damage": &Damage{
			Key: key, Payload: g(4710), UploadID: "0123456789abcdef0123456789abcdef", Part: 3, Reason: "1 byte", Found: at(7), Path: "photos/2026/cat.jpg",
		},
		"damage-empty": new(Damage),
		"format": &Format{
			Version: 1, ClusterID: "c1", NodeID: "n1", MountpathID: "mp1", IndexFormat: "pebble 24",
			Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		},
		"manifest": &Manifest{
			Key: key, UploadID: "0123456789abcdef0123456789abcdef", Payload: g(4710), Size: 15 << 20, XXHash: 0xffeeddccbbaa9988,
			ETag: "9e107d9d372bb6826bd81d3542a419d6-3", Checksums: sums, Modified: at(1_700_000_001_987_654_321),
			Draft: draft, Parts: []objects.Part{part},
		},
		"sidecar": &Sidecar{Key: key, UploadID: "0123456789abcdef0123456789abcdef", Payload: g(4710), Draft: draft},
		"rebuild": &Rebuild{Old: "index.old-20260102T030405Z", Begun: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
	}
}

// The format does not change by accident: each value's bytes are those of the
// golden file, and the file's bytes are still that value.
func TestGoldenValues(t *testing.T) {
	all := forms()
	for name, want := range golden() {
		var f form
		for _, f = range all {
			if kind, _, _ := strings.Cut(name, "-"); strings.EqualFold(f.name, kind) {
				break
			}
		}
		file, plain := filepath.Join("testdata", name+".hex"), false
		if !f.wire {
			file, plain = filepath.Join("testdata", name+".json"), true
		}
		b := f.encode(want)
		content := []byte(dump(b))
		if plain {
			content = b
		}
		compareGolden(t, file, content)
		stored, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !plain {
			stored = undump(t, stored)
		}
		got, err := f.decode(stored)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", file, err, got, want)
		}
	}
}

// Nor do the keys.
func TestGoldenKeys(t *testing.T) {
	b := objects.BucketID{0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7}
	g := objects.Generation{Map: 1, Start: 7, Seq: 4711}
	var out strings.Builder
	for _, name := range []string{"cat", "a\x00b", ""} {
		for _, key := range [][]byte{
			ObjectKey(nil, b, name), VersionKey(nil, b, name, g), PayloadKey(nil, b, name, g), UploadKey(nil, b, name, "id"),
			PartKey(nil, b, name, "id", 10_000), IntentKey(nil, b, name, g), ReclaimKey(nil, b, name, g),
			MutationKey(nil, 3, b, name, g),
		} {
			fmt.Fprintf(&out, "%x %q\n", key, key)
		}
	}
	for _, key := range [][]byte{SegmentKey(nil, 3), DestroyedKey(nil, b), ScrubKey(), ScrubRangeKey(b, KindUpload), DamageKey(g)} {
		fmt.Fprintf(&out, "%x %q\n", key, key)
	}
	compareGolden(t, filepath.Join("testdata", "keys.txt"), []byte(out.String()))
}

func compareGolden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: the format changed.\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

// dump writes 16 bytes a line, with their characters, so that a change is seen
// where it is.
func dump(b []byte) string { return hex.Dump(b) }

func undump(t *testing.T, text []byte) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		if len(line) > 60 {
			digits.WriteString(strings.ReplaceAll(line[10:58], " ", ""))
		}
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}
