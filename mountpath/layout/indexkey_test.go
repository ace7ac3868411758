package layout

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// identity is what a key says, and by which keys of a kind are ordered.
type identity struct {
	bucket     objects.BucketID
	name       string
	uploadID   string             // 'u'
	part       int                // 'u'
	generation objects.Generation // the others but 'o'
}

func (a identity) compare(b identity, newestFirst bool) int {
	order := a.generation.Compare(b.generation)
	if newestFirst {
		order = -order
	}
	return cmp.Or(bytes.Compare(a.bucket[:], b.bucket[:]), strings.Compare(a.name, b.name),
		strings.Compare(a.uploadID, b.uploadID), cmp.Compare(a.part, b.part), order)
}

func identities() *rapid.Generator[identity] {
	return rapid.Custom(func(t *rapid.T) identity {
		return identity{
			bucket: bucketIDs().Draw(t, "bucket"), name: keyNames().Draw(t, "name"),
			uploadID: keyNames().Draw(t, "upload"), part: rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 1<<32-1)).Draw(t, "part"),
			generation: generations().Draw(t, "generation"),
		}
	})
}

// keyForm is one kind of key.
type keyForm struct {
	kind        byte
	newestFirst bool
	only        func(identity) identity // without what this kind does not say
	append      func([]byte, identity) []byte
	parse       func([]byte) (identity, error)
}

func keyForms() []keyForm {
	withGeneration := func(
		kind byte, newestFirst bool,
		write func([]byte, objects.BucketID, string, objects.Generation) []byte,
		parse func([]byte) (objects.BucketID, string, objects.Generation, error),
	) keyForm {
		return keyForm{
			kind: kind, newestFirst: newestFirst,
			only: func(i identity) identity {
				return identity{bucket: i.bucket, name: i.name, generation: i.generation}
			},
			append: func(dst []byte, i identity) []byte { return write(dst, i.bucket, i.name, i.generation) },
			parse: func(key []byte) (i identity, err error) {
				i.bucket, i.name, i.generation, err = parse(key)
				return i, err
			},
		}
	}
	return []keyForm{
		{
			kind:   KindObject,
			only:   func(i identity) identity { return identity{bucket: i.bucket, name: i.name} },
			append: func(dst []byte, i identity) []byte { return ObjectKey(dst, i.bucket, i.name) },
			parse: func(key []byte) (i identity, err error) {
				i.bucket, i.name, err = ParseObjectKey(key)
				return i, err
			},
		},
		withGeneration(KindVersion, true, VersionKey, ParseVersionKey),
		withGeneration(KindPayload, false, PayloadKey, ParsePayloadKey),
		withGeneration(KindIntent, false, IntentKey, ParseIntentKey),
		withGeneration(KindReclaim, false, ReclaimKey, ParseReclaimKey),
		{
			kind: KindUpload,
			only: func(i identity) identity {
				return identity{bucket: i.bucket, name: i.name, uploadID: i.uploadID, part: i.part}
			},
			append: func(dst []byte, i identity) []byte { return PartKey(dst, i.bucket, i.name, i.uploadID, i.part) },
			parse: func(key []byte) (i identity, err error) {
				i.bucket, i.name, i.uploadID, i.part, err = ParseUploadKey(key)
				return i, err
			},
		},
	}
}

func eachKeyForm(t *testing.T, test func(t *testing.T, f keyForm)) {
	for _, f := range keyForms() {
		t.Run(string(f.kind), func(t *testing.T) { test(t, f) })
	}
}

// A scan of a kind meets buckets, names, uploads, parts and generations in their
// order, the newest version first; and different things have different keys.
func TestKeysSortAsWhatTheySay(t *testing.T) {
	eachKeyForm(t, func(t *testing.T, f keyForm) {
		rapid.Check(t, func(t *rapid.T) {
			a := f.only(identities().Draw(t, "a"))
			b := f.only(identities().Draw(t, "b"))
			if rapid.Bool().Draw(t, "same bucket") {
				b.bucket = a.bucket
				if rapid.Bool().Draw(t, "same name") {
					b.name = a.name
				}
			}
			keyA, keyB := f.append(nil, a), f.append(nil, b)
			if got, want := bytes.Compare(keyA, keyB), a.compare(b, f.newestFirst); got != want {
				t.Fatalf("%+v and %+v: keys compare %d, want %d\n% x\n% x", a, b, got, want, keyA, keyB)
			}
		})
	})
}

