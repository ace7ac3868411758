package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// closeDocument gives a hand-written document the end that makes it whole.
func closeDocument(members string) []byte {
	body := "{\n" + members + ",\n  "
	return fmt.Appendf(nil, "%s\"crc32c\": \"%08x\"\n}\n", body, crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)))
}

// Documents are JSON to everyone else.
func TestDocumentsAreJSON(t *testing.T) {
	for _, f := range forms() {
		if f.wire {
			continue
		}
		b := f.encode(f.any.Example(2))
		var anything map[string]any
		if err := json.Unmarshal(b, &anything); err != nil || anything["version"] != map[bool]float64{true: FormatVersion, false: 1}[f.name == "Format"] {
			t.Errorf("%s: %v: %s", f.name, err, b)
		}
	}
}

// An operator who starts an old binary on a new mountpath reads which versions
// are meant, even if the newer format is closed in another way.
func TestFormatOfANewerVersionNamesBoth(t *testing.T) {
	for _, b := range [][]byte{
		closeDocument(`  "version": 7, "mountpath": "mp1"`),
		[]byte(`{"version": 7, "sealed": "in some other way"}`),
	} {
		for name, c := range map[string]struct {
			known  string
			decode func([]byte) error
		}{
			"format":   {"up to 2", func(b []byte) error { _, err := DecodeFormat(b); return err }},
			"manifest": {"up to 1", func(b []byte) error { _, err := DecodeManifest(b); return err }},
		} {
			err := c.decode(b)
			if !errors.Is(err, ErrNewer) || errs.Is(errs.Corrupt, err) {
				t.Fatalf("%s: %v, want ErrNewer", name, err)
			}
			if !strings.Contains(err.Error(), "version 7") || !strings.Contains(err.Error(), c.known) {
				t.Errorf("%s: %q does not name both versions", name, err)
			}
		}
	}
}

// Members that a newer binary added are passed over.
func TestDocumentsPassOverUnknownMembers(t *testing.T) {
	f, err := DecodeFormat(closeDocument(`  "version": 1, "mountpath": "mp1", "later": {"crc32c": "00000000"}`))
	if err != nil || f.MountpathID != "mp1" {
		t.Fatalf("%+v, %v", f, err)
	}
}

// What is not a format.json is told apart from one, with a reason.
func TestBadDocumentsAreRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty": nil, "not JSON": []byte("hello"), "null": []byte("null"), "a list": []byte("[]"),
		"no crc":         []byte("{\"version\": 1, \"mountpath\": \"mp1\"}\n"),
		"no version":     closeDocument(`  "mountpath": "mp1"`),
		"version 0":      closeDocument(`  "version": 0, "mountpath": "mp1"`),
		"no mountpath":   closeDocument(`  "version": 1`),
		"wrong type":     closeDocument(`  "version": 1, "mountpath": 5`),
		"no last line":   bytes.TrimSuffix(closeDocument(`  "version": 1, "mountpath": "mp1"`), []byte("\n")),
		"upper-case crc": upperCRC(closeDocument(`  "version": 1, "mountpath": "mp1"`)),
	} {
		if f, err := DecodeFormat(b); !errs.Is(errs.Corrupt, err) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	if _, err := DecodeFormat(closeDocument(`  "version": 1, "mountpath": "mp1"`)); err != nil {
		t.Errorf("control: %v", err)
	}
}

func upperCRC(b []byte) []byte {
	end := len(b) - len(crcEnd)
	return append(append(bytes.Clone(b[:end-crcDigits]), bytes.ToUpper(b[end-crcDigits:end])...), b[end:]...)
}

// A manifest that contradicts itself is not believed, though it is whole.
func TestManifestThatContradictsItselfIsRefused(t *testing.T) {
	const head = `  "version": 1, "payload": "1-1-1", "xxhash": "0000000000000000", `
	for name, c := range map[string]struct {
		members string
		ok      bool
	}{
		"control":           {`"parts": [{"number": 2, "file": "2.1-1-2", "xxhash": "00000000000000ff"}]`, true},
		"another number":    {`"parts": [{"number": 3, "file": "2.1-1-2", "xxhash": "00000000000000ff"}]`, false},
		"a path":            {`"parts": [{"number": 2, "file": "../2.1-1-2", "xxhash": "00000000000000ff"}]`, false},
		"short hash":        {`"parts": [{"number": 2, "file": "2.1-1-2", "xxhash": "ff"}]`, false},
		"not a hash":        {`"parts": [{"number": 2, "file": "2.1-1-2", "xxhash": "zz000000000000ff"}]`, false},
		"unknown algorithm": {`"checksums": [{"algorithm": "CRC99", "value": "AAAA"}]`, false},
		"short checksum":    {`"checksums": [{"algorithm": "SHA1", "value": "AAAA"}]`, false},
		"part's checksum": {`"parts": [{"number": 2, "file": "2.1-1-2", "xxhash": "00000000000000ff",
			"checksums": [{"algorithm": "SHA1", "value": "AAAA"}]}]`, false},
		"not a generation": {`"payload": "1-1"`, false},
		"not base64":       {`"etag": {"base64": "!"}`, false},
	} {
		m, err := DecodeManifest(closeDocument(head + c.members))
		if c.ok != (err == nil) || !c.ok && !errs.Is(errs.Corrupt, err) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// Bytes that are no UTF-8, which JSON would replace, come back as they were,
// and ordinary text stays readable, unescaped.
func TestManifestKeepsAnyBytes(t *testing.T) {
	want := &Manifest{
		Key:  objects.Key{Bucket: objects.Bucket{Provider: "ais", Name: "b"}, Name: "a<b>&\u2028.txt"},
		ETag: "e", Draft: objects.Draft{User: []objects.Pair{{Name: "latin", Value: "K\xf6ln"}}},
	}
	b, err := EncodeManifest(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("a<b>&")) || !bytes.Contains(b, []byte(`"base64": "S/Zsbg=="`)) {
		t.Errorf("not readable:\n%s", b)
	}
	got, err := DecodeManifest(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
}

// A checksum that could not be read back is refused before anything is written.
func TestManifestRefusesChecksumsWithoutForm(t *testing.T) {
	for _, v := range []checksum.Value{
		{Algorithm: 99, Sum: "x"}, {Algorithm: checksum.CRC32, Sum: "short"}, {},
		{Algorithm: checksum.CRC32, Sum: "four", Parts: 3},
		{Algorithm: checksum.CRC32, Sum: "four", Type: checksum.Composite},
	} {
		for _, m := range []*Manifest{
			{Checksums: []checksum.Value{v}},
			{Parts: []objects.Part{{Checksums: []checksum.Value{v}}}},
		} {
			if b, err := EncodeManifest(m); err == nil {
				t.Errorf("%+v was written:\n%s", v, b)
			}
		}
	}
}
