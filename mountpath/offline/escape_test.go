package offline

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/allocation"
)

// The escapes that the documents name.
func TestEscapes(t *testing.T) {
	long := strings.Repeat("x", pieceBytes)
	for name, want := range map[string]string{
		"a/b": "a/b", "..": "%2E%2E", ".": "%2E", "...": "...", "a//b": "a/%-/b", "a/": "a/%-", "/": "%-/%-", "": "%-",
		"100%": "100%25", "a\x00": "a%00", "%-": "%25-", "a%~": "a%25~", long: long, long + "y": long + "%+/y", long + "y/z": long + "%+/y/z",
		long + ".": long + "%+/%2E", long + "..": long + "%+/%2E%2E", long + "../..": long + "%+/%2E%2E/%2E%2E", long + "...": long + "%+/...",
	} {
		if got := strings.Join(EscapePath(name), "/"); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for _, path := range []string{"a%", "%41", "%2e", "%+x"} {
		if name, err := UnescapePath(strings.Split(path, "/")); err == nil {
			t.Errorf("%q is read as %q", path, name)
		}
	}
}

// Every name has a path that any filesystem holds, that leads nowhere else, and
// that gives the name back; no two names have one path.
func TestEscapesAreReversible(t *testing.T) {
	letters := rapid.SampledFrom([]string{"/", ".", "%", "\x00", "~", "+", "-", "a", "2", "5", "E", "\xff", strings.Repeat("l", 239), strings.Repeat("%", 100)})
	rapid.Check(t, func(t *rapid.T) {
		name := strings.Join(rapid.SliceOfN(letters, 0, 12).Draw(t, "name"), "")
		name = name[:min(len(name), objects.MaxNameBytes)]
		path := EscapePath(name)
		for _, c := range path {
			if c == "" || c == "." || c == ".." || len(c) > 255 || strings.ContainsAny(c, "/\x00") {
				t.Fatalf("%q has the component %q", name, c)
			}
		}
		back, err := UnescapePath(path)
		if err != nil || back != name {
			t.Fatalf("%q became %q and came back as %q, %v", name, path, back, err)
		}
		path[rapid.IntRange(0, len(path)-1).Draw(t, "taken")] += Taken
		if back, err = UnescapePath(path); err != nil || back != name {
			t.Fatalf("%q became %q and came back as %q, %v", name, path, back, err)
		}
	})
}

// In an archive no file is a directory of another, so that any tar extracts it.
func TestArchivePathsDoNotMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SampledFrom([]string{"a", "b", "/", "!", "a/", "0"})
		names := rapid.SliceOfNDistinct(rapid.Map(rapid.SliceOfN(letters, 1, 6), func(l []string) string { return strings.Join(l, "") }), 1, 30, rapid.ID[string]).Draw(t, "names")
		slices.Sort(names)
		var out bytes.Buffer
		sink := NewArchive(&out)
		for _, name := range names {
			o := &Object{Key: objects.Key{Bucket: objects.Bucket{Provider: objects.ProviderAIS, Name: "b"}, Name: name}}
			o.Meta.Where, o.Meta.XXHash = objects.Inline, 0xef46db3751d8e999 // of nothing
			if err := sink.Put(o); err != nil {
				t.Fatal(err)
			}
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		files, directories := make(map[string]bool), make(map[string]bool)
		for in := tar.NewReader(&out); ; {
			header, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if files[header.Name] {
				t.Fatalf("%q is there twice", header.Name)
			}
			files[header.Name] = true
			for at, c := range header.Name {
				if c == '/' {
					directories[header.Name[:at]] = true
				}
			}
		}
		for name := range files {
			if directories[name] {
				t.Fatalf("%q is a file and a directory: %q", name, names)
			}
		}
		if len(files) != len(names) {
			t.Fatalf("%d files of %d objects", len(files), len(names))
		}
	})
}

func FuzzUnescapePath(f *testing.F) {
	f.Add("a%25/%-/%2E%2E/x%+/y%~")
	f.Fuzz(func(t *testing.T, path string) {
		var name string
		var err error
		components := strings.Split(path, "/")
		allocation.Check(t, len(path), 4<<10, func() { name, err = UnescapePath(components) })
		if err != nil {
			return
		}
		again, err := UnescapePath(EscapePath(name))
		if err != nil || again != name {
			t.Fatalf("%q reads as %q, which comes back as %q, %v", path, name, again, err)
		}
	})
}
