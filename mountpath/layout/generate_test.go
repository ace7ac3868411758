package layout

import (
	"math"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/slab"
)

// Generators of everything that has a form on disk. They favour what breaks
// formats: empty and enormous, zero and extreme, bytes that are no UTF-8.

func bucketIDs() *rapid.Generator[objects.BucketID] {
	return rapid.Custom(func(t *rapid.T) (id objects.BucketID) {
		switch rapid.IntRange(0, 3).Draw(t, "form of id") {
		case 0: // neighbours, to test order
			id[7] = rapid.ByteRange(0, 2).Draw(t, "id")
		case 1:
			for i := range id {
				id[i] = 0xff
			}
		default:
			copy(id[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "id"))
		}
		return id
	})
}

func generations() *rapid.Generator[objects.Generation] {
	number := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64(), rapid.Just(uint64(math.MaxUint64)))
	return rapid.Custom(func(t *rapid.T) objects.Generation {
		return objects.Generation{Map: number.Draw(t, "map"), Start: number.Draw(t, "start"), Seq: number.Draw(t, "seq")}
	})
}

// texts are what clients send: anything.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.Just(""),
		rapid.String(),
		rapid.StringMatching(`[a-z0-9-]{1,40}`),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.Map(rapid.IntRange(100, 300), func(n int) string { return strings.Repeat("x", n) }),
	)
}

// keyNames are names that sort close together: few letters, among them 00 and
// those that escaping uses.
func keyNames() *rapid.Generator[string] {
	letters := rapid.SampledFrom([]byte{0x00, 0x01, 0x02, 'a', 'b', '/', 0xfe, 0xff})
	return rapid.Map(rapid.SliceOfN(letters, 0, 6), func(b []byte) string { return string(b) })
}

// hostileNames are names that try to leave where they belong.
func hostileNames() *rapid.Generator[string] {
	components := rapid.OneOf(
		rapid.SampledFrom([]string{
			"", ".", "..", "...", "a", "b", "\x00", "a\x00", " ", "~", "-", "*", "\\", "..\\", "\n", "%2e%2e", "%2f",
			EscapeDir, EscapeDir + "x", Private, "index", "work", "parts", "trash", "buckets", "manifest.json", "photos",
			"\u00e9", "e\u0301", "\u2024\u2024", "\uff0e\uff0e", "\u202e", "\xff\xfe", "\xc0\xaf", "con", "CON",
			strings.Repeat("x", 254), strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat("\u00e9", 128),
			strings.Repeat("f", 64), strings.Repeat("x", 1024),
		}),
		rapid.String(),
	)
	return rapid.Custom(func(t *rapid.T) string {
		name := strings.Join(rapid.SliceOfN(components, 1, 6).Draw(t, "components"), "/")
		return name[:min(len(name), rapid.SampledFrom([]int{objects.MaxNameBytes, 5000}).Draw(t, "limit"))]
	})
}

func buckets() *rapid.Generator[objects.Bucket] {
	return rapid.Custom(func(t *rapid.T) objects.Bucket {
		return objects.Bucket{
			ID:        bucketIDs().Draw(t, "bucket id"),
			Provider:  rapid.SampledFrom([]string{objects.ProviderAIS, objects.ProviderAIS, "aws", ""}).Draw(t, "provider"),
			Namespace: rapid.SampledFrom([]string{"", "", "uuid#name", "#x"}).Draw(t, "namespace"),
			Name:      rapid.SampledFrom([]string{"photos", "b", "my-bucket.x", ".sys-inventory", "..", "", Private, "a/b", "\x00"}).Draw(t, "bucket"),
		}
	})
}

func keys() *rapid.Generator[objects.Key] {
	return rapid.Custom(func(t *rapid.T) objects.Key {
		return objects.Key{Bucket: buckets().Draw(t, "bucket"), Name: texts().Draw(t, "name")}
	})
}

// times are what a format keeps: nanoseconds since 1970 in 64 bits, and none.
func times() *rapid.Generator[time.Time] {
	return rapid.OneOf(
		rapid.Just(time.Time{}),
		rapid.Just(time.Unix(0, 0).UTC()),
		rapid.Map(rapid.Int64(), func(ns int64) time.Time { return time.Unix(0, ns).UTC() }),
	)
}