// The control of the test above: with names unescaped, as an ending 00 alone
// would do it, some pairs sort wrongly, and the generator finds them.
func TestNamesWithoutEscapingWouldSortWrongly(t *testing.T) {
	wrong := 0
	names := keyNames()
	for seed := range 20_000 {
		a, b := names.Example(2*seed), names.Example(2*seed+1)
		plain := func(name string, next byte) []byte { return append([]byte(name), 0, next) }
		if a != b && bytes.Compare(plain(a, 0xff), plain(b, 0)) != strings.Compare(a, b) {
			wrong++
		}
	}
	if wrong == 0 {
		t.Fatal("no pair of names needs the escaping: the generator is too tame")
	}
}

// What a key says is read back, and ends up in nobody else's range.
func TestKeysComeBack(t *testing.T) {
	eachKeyForm(t, func(t *testing.T, f keyForm) {
		rapid.Check(t, func(t *rapid.T) {
			want := f.only(identities().Draw(t, "identity"))
			if rapid.Bool().Draw(t, "any name") {
				want.name = texts().Draw(t, "name")
			}
			key := f.append([]byte("before"), want)[len("before"):]
			got, err := f.parse(key)
			if err != nil || got != want {
				t.Fatalf("got %+v, %v, want %+v", got, err, want)
			}
			for _, other := range keyForms() {
				if _, err := other.parse(key); (err == nil) != (other.kind == f.kind) {
					t.Fatalf("a key of %q read as one of %q: %v", f.kind, other.kind, err)
				}
			}
		})
	})
	key := ObjectKey(nil, objects.BucketID{1}, "photos/cat.jpg")
	if name := ObjectName(key); string(name) != "photos/cat.jpg" || &name[0] != &key[9] {
		t.Fatalf("the name in the key is %q", name)
	}
	if name := ObjectName(key[:8]); name != nil {
		t.Fatalf("a name in half a key: %q", name)
	}
}

// Keys that nothing here wrote are refused, each for its reason.
func TestBadKeysAreRefused(t *testing.T) {
	bucket := objects.BucketID{1, 2}
	intent := IntentKey(nil, bucket, "a", objects.Generation{Seq: 1})
	upload := PartKey(nil, bucket, "a", "b", 1)
	parsers := map[byte]func([]byte) error{
		'i': func(key []byte) error { _, _, _, err := ParseIntentKey(key); return err },
		'u': func(key []byte) error { _, _, _, _, err := ParseUploadKey(key); return err },
		'o': func(key []byte) error { _, _, err := ParseObjectKey(key); return err },
	}
	for name, c := range map[string]struct {
		kind byte
		key  []byte
	}{
		"empty": {'i', nil}, "kind only": {'o', []byte("o")}, "short bucket": {'o', []byte("o1234567")},
		"other kind":          {'o', intent},
		"no end of name":      {'i', append(appendHead(nil, 'i', bucket), "name"...)},
		"00 at the very end":  {'i', append(appendHead(nil, 'i', bucket), 'a', 0)},
		"00 02":               {'i', append(appendHead(nil, 'i', bucket), 'a', 0, 2, 'b', 0, 1)},
		"short generation":    {'i', intent[:len(intent)-1]},
		"long generation":     {'i', append(bytes.Clone(intent), 0)},
		"short part":          {'u', upload[:len(upload)-1]},
		"long part":           {'u', append(bytes.Clone(upload), 0)},
		"no end of upload id": {'u', upload[:len(upload)-6]},
	} {
		if err := parsers[c.kind](c.key); !errs.Is(errs.Corrupt, err) {
			t.Errorf("%s: %v, want corrupt", name, err)
		}
	}
	for kind, key := range map[byte][]byte{'i': intent, 'u': upload, 'o': ObjectKey(nil, bucket, "")} {
		if err := parsers[kind](key); err != nil {
			t.Errorf("control: %v", err)
		}
	}
}

