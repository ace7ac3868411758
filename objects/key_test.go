package objects

import (
	"errors"
	"strings"
	"testing"
)

// Digests place keys on nodes, mountpaths and lanes: an on-disk format. The
// numbers come from a program of its own (Python, xxHash64 from its
// specification, seed 1103515245 from AIStore's).
func TestDigestVectors(t *testing.T) {
	bucket := func(provider, namespace, name string) Bucket {
		return Bucket{ID: BucketID{1}, Provider: provider, Namespace: namespace, Name: name}
	}
	for _, c := range []struct {
		key  Key
		want uint64
	}{
		{Key{bucket("ais", "", "photos"), "cat.jpg"}, 0x5b96d43e92c20791},
		{Key{bucket("ais", "", "photos"), "2026/cat.jpg"}, 0xf7def56192de01c0},
		{Key{bucket("ais", "u#n", "photos"), "cat.jpg"}, 0x6aa5ab13bca94a0e},
		{Key{bucket("aws", "", "photos"), "cat.jpg"}, 0x5278c257f34818ea},
		{Key{bucket("ais", "", "b"), ""}, 0xac528c57fb2da77a},
		{Key{bucket("ais", "", "b"), strings.Repeat("a", MaxNameBytes)}, 0xf33e23ffef26dc30},
		{Key{bucket("ais", "", "b"), "Köln/日本"}, 0x101fa0ef2407d8d9},
		{Key{bucket("ais", "", "b"), "\x00\xff"}, 0x9571c262557bd734},
	} {
		if got := c.key.Digest(); got != c.want {
			t.Errorf("%.40q: %#016x, want %#016x", c.key, got, c.want)
		}
		c.key.Bucket.ID = BucketID{2} // another life of the bucket lies in the same places
		if got := c.key.Digest(); got != c.want {
			t.Errorf("%.40q: the bucket's id changes the digest", c.key)
		}
	}
	for id, want := range map[string]uint64{
		"mp1": 0x3db316baa9f4e2f1, "mp4": 0xd10499abafa9d1b5, "node-a": 0x0be2af90a0187157, "t1": 0xc5444cb0fa9287ad,
	} {
		if got := DigestID(id); got != want {
			t.Errorf("id %q: %#016x, want %#016x", id, got, want)
		}
	}
}

// The digest is of the uname, as AIStore's clients compute it.
func TestUname(t *testing.T) {
	for want, b := range map[string]Bucket{
		"ais/@#/photos/":      {Provider: "ais", Name: "photos"},
		"ais/@u#n/photos/":    {Provider: "ais", Namespace: "u#n", Name: "photos"},
		"aws/@#/photos-2026/": {Provider: "aws", Name: "photos-2026"},
	} {
		if got := b.Uname(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Names that no object can have are told apart, since clients are.
func TestCheckName(t *testing.T) {
	for name, want := range map[string]error{
		"a": nil, strings.Repeat("a", 1024): nil, strings.Repeat("é", 512): nil, "../..": nil, "\x00": nil,
		"": ErrObjectName, "\xff": ErrObjectName, "a\xc3": ErrObjectName,
		strings.Repeat("a", 1025): ErrNameTooLong, strings.Repeat("é", 512) + "a": ErrNameTooLong,
	} {
		if err := CheckName(name); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%.40q: %v, want %v", name, err, want)
		}
	}
}