func integers() *rapid.Generator[int64] {
	return rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 1<<40), rapid.Int64())
}

func digests() *rapid.Generator[uint64] { return rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()) }

func checksums() *rapid.Generator[[]checksum.Value] {
	one := rapid.Custom(func(t *rapid.T) checksum.Value {
		return checksum.Value{
			Algorithm: checksum.Algorithm(rapid.OneOf(rapid.ByteRange(0, 5), rapid.Byte()).Draw(t, "algorithm")),
			Type:      checksum.Type(rapid.ByteRange(0, 1).Draw(t, "type")),
			Parts:     rapid.IntRange(0, 10_000).Draw(t, "parts"),
			Sum:       texts().Draw(t, "sum"),
		}
	})
	return listsOf(one)
}

// listsOf makes lists as decoding returns them: nil, never empty.
func listsOf[T any](one *rapid.Generator[T]) *rapid.Generator[[]T] {
	return rapid.Map(rapid.SliceOfN(one, 0, 4), func(list []T) []T {
		if len(list) == 0 {
			return nil
		}
		return list
	})
}

// s3Checksums are those that S3 has a form for.
func s3Checksums() *rapid.Generator[[]checksum.Value] {
	return listsOf(rapid.Custom(func(t *rapid.T) checksum.Value {
		v := checksum.Value{Algorithm: rapid.SampledFrom(checksum.Algorithms()).Draw(t, "algorithm")}
		n := v.Algorithm.Size()
		v.Sum = string(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "sum"))
		if rapid.Bool().Draw(t, "composite") {
			v.Type, v.Parts = checksum.Composite, rapid.IntRange(1, 10_000).Draw(t, "parts")
		}
		return v
	}))
}

func drafts() *rapid.Generator[objects.Draft] {
	pairs := listsOf(rapid.Custom(func(t *rapid.T) objects.Pair {
		return objects.Pair{Name: texts().Draw(t, "name"), Value: texts().Draw(t, "value")}
	}))
	return rapid.Custom(func(t *rapid.T) objects.Draft {
		return objects.Draft{
			Headers: objects.Headers{
				ContentType: texts().Draw(t, "type"), ContentEncoding: texts().Draw(t, "encoding"),
				ContentDisposition: texts().Draw(t, "disposition"), ContentLanguage: texts().Draw(t, "language"),
				CacheControl: texts().Draw(t, "cache"), Expires: texts().Draw(t, "expires"), Redirect: texts().Draw(t, "redirect"),
			},
			User:      pairs.Draw(t, "user"),
			Tags:      pairs.Draw(t, "tags"),
			Class:     rapid.SampledFrom([]objects.Durability{"", objects.Synced, objects.Relaxed, "later"}).Draw(t, "class"),
			VersionID: texts().Draw(t, "version id"),
		}
	})
}

// slicings are those that can be, and none.
func slicings() *rapid.Generator[*objects.Slicing] {
	return rapid.Custom(func(t *rapid.T) *objects.Slicing {
		if rapid.Bool().Draw(t, "not sliced") {
			return nil
		}
		s := &objects.Slicing{
			Data: rapid.IntRange(1, objects.MaxDataSlices).Draw(t, "data"), Parity: rapid.IntRange(1, objects.MaxParitySlices).Draw(t, "parity"),
			CellBytes: rapid.SampledFrom([]int{1, erasure.CellBytes, math.MaxInt32}).Draw(t, "cell"), Whole: rapid.Bool().Draw(t, "whole"),
		}
		for index := range s.Width() {
			for range rapid.IntRange(0, 2).Draw(t, "nodes") {
				s.Members = append(s.Members, objects.Member{Node: digests().Draw(t, "node"), Index: uint8(index), Holds: rapid.Bool().Draw(t, "holds")})
			}
		}
		slices.SortFunc(s.Members, objects.Member.Compare)
		s.Members = slices.CompactFunc(s.Members, func(a, b objects.Member) bool { return a.Compare(b) == 0 })
		return s
	})
}

