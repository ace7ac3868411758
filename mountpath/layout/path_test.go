package layout

import (
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
)

// Whatever a bucket and an object are called, their paths stay in the bucket's
// directory, hold nothing that a filesystem treats specially, and mean the same
// to everyone who cleans paths.
func TestPathsStayInTheBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, name := buckets().Draw(t, "bucket"), hostileNames().Draw(t, "name")
		dir := BucketDir(b)
		if dir == Private || !strings.HasPrefix(dir, BucketsDir+"/") && (strings.Contains(dir, "/") || dir != b.Name) {
			t.Fatalf("the directory of bucket %q is %q", b.Name, dir)
		}
		paths := []string{EscapedPath(b, name)}
		if natural, ok := NaturalPath(b, name); ok {
			if natural != dir+"/"+name {
				t.Fatalf("the natural path of %q is %q", name, natural)
			}
			paths = append(paths, natural)
		}
		for _, p := range paths {
			checkPath(t, p)
			if !strings.HasPrefix(p, dir+"/") {
				t.Fatalf("%q leaves %q", p, dir)
			}
		}
	})
}

// checkPath fails for a path that a filesystem cannot hold, or takes elsewhere.
func checkPath(t interface{ Fatalf(string, ...any) }, p string) {
	if len(p) > MaxPathBytes || path.Clean(p) != p || path.IsAbs(p) || strings.IndexByte(p, 0) >= 0 {
		t.Fatalf("path %q", p)
	}
	for component := range strings.SplitSeq(p, "/") {
		if component == "" || component == "." || component == ".." || len(component) > 255 {
			t.Fatalf("component %q of %q", component, p)
		}
	}
}

// Two different names never share a path, and a file's escaped path is never a
// directory of another file's path or the reverse. (Two natural paths can be:
// "a" and "a/b"; the later takes its escaped path.)
func TestPathsNeverMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := buckets().Draw(t, "bucket")
		one, two := hostileNames().Draw(t, "one"), hostileNames().Draw(t, "two")
		if rapid.Bool().Draw(t, "aimed") { // a name made to look like another's escaped path
			two = strings.TrimPrefix(EscapedPath(b, one), BucketDir(b)+"/")
			two = two[:len(two)-rapid.SampledFrom([]int{0, 0, 1, 64, 65, 67, 68}).Draw(t, "cut")] + rapid.SampledFrom([]string{"", "/", "/x"}).Draw(t, "more")
		}
		if one == two {
			return
		}
		inside := func(p, q string) bool { return p == q || strings.HasPrefix(q, p+"/") }
		escaped := EscapedPath(b, one)
		if other := EscapedPath(b, two); inside(escaped, other) || inside(other, escaped) {
			t.Fatalf("%q and %q meet: %q, %q", one, two, escaped, other)
		}
		natural, ok := NaturalPath(b, two)
		if ok && (inside(escaped, natural) || inside(natural, escaped)) {
			t.Fatalf("%q escaped and %q natural meet: %q, %q", one, two, escaped, natural)
		}
		if first, firstOK := NaturalPath(b, one); ok && firstOK && first == natural {
			t.Fatalf("%q and %q are both %q", one, two, natural)
		}
	})
}

// What is told as natural and what is not: the table that the property tests
// cannot make vacuous.
func TestNaturalPath(t *testing.T) {
	long := strings.Repeat("x", 255)
	for name, want := range map[string]bool{
		"cat.jpg": true, "a/b/c": true, "a b": true, "...": true, "..a": true, ".troupe": true, ".troupe/index": true,
		"\u00e9": true, "e\u0301": true, "\u2024\u2024": true, "\xff": true, "a\\..\\b": true, "\n": true,
		long: true, long + "/" + long + "/" + long + "/" + long[:250]: true, EscapeDir + "x": true,
		strings.Repeat("a/", 511) + "a": true,

		"": false, "/": false, "/a": false, "a/": false, "a//b": false, ".": false, "..": false, "a/..": false,
		"../a": false, "./a": false, "a/./b": false, "a\x00b": false, "\x00": false, long + "x": false,
		"a/" + long + "x/b": false, strings.Repeat("x", 1024): false, EscapeDir: false, EscapeDir + "/x": false,
		"a/" + EscapeDir: false, strings.Repeat("a/", 2000) + "a": false,
	} {
		p, ok := NaturalPath(objects.Bucket{Provider: objects.ProviderAIS, Name: "photos"}, name)
		if ok != want || ok && p != "photos/"+name {
			t.Errorf("%.80q: %.80q, %v, want %v", name, p, ok, want)
		}
	}
}

