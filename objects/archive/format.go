package archive

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Format is how a shard holds its members. The numbers are in indexes on disk.
type Format uint8

const (
	// Unknown is no format: neither a name nor a MIME type nor the first bytes tell one.
	Unknown Format = iota
	// Tar is a tar as it is.
	Tar
	// TarGzip is a tar in one gzip member or several.
	TarGzip
	// TarLZ4 is a tar in one LZ4 frame or several.
	TarLZ4
	// Zip is a zip, with zip64 where it is needed.
	Zip
)

// HeadBytes is how much of the beginning of an object Sniff wants to see; less will do for
// everything but a tar.
const HeadBytes = 512

// String returns the extension, with its dot; of Unknown, "unknown".
func (f Format) String() string {
	switch f {
	case Tar:
		return ".tar"
	case TarGzip:
		return ".tar.gz"
	case TarLZ4:
		return ".tar.lz4"
	case Zip:
		return ".zip"
	}
	return "unknown"
}

// ContentType returns the media type of a shard in this format.
func (f Format) ContentType() string {
	switch f {
	case Tar:
		return "application/x-tar"
	case TarGzip:
		return "application/gzip"
	case TarLZ4:
		return "application/x-lz4"
	case Zip:
		return "application/zip"
	}
	return "application/octet-stream"
}

// packed reports whether the format is a tar that is compressed as a whole.
func (f Format) packed() bool { return f == TarGzip || f == TarLZ4 }

// OfName returns the format that a name's extension tells, or Unknown.
func OfName(name string) Format {
	switch {
	case strings.HasSuffix(name, ".tar"):
		return Tar
	case strings.HasSuffix(name, ".tar.gz"), strings.HasSuffix(name, ".tgz"):
		return TarGzip
	case strings.HasSuffix(name, ".tar.lz4"):
		return TarLZ4
	case strings.HasSuffix(name, ".zip"):
		return Zip
	}
	return Unknown
}

// OfMIME returns the format that a MIME type, an extension or a bare name of a format tells.
// What contains the name of a format tells it, the longer names first, so that ".tar",
// "tar" and "application/x-tar" are one. Anything else is Invalid, and so is "".
func OfMIME(mime string) (Format, error) {
	switch {
	case strings.Contains(mime, "tar.gz"):
		return TarGzip, nil
	case strings.Contains(mime, "tar.lz4"):
		return TarLZ4, nil
	case strings.Contains(mime, "tar"):
		return Tar, nil
	case strings.Contains(mime, "tgz"):
		return TarGzip, nil
	case strings.Contains(mime, "zip"):
		return Zip, nil
	}
	return Unknown, errs.E("archive.OfMIME", errs.Invalid, fmt.Errorf("unknown archive format %q", mime))
}

// Sniff returns the format that the first bytes of an object tell, or Unknown. A tar from
// before POSIX has no signature.
func Sniff(head []byte) Format {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return TarGzip
	case bytes.HasPrefix(head, []byte{0x04, 0x22, 0x4d, 0x18}):
		return TarLZ4
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return Zip
	case len(head) >= 262 && string(head[257:262]) == "ustar":
		return Tar
	}
	return Unknown
}

// Hint is what says in which format an object is.
type Hint struct {
	Name string // of the object
	MIME string // given by the client, which overrides the name; empty: none
	Head []byte // the first HeadBytes of the object, or fewer
}

// Detect returns the format of an object that is to be read: what the MIME type says, else
// the name, else the first bytes. First bytes that tell another format are refused as
// Invalid; first bytes that tell none are not, for there are archives without a signature.
func Detect(hint Hint) (Format, error) {
	const op errs.Op = "archive.Detect"
	said, by := OfName(hint.Name), "its name"
	if hint.MIME != "" {
		f, err := OfMIME(hint.MIME)
		if err != nil {
			return Unknown, errs.E(op, hint.Name, err)
		}
		said, by = f, fmt.Sprintf("the MIME type %q", hint.MIME)
	}
	found := Sniff(hint.Head)
	switch {
	case said == Unknown && found == Unknown:
		return Unknown, errs.E(op, hint.Name, errs.Invalid, fmt.Errorf("unknown archive format: neither name nor content tells one"))
	case said == Unknown:
		return found, nil
	case found != Unknown && found != said:
		return Unknown, errs.E(op, hint.Name, errs.Invalid, fmt.Errorf("archive format mismatch: %s says %s, its content %s", by, said, found))
	}
	return said, nil
}

// ForWriting returns the format of a shard that is to be written: its name must have a known
// extension or a MIME type be given, and where there are both they must agree. Anything else
// is Invalid.
func ForWriting(name, mime string) (Format, error) {
	const op errs.Op = "archive.ForWriting"
	byName := OfName(name)
	if mime == "" {
		if byName == Unknown {
			return Unknown, errs.E(op, name, errs.Invalid, fmt.Errorf("unknown archive format: the name has no known extension, and no MIME type is given"))
		}
		return byName, nil
	}
	byMIME, err := OfMIME(mime)
	switch {
	case err != nil:
		return Unknown, errs.E(op, name, err)
	case byName != Unknown && byName != byMIME:
		return Unknown, errs.E(op, name, errs.Invalid, fmt.Errorf("archive format mismatch: its name says %s, the MIME type %q says %s", byName, mime, byMIME))
	}
	return byMIME, nil
}