// forms of slices, and none.
func erasureForms() *rapid.Generator[erasure.Form] {
	return rapid.Custom(func(t *rapid.T) erasure.Form {
		if rapid.Bool().Draw(t, "no slice") {
			return erasure.Form{}
		}
		return erasure.Form{
			Data: rapid.IntRange(1, erasure.MaxData).Draw(t, "data"), Parity: rapid.IntRange(1, erasure.MaxParity).Draw(t, "parity"),
			CellBytes: rapid.IntRange(erasure.MinCellBytes, slab.Bytes).Draw(t, "cell"),
		}
	})
}

func metas() *rapid.Generator[*objects.Meta] {
	return rapid.Custom(func(t *rapid.T) *objects.Meta {
		return &objects.Meta{
			Generation: generations().Draw(t, "generation"),
			Payload:    generations().Draw(t, "payload"),
			Deleted:    rapid.Bool().Draw(t, "deleted"),
			Where:      objects.Where(rapid.Byte().Draw(t, "where")),
			Path:       texts().Draw(t, "path"),
			Inode:      digests().Draw(t, "inode"),
			Birth:      integers().Draw(t, "birth"),
			Size:       integers().Draw(t, "size"),
			XXHash:     digests().Draw(t, "xxhash"),
			ETag:       texts().Draw(t, "etag"),
			Checksums:  checksums().Draw(t, "checksums"),
			Modified:   times().Draw(t, "modified"),
			PartCount:  int(integers().Draw(t, "part count")),
			PartSize:   integers().Draw(t, "part size"),
			Writes:     digests().Draw(t, "writes"),
			Unsettled:  rapid.Bool().Draw(t, "unsettled"),
			Draft:      drafts().Draw(t, "draft"),
			Slicing:    slicings().Draw(t, "slicing"),
			Follows:    generations().Draw(t, "follows"),
		}
	})
}

func parts() *rapid.Generator[*objects.Part] {
	return rapid.Custom(func(t *rapid.T) *objects.Part {
		return &objects.Part{
			Number:    int(integers().Draw(t, "number")),
			Payload:   generations().Draw(t, "payload"),
			Size:      integers().Draw(t, "size"),
			XXHash:    digests().Draw(t, "xxhash"),
			ETag:      texts().Draw(t, "etag"),
			Checksums: checksums().Draw(t, "checksums"),
			Modified:  times().Draw(t, "modified"),
			Whole:     rapid.Bool().Draw(t, "whole"),
		}
	})
}

func uploads() *rapid.Generator[*objects.Upload] {
	return rapid.Custom(func(t *rapid.T) *objects.Upload {
		return &objects.Upload{
			ID: texts().Draw(t, "id"), Name: texts().Draw(t, "name"), Initiated: times().Draw(t, "initiated"),
			Checksum: checksum.Wanted{
				Algorithm: checksum.Algorithm(rapid.Byte().Draw(t, "algorithm")),
				Type:      checksum.Type(rapid.Byte().Draw(t, "type")),
			},
			Draft:   drafts().Draw(t, "draft"),
			Slicing: slicings().Draw(t, "slicing"),
		}
	})
}

func intents() *rapid.Generator[*Intent] {
	return rapid.Custom(func(t *rapid.T) *Intent {
		return &Intent{
			Kind: IntentKind(rapid.Byte().Draw(t, "kind")), Key: keys().Draw(t, "key"),
			Payload: generations().Draw(t, "payload"), Path: texts().Draw(t, "path"),
			Begun: times().Draw(t, "begun"), Draft: drafts().Draw(t, "draft"),
			UploadID: texts().Draw(t, "upload"), Part: int(integers().Draw(t, "part")), Record: optionalBytes(t, "record"), Indices: optionalBytes(t, "indices"),
		}
	})
}

func reclaims() *rapid.Generator[*Reclaim] {
	return rapid.Custom(func(t *rapid.T) *Reclaim {
		return &Reclaim{
			Kind: ReclaimKind(rapid.Byte().Draw(t, "kind")), Bucket: bucketIDs().Draw(t, "bucket"),
			Name: texts().Draw(t, "name"), Payload: generations().Draw(t, "payload"), Path: texts().Draw(t, "path"),
			UploadID: texts().Draw(t, "upload"), Part: int(integers().Draw(t, "part")),
			Bytes: integers().Draw(t, "bytes"), By: generations().Draw(t, "by"), Previous: optionalBytes(t, "previous"),
			Sidecar: rapid.Bool().Draw(t, "sidecar"), Indices: optionalBytes(t, "indices"), Settles: rapid.Bool().Draw(t, "settles"),
		}
	})
}