// Buckets of other providers, in namespaces, or with names that would lead
// elsewhere lie under their id.
func TestBucketDir(t *testing.T) {
	id := objects.BucketID{0xab, 1}
	const byID = BucketsDir + "/ab01000000000000"
	for _, c := range []struct {
		bucket objects.Bucket
		want   string
	}{
		{objects.Bucket{ID: id, Provider: "ais", Name: "photos"}, "photos"},
		{objects.Bucket{ID: id, Provider: "ais", Name: ".sys-inventory"}, ".sys-inventory"},
		{objects.Bucket{ID: id, Provider: "aws", Name: "photos"}, byID},
		{objects.Bucket{ID: id, Provider: "ais", Namespace: "u#n", Name: "photos"}, byID},
		{objects.Bucket{ID: id, Provider: "ais", Name: Private}, byID},
		{objects.Bucket{ID: id, Provider: "ais", Name: ".."}, byID},
		{objects.Bucket{ID: id, Provider: "ais", Name: ""}, byID},
		{objects.Bucket{ID: id, Provider: "ais", Name: "a/b"}, byID},
		{objects.Bucket{ID: id, Provider: "ais", Name: "a\x00"}, byID},
	} {
		if got := BucketDir(c.bucket); got != c.want {
			t.Errorf("%+v: %q, want %q", c.bucket, got, c.want)
		}
	}
}

// The places of payloads, as documented, and that an upload id from anywhere
// leads nowhere else.
func TestPrivatePaths(t *testing.T) {
	payload := objects.Generation{Map: 1, Start: 7, Seq: 0x1234}
	const upload = "0123456789abcdef0123456789abcdef"
	for got, want := range map[string]string{
		WorkPath(payload):                       ".troupe/work/1-7-1234",
		TrashPath(payload):                      ".troupe/trash/1-7-1234",
		SlicePath(payload, 0x1f):                ".troupe/slices/34/1-7-1234.1f",
		SlicePath(payload, 0xff):                ".troupe/slices/34/1-7-1234.whole",
		SliceWorkPath(payload, 2):               ".troupe/work/1-7-1234.02",
		PartSlicePath(upload, 3, payload, 0):    ".troupe/parts/" + upload + "/3.1-7-1234.00",
		PartSlicePath(upload, 3, payload, 0xff): ".troupe/parts/" + upload + "/3.1-7-1234.whole",
		VersionPath(payload):                    ".troupe/versions/34/1-7-1234",
		UploadDir(upload):                       ".troupe/parts/" + upload,
		PartPath(upload, 3, payload):            ".troupe/parts/" + upload + "/3.1-7-1234",
		ManifestPath(upload):                    ".troupe/parts/" + upload + "/manifest.json",
		EscapedPath(objects.Bucket{Provider: "ais", Name: "photos"}, "abc"): "photos/.troupe-escaped/ba/" +
			"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", // FIPS 180-2, B.1
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		id := hostileNames().Draw(t, "upload id")
		dir := UploadDir(id)
		checkPath(t, dir)
		if path.Dir(dir) != PartsDir || dir == UploadDir(id+"x") {
			t.Fatalf("upload %q lies in %q", id, dir)
		}
	})
}

// Names of slices are read back, and nothing else is one.
func TestSliceNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload, index := generations().Draw(t, "payload"), rapid.Uint8().Draw(t, "index")
		p, i, err := ParseSliceName(SliceName(payload, index))
		if err != nil || p != payload || i != index {
			t.Fatalf("%v, %d, %v", p, i, err)
		}
	})
	for _, name := range []string{"", "1-1-1", "1-1-1.", "1-1-1.0", "1-1-1.000", "1-1-1.FF", "1-1-1.ff", "1-1-1.Whole", "1-1.00", "01-1-1.00", "1-1-1.+1", "1-1-1.00.json"} {
		if p, i, err := ParseSliceName(name); err == nil {
			t.Errorf("%q was read as slice %d of %v", name, i, p)
		}
	}
}

// Names of parts are read back, and other files in an upload's directory are not taken for parts.
func TestPartNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number, payload := rapid.IntRange(0, 1<<31).Draw(t, "number"), generations().Draw(t, "payload")
		n, p, err := ParsePartName(PartName(number, payload))
		if err != nil || n != number || p != payload {
			t.Fatalf("%d, %v, %v", n, p, err)
		}
	})
	for _, name := range []string{"", "manifest.json", "1", "1.", ".1-1-1", "01.1-1-1", "-1.1-1-1", "1.1-1", "1.1-1-1.x", "+1.1-1-1", "1.01-1-1"} {
		if n, p, err := ParsePartName(name); err == nil {
			t.Errorf("%q was read as part %d of %v", name, n, p)
		}
	}
}
