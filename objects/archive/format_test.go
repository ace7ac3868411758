package archive

import (
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/objects/errs"
)

// tarHead is the first bytes of a tar, as far as they tell it.
func tarHead() []byte { return append(make([]byte, 257), "ustar\x0000"...) }

// MIME types are matched by what they contain, in the order that the native API has.
func TestFormatsOfMIME(t *testing.T) {
	for mime, want := range map[string]Format{
		"tar": Tar, ".tar": Tar, "application/x-tar": Tar, "tar.gz": TarGzip, ".tar.gz": TarGzip, "tgz": TarGzip, ".tgz": TarGzip,
		"application/x-tar.gz": TarGzip, "tar.lz4": TarLZ4, ".tar.lz4": TarLZ4, "zip": Zip, "application/zip": Zip, "application/tar+zip": Tar,
		"tgz.zip": TarGzip,
	} {
		if f, err := OfMIME(mime); f != want || err != nil {
			t.Errorf("%q: %s, %v, want %s", mime, f, err, want)
		}
	}
	for _, mime := range []string{"", "text/plain", "lz4", "TAR", "application/x-lz4", "ta r"} {
		if f, err := OfMIME(mime); f != Unknown || !errs.Is(errs.Invalid, err) || !strings.Contains(err.Error(), "unknown archive format") {
			t.Errorf("%q: %s, %v", mime, f, err)
		}
	}
}

// For reading, what the client says comes first, then the name, then the content; and a
// content that is evidently something else is refused.
func TestDetect(t *testing.T) {
	gzip, zip, lz4 := []byte{0x1f, 0x8b, 8}, []byte("PK\x03\x04"), []byte{4, 0x22, 0x4d, 0x18}
	for _, c := range []struct {
		hint Hint
		want Format
	}{
		{Hint{Name: "a.tar"}, Tar},
		{Hint{Name: "a.tgz"}, TarGzip},
		{Hint{Name: "a.tar.gz", Head: gzip}, TarGzip},
		{Hint{Name: "a.tar.lz4", Head: lz4}, TarLZ4},
		{Hint{Name: "a.zip", Head: []byte("PK\x05\x06")}, Zip},
		{Hint{Name: "a.zip", Head: []byte("#!/bin/sh")}, Zip}, // one that extracts itself
		{Hint{Name: "a.tar", Head: []byte("v7 has no signature")}, Tar},
		{Hint{Name: "a", MIME: "application/zip"}, Zip},
		{Hint{Name: "a.tar", MIME: "zip", Head: zip}, Zip}, // what is said overrides the name
		{Hint{Name: "a", Head: gzip}, TarGzip},
		{Hint{Name: "a.gz", Head: tarHead()}, Tar},
		{Hint{Name: "zip", Head: lz4}, TarLZ4},
		{Hint{Name: "a.tar", Head: gzip}, Unknown},
		{Hint{Name: "a.tgz", Head: tarHead()}, Unknown},
		{Hint{Name: "a.zip", Head: lz4}, Unknown},
		{Hint{Name: "a.tar", MIME: "zip", Head: tarHead()}, Unknown},
		{Hint{Name: "a", MIME: "text/plain", Head: zip}, Unknown},
		{Hint{Name: "a", Head: []byte("something")}, Unknown},
		{Hint{Name: "tar"}, Unknown},
		{Hint{Name: "a.TAR"}, Unknown},
		{Hint{}, Unknown},
	} {
		f, err := Detect(c.hint)
		if f != c.want || (f == Unknown) != (err != nil) || err != nil && !errs.Is(errs.Invalid, err) {
			t.Errorf("%q %q %.8q: %s, %v, want %s", c.hint.Name, c.hint.MIME, c.hint.Head, f, err, c.want)
		}
	}
}

// For writing, the name must tell, or the client; and they must agree.
func TestForWriting(t *testing.T) {
	for _, c := range []struct {
		name, mime string
		want       Format
	}{
		{"a.tar", "", Tar}, {"a.tgz", "", TarGzip}, {"a.tgz", ".tar.gz", TarGzip}, {"a.zip", "application/zip", Zip}, {"a", "tar", Tar},
		{"a", "", Unknown}, {"a.tar", "zip", Unknown}, {"a.tgz", "tar", Unknown}, {"a.tar", "text", Unknown},
	} {
		f, err := ForWriting(c.name, c.mime)
		if f != c.want || (f == Unknown) != errs.Is(errs.Invalid, err) {
			t.Errorf("%q %q: %s, %v, want %s", c.name, c.mime, f, err, c.want)
		}
	}
}

// Formats say what they are, and what they say is understood.
func TestFormatsAndTheirNames(t *testing.T) {
	for _, f := range formats() {
		if got := OfName("shard" + f.String()); got != f {
			t.Errorf("shard%s is a %s", f, got)
		}
		if !strings.HasPrefix(f.ContentType(), "application/") || f.ContentType() == Unknown.ContentType() {
			t.Errorf("%s is %s", f, f.ContentType())
		}
	}
}

// Modes of patterns are those of archmode.
func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		mode      Mode
		text      string
		yes, none string // names, separated by blanks
	}{
		{Regexp, `^train/.*\.(cls|jpg)$`, "train/1.cls /train/2/3.jpg", "a/train/1.cls train/1.png"},
		{Regexp, "b", "abc b", "ac"},
		{Prefix, "train/0", "train/01 /train/0", "atrain/0 train/1"},
		{Prefix, "/train", "train/01 /train", "x/train"},
		{Suffix, ".jpg", "a.jpg /.jpg", "a.jpg.x ajpg"},
		{Substring, "in/", "train/1 in/", "train"},
		{SampleKey, "train/0001", "train/0001.jpg train/0001.seg.png train/0001 /train/0001.cls", "train/0001a.jpg 0001.jpg train/0001/x.jpg train/00010"},
		{SampleKey, "file3", "file3.txt file3.cls /file3", "a/file3.txt file33.txt"},
		{SampleKey, "a.b/c", "a.b/c.d", "a.b/d a"},
	} {
		p, err := NewPattern(c.mode, c.text)
		if err != nil {
			t.Fatal(err)
		}
		for name := range strings.FieldsSeq(c.yes) {
			if !p.Matches(name) {
				t.Errorf("%s %q does not choose %q", c.mode, c.text, name)
			}
		}
		for name := range strings.FieldsSeq(c.none) {
			if p.Matches(name) {
				t.Errorf("%s %q chooses %q", c.mode, c.text, name)
			}
		}
	}
	for _, c := range []struct {
		mode Mode
		text string
	}{{Regexp, "("}, {Regexp, ""}, {Prefix, ""}, {"", "a"}, {"glob", "a"}, {Suffix, strings.Repeat("a", MaxPatternBytes+1)}} {
		if _, err := NewPattern(c.mode, c.text); !errs.Is(errs.Invalid, err) {
			t.Errorf("%q %.10q: %v", c.mode, c.text, err)
		}
	}
	if (Pattern{}).Matches("a") {
		t.Error("no pattern chooses")
	}
}