// Ranges hold exactly their keys: destroying a bucket, settling a name or
// dropping an upload takes nothing of a neighbour and leaves nothing behind.
func TestBoundsHoldExactlyTheirKeys(t *testing.T) {
	within := func(key, lower, upper []byte) bool {
		return bytes.Compare(key, lower) >= 0 && (upper == nil || bytes.Compare(key, upper) < 0)
	}
	rapid.Check(t, func(t *rapid.T) {
		forms := keyForms()
		f := forms[rapid.IntRange(0, len(forms)-1).Draw(t, "form")]
		i, other := f.only(identities().Draw(t, "i")), f.only(identities().Draw(t, "other"))
		if rapid.Bool().Draw(t, "same bucket") {
			other.bucket = i.bucket
		}
		if rapid.Bool().Draw(t, "same name") {
			other.name = i.name
		}
		for _, g := range forms { // keys of every kind against the range of one
			key := g.append(nil, g.only(other))
			lower, upper := BucketBounds(f.kind, i.bucket)
			if got, want := within(key, lower, upper), g.kind == f.kind && other.bucket == i.bucket; got != want {
				t.Fatalf("bucket range of %+v holds %q: %v, want %v", i, key, got, want)
			}
			if f.kind == KindObject {
				continue
			}
			lower, upper = NameBounds(f.kind, i.bucket, i.name)
			sameName := g.kind == f.kind && other.bucket == i.bucket && other.name == i.name
			if got := within(key, lower, upper); got != sameName {
				t.Fatalf("name range of %+v holds %q: %v, want %v", i, key, got, sameName)
			}
			if f.kind == KindUpload && g.kind == KindUpload {
				lower, upper = UploadBounds(i.bucket, i.name, i.uploadID)
				if got, want := within(key, lower, upper), sameName && other.uploadID == i.uploadID; got != want {
					t.Fatalf("upload range of %+v holds %q: %v, want %v", i, key, got, want)
				}
			}
		}
	})
}

// An upload comes before its parts, and parts in the order of their numbers.
func TestPartsFollowTheirUpload(t *testing.T) {
	bucket := objects.BucketID{9}
	keys := [][]byte{UploadKey(nil, bucket, "a", "id")}
	for number := 1; number <= 10_000; number++ {
		keys = append(keys, PartKey(nil, bucket, "a", "id", number))
	}
	if !slices.IsSortedFunc(keys, bytes.Compare) {
		t.Fatal("not in order")
	}
}

// PrefixEnd is above everything with the prefix and below everything else above.
func TestPrefixEnd(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a", "b"}, {"a\xff", "b"}, {"a\xff\xff", "b"}, {"ab", "ac"}, {"\x00", "\x01"},
	} {
		if got := PrefixEnd([]byte(c.in)); string(got) != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
	for _, none := range []string{"", "\xff", "\xff\xff"} {
		if got := PrefixEnd([]byte(none)); got != nil {
			t.Errorf("%q: %q, want none", none, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		prefix := []byte(keyNames().Draw(t, "prefix"))
		before := bytes.Clone(prefix)
		key := []byte(keyNames().Draw(t, "key"))
		end := PrefixEnd(prefix)
		if !bytes.Equal(prefix, before) {
			t.Fatal("the prefix was changed")
		}
		inside := bytes.Compare(key, prefix) >= 0 && (end == nil || bytes.Compare(key, end) < 0)
		if inside != bytes.HasPrefix(key, prefix) {
			t.Fatalf("%q in [%q, %q) is %v", key, prefix, end, inside)
		}
	})
}

// A part that the format cannot hold is a fault of the program.
func TestPartBeyondTheFormatPanics(t *testing.T) {
	for _, number := range []int{-1, 1 << 32} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("part %d got a key", number)
				}
			}()
			PartKey(nil, objects.BucketID{}, "a", "b", number)
		}()
	}
}