func mutations() *rapid.Generator[*objects.Mutation] {
	return rapid.Custom(func(t *rapid.T) *objects.Mutation {
		return &objects.Mutation{
			Kind: objects.MutationKind(rapid.Byte().Draw(t, "kind")), At: times().Draw(t, "at"), Generation: generations().Draw(t, "generation"),
			Size: integers().Draw(t, "size"), XXHash: digests().Draw(t, "xxhash"),
			Origin: objects.Origin{
				Cause: objects.Cause(rapid.Byte().Draw(t, "cause")), Principal: texts().Draw(t, "principal"), Request: texts().Draw(t, "request"),
				Asked: texts().Draw(t, "asked"), Other: texts().Draw(t, "other"),
			},
		}
	})
}

func segments() *rapid.Generator[*Segment] {
	return rapid.Custom(func(t *rapid.T) *Segment {
		return &Segment{Begun: times().Draw(t, "begun"), Bytes: integers().Draw(t, "bytes")}
	})
}

func destroyedBuckets() *rapid.Generator[*DestroyedBucket] {
	return rapid.Custom(func(t *rapid.T) *DestroyedBucket {
		return &DestroyedBucket{Bucket: keys().Draw(t, "key").Bucket, Destroyed: times().Draw(t, "destroyed")}
	})
}

// optionalBytes draws bytes as they are read back: nil if there are none.
func optionalBytes(t *rapid.T, label string) []byte {
	b := rapid.SliceOf(rapid.Byte()).Draw(t, label)
	if len(b) == 0 {
		return nil
	}
	return b
}

func attributes() *rapid.Generator[*Attribute] {
	return rapid.Custom(func(t *rapid.T) *Attribute {
		var draft *objects.Draft
		if d := drafts().Draw(t, "draft"); len(appendDraft(nil, attributeDraft, &d)) > 0 {
			draft = &d // an empty one is read back as none
		}
		form := erasureForms().Draw(t, "form")
		var index uint8
		var sums []uint64
		if width := form.Slices(); width > 0 {
			index = rapid.OneOf(rapid.ByteRange(0, uint8(width-1)), rapid.Just[uint8](objects.WholeIndex)).Draw(t, "index")
			if rapid.Bool().Draw(t, "was sliced") {
				sums = rapid.SliceOfN(digests(), width, width).Draw(t, "sums")
			}
		}
		return &Attribute{
			Form: form, Index: index, Sums: sums,
			Key: keys().Draw(t, "key"), Payload: generations().Draw(t, "payload"),
			Size: integers().Draw(t, "size"), XXHash: digests().Draw(t, "xxhash"), ETag: texts().Draw(t, "etag"),
			Checksums: checksums().Draw(t, "checksums"), PartNumber: int(integers().Draw(t, "part")),
			UploadID: texts().Draw(t, "upload"), SupersededBy: generations().Draw(t, "superseded"),
			ByMarker: rapid.Bool().Draw(t, "marker"), Modified: times().Draw(t, "modified"), Draft: draft,
			Sidecar: rapid.Bool().Draw(t, "sidecar"), Initiated: times().Draw(t, "initiated"),
			Wanted: checksum.Wanted{
				Algorithm: checksum.Algorithm(rapid.ByteRange(0, 5).Draw(t, "algorithm")), Type: checksum.Type(rapid.ByteRange(0, 1).Draw(t, "type")),
			},
		}
	})
}

