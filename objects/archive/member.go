package archive

import (
	"fmt"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// MaxNameBytes is how long the name of a member may be: as long as a path may be on Linux.
// An archive with a longer one is refused.
const MaxNameBytes = 4096

// Kind says what a member is.
type Kind uint8

const (
	// File has content, and is the only kind that is opened, found and indexed.
	File Kind = iota
	// Directory has a name only.
	Directory
	// Link is a symbolic or a hard link; it is never followed.
	Link
	// Sparse is a file of a tar that leaves out its zeros. It is not opened: its content is not
	// one range, and a kilobyte of it can claim to be a terabyte.
	Sparse
	// Other has no content that can be given: a device, a file that is encrypted or
	// compressed in a way that is not known here.
	Other
)

// String returns the kind in words.
func (k Kind) String() string {
	switch k {
	case File:
		return "file"
	case Directory:
		return "directory"
	case Link:
		return "link"
	case Sparse:
		return "sparse file"
	}
	return "member without content that can be given"
}

// Member is one entry of an archive, without its content.
type Member struct {
	Name     string    // as the archive has it: not a path to be trusted, see Escapes
	Size     int64     // bytes of its content
	Offset   int64     // where its bytes begin: in a tar, or the tar that is compressed; in a zip. -1: not looked up, see Reader.Locate
	Stored   int64     // how many bytes lie there: of a zip's member what it was compressed to, else Size
	Method   uint16    // of a zip's member: MethodStored or MethodDeflated
	CRC      uint32    // of a zip's member: CRC-32 (IEEE) of its content
	Mode     uint32    // permission bits, 0 to 0o7777
	Modified time.Time // in whole seconds, UTC
	Kind     Kind
}

const (
	// MethodStored says that a zip's member is as it is.
	MethodStored uint16 = 0
	// MethodDeflated says that a zip's member is compressed with deflate.
	MethodDeflated uint16 = 8
)

// Same reports whether two names are of one member: one leading slash does not count.
func Same(a, b string) bool { return bare(a) == bare(b) }

// bare is a name without one leading slash.
func bare(name string) string { return strings.TrimPrefix(name, "/") }

// Escapes reports whether the member's name, taken as a path, could lead out of the
// directory that it is extracted to. Such members are listed, matched and opened as any
// other, since nothing here makes a path of a name; whoever does must ask.
func (m Member) Escapes() bool { return escapes(m.Name) }

func escapes(name string) bool {
	if strings.HasPrefix(name, "/") {
		return true
	}
	for component := range strings.SplitSeq(strings.ReplaceAll(name, `\`, "/"), "/") {
		if component == ".." {
			return true
		}
	}
	return false
}

// NameToWrite returns the name under which a member is written: without one leading slash.
// A name that no archive should get is Invalid: an empty one, one that is longer than
// MaxNameBytes, ends with a slash, has a NUL, or leads out of where it is extracted.
func NameToWrite(name string) (string, error) {
	name = bare(name)
	var why string
	switch {
	case name == "":
		why = "it is empty"
	case len(name) > MaxNameBytes:
		why = fmt.Sprintf("it has %d bytes, at most %d are allowed", len(name), MaxNameBytes)
	case strings.HasSuffix(name, "/"):
		why = "it is that of a directory"
	case strings.IndexByte(name, 0) >= 0:
		why = "it has a NUL"
	case escapes(name):
		why = "it leads out of the archive"
	default:
		return name, nil
	}
	return "", errs.E("archive.NameToWrite", errs.Invalid, fmt.Errorf("a member cannot be named %.100q: %s", name, why))
}