func manifests() *rapid.Generator[*Manifest] {
	// A manifest is read by people too: its times are those that RFC 3339 has.
	some := rapid.Map(rapid.Int64Range(0, 4e18), func(ns int64) time.Time { return time.Unix(0, ns).UTC() })
	part := rapid.Custom(func(t *rapid.T) objects.Part {
		return objects.Part{
			Number: rapid.IntRange(1, 10_000).Draw(t, "number"), Payload: generations().Draw(t, "payload"),
			Size: integers().Draw(t, "size"), XXHash: digests().Draw(t, "xxhash"), ETag: texts().Draw(t, "etag"),
			Checksums: s3Checksums().Draw(t, "checksums"), Modified: some.Draw(t, "modified"),
		}
	})
	return rapid.Custom(func(t *rapid.T) *Manifest {
		return &Manifest{
			Key: objects.Key{
				Bucket: objects.Bucket{ID: bucketIDs().Draw(t, "id"), Provider: "ais", Namespace: "uuid#ns", Name: "photos"},
				Name:   texts().Draw(t, "name"),
			},
			UploadID: texts().Draw(t, "upload"), Payload: generations().Draw(t, "payload"),
			Size: integers().Draw(t, "size"), XXHash: digests().Draw(t, "xxhash"), ETag: texts().Draw(t, "etag"),
			Checksums: s3Checksums().Draw(t, "checksums"), Modified: some.Draw(t, "modified"),
			Draft: drafts().Draw(t, "draft"), Parts: listsOf(part).Draw(t, "parts"),
		}
	})
}

func sidecars() *rapid.Generator[*Sidecar] {
	return rapid.Custom(func(t *rapid.T) *Sidecar {
		return &Sidecar{
			Key: objects.Key{
				Bucket: objects.Bucket{ID: bucketIDs().Draw(t, "id"), Provider: "ais", Namespace: "uuid#ns", Name: "photos"},
				Name:   texts().Draw(t, "name"),
			},
			UploadID: texts().Draw(t, "upload"), Payload: generations().Draw(t, "payload"), Draft: drafts().Draw(t, "draft"),
		}
	})
}

func rebuilds() *rapid.Generator[*Rebuild] {
	return rapid.Custom(func(t *rapid.T) *Rebuild {
		return &Rebuild{Old: rapid.String().Draw(t, "old"), Begun: time.Unix(0, rapid.Int64Range(0, 4e18).Draw(t, "begun")).UTC()}
	})
}

func formats() *rapid.Generator[*Format] {
	return rapid.Custom(func(t *rapid.T) *Format {
		return &Format{
			Version: FormatVersion, ClusterID: rapid.String().Draw(t, "cluster"), NodeID: rapid.String().Draw(t, "node"),
			MountpathID: rapid.StringMatching(`[a-z0-9]{1,12}`).Draw(t, "mountpath"),
			IndexFormat: rapid.String().Draw(t, "index"),
			Created:     time.Unix(0, rapid.Int64Range(0, 4e18).Draw(t, "created")).UTC(),
		}
	})
}

func scrubs() *rapid.Generator[*Scrub] {
	return rapid.Custom(func(t *rapid.T) *Scrub {
		return &Scrub{
			Cycle: rapid.Uint64().Draw(t, "cycle"), Begun: times().Draw(t, "begun"), Ended: times().Draw(t, "ended"), At: texts().Draw(t, "at"),
			Bytes: integers().Draw(t, "bytes"), Payloads: integers().Draw(t, "payloads"),
			Skipped: integers().Draw(t, "skipped"), Found: integers().Draw(t, "found"), Remaining: integers().Draw(t, "remaining"),
			Counted: times().Draw(t, "counted"),
		}
	})
}

func scrubRanges() *rapid.Generator[*ScrubRange] {
	span := rapid.Custom(func(t *rapid.T) ScrubSpan {
		return ScrubSpan{End: texts().Draw(t, "end"), At: times().Draw(t, "at"), Bytes: integers().Draw(t, "bytes"), Payloads: integers().Draw(t, "payloads")}
	})
	return rapid.Custom(func(t *rapid.T) *ScrubRange {
		return &ScrubRange{Verified: listsOf(span).Draw(t, "verified"), Former: listsOf(span).Draw(t, "former"), Ahead: listsOf(span).Draw(t, "ahead")}
	})
}

func damages() *rapid.Generator[*Damage] {
	return rapid.Custom(func(t *rapid.T) *Damage {
		return &Damage{
			Key: keys().Draw(t, "key"), Payload: generations().Draw(t, "payload"), UploadID: texts().Draw(t, "upload"), Part: int(integers().Draw(t, "part")),
			Reason: texts().Draw(t, "reason"), Found: times().Draw(t, "found"), Path: texts().Draw(t, "path"),
		}
	})
}
