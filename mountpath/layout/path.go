package layout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/troupe-storage/troupe/objects"
)

// Fixed names below a mountpath, relative to its root.
const (
	// Private is the directory of everything that is Troupe's own.
	Private = ".troupe"
	// IndexDir holds the Pebble database.
	IndexDir = ".troupe/index"
	// WorkDir holds work files: objects on their way in.
	WorkDir = ".troupe/work"
	// PartsDir holds a directory per multipart upload.
	PartsDir = ".troupe/parts"
	// VersionsDir holds payloads of noncurrent versions.
	VersionsDir = ".troupe/versions"
	// SlicesDir holds slices of payloads, and whole ones, of erasure-coded buckets.
	SlicesDir = ".troupe/slices"
	// TrashDir holds replaced and deleted payloads; only here is anything unlinked.
	TrashDir = ".troupe/trash"
	// SidecarsDir holds what the attributes of payload files cannot carry.
	SidecarsDir = ".troupe/sidecars"
	// MembersDir holds what was found out of the members of shards: derived, and lost at any time.
	MembersDir = ".troupe/members"
	// QuarantineDir holds what could not be trusted, with the reason beside it.
	QuarantineDir = ".troupe/quarantine"
	// BucketsDir holds the directories of buckets that do not lie under their own name.
	BucketsDir = ".troupe/buckets"
	// DocumentsDir holds the node's documents: its identity, its buckets.
	DocumentsDir = ".troupe/documents"
	// FormatFile is the encoded Format; written once, checked at every start.
	FormatFile = ".troupe/format.json"
	// IndexMadeFile says that the index was made: one that is gone is then lost,
	// and not yet to be made.
	IndexMadeFile = ".troupe/index.made"
	// RebuiltDir is where a rebuild makes the new index.
	RebuiltDir = ".troupe/index.rebuild"
	// RebuildFile says that a rebuild is exchanging indexes: until it is gone, the
	// mountpath is not opened.
	RebuildFile = ".troupe/rebuild.json"
	// LockFile is locked by the process that uses the mountpath.
	LockFile = ".troupe/lock"
	// ProbeFile is written and removed to see whether the disk answers.
	ProbeFile = ".troupe/probe"
	// AttributeName is the extended attribute of payload files, without "user.".
	AttributeName = "troupe"
	// EscapeDir is the directory, in each bucket's, of the escaped paths. An
	// object's name that has it as a component is itself escaped.
	EscapeDir = ".troupe-escaped"
)

const (
	// MaxComponentBytes is NAME_MAX of every filesystem that Troupe runs on.
	MaxComponentBytes = 255
	// MaxPathBytes is the longest path below a mountpath. The kernel takes 4,096
	// bytes with the final NUL (PATH_MAX); 1,024 of them are left to the
	// mountpath's own root and the slash after it.
	MaxPathBytes = 4096 - 1024
)

const manifestName = "manifest.json"

// BucketDir returns the directory of a bucket's payload files: its name for a
// bucket of provider ais in the global namespace, else ".troupe/buckets/<id>".
// A name that is not one harmless component of a path counts as the latter, so
// that no bucket reaches into Private or out of the mountpath.
func BucketDir(b objects.Bucket) string {
	if b.Global() && b.Name != Private && holdable(b.Name) && !strings.Contains(b.Name, "/") {
		return b.Name
	}
	return BucketsDir + "/" + b.ID.String()
}

// NaturalPath returns where the payload of an object lies if its name can be a
// path as it is. It reports false where a filesystem cannot hold the name, or
// would hold it somewhere else: a component that is empty, "." or "..", longer
// than MaxComponentBytes or EscapeDir; a slash at the beginning or the end; a NUL;
// a path longer than MaxPathBytes. Then the object has an escaped path only.
//
// Natural paths of different names differ, but one can be a directory of the
// other ("a", "a/b"): the later of the two takes its escaped path.
func NaturalPath(b objects.Bucket, name string) (path string, ok bool) {
	dir := BucketDir(b)
	if len(dir)+1+len(name) > MaxPathBytes {
		return "", false
	}
	for component := range strings.SplitSeq(name, "/") {
		if component == EscapeDir || !holdable(component) {
			return "", false
		}
	}
	return dir + "/" + name, true
}

// holdable reports whether a filesystem holds the component under this name.
func holdable(component string) bool {
	return component != "" && component != "." && component != ".." &&
		len(component) <= MaxComponentBytes && strings.IndexByte(component, 0) < 0
}

// EscapedPath returns where the payload of an object lies if not at its natural
// path. It exists for every name. The last component is the SHA-256 of the name,
// so names do not meet; EscapeDir is no component of a natural path, so it meets
// none of these either, as file or as directory. The attribute has the name.
func EscapedPath(b objects.Bucket, name string) string {
	sum := sha256.Sum256([]byte(name))
	digits := hex.EncodeToString(sum[:])
	return BucketDir(b) + "/" + EscapeDir + "/" + digits[:2] + "/" + digits
}

// WorkPath returns the work file of a payload.
func WorkPath(payload objects.Generation) string { return WorkDir + "/" + payload.String() }

// TrashPath returns where a payload waits to be unlinked.
func TrashPath(payload objects.Generation) string { return TrashDir + "/" + payload.String() }

// QuarantinePath returns where a payload lies that could not be trusted.
func QuarantinePath(payload objects.Generation) string {
	return QuarantineDir + "/" + payload.String()
}

// ReasonPath returns the file that says why a payload is in quarantine.
func ReasonPath(payload objects.Generation) string { return QuarantinePath(payload) + ".reason" }

// VersionPath returns where the payload of a noncurrent version lies:
// versions/<xx>/<payload>, xx being the low byte of the payload's sequence, which
// fills 256 directories evenly.
func VersionPath(payload objects.Generation) string {
	return fmt.Sprintf("%s/%02x/%s", VersionsDir, byte(payload.Seq), payload)
}

// SliceSuffix returns how the names of the files of a slice end: the index in two
// hexadecimal digits, or "whole" for objects.WholeIndex.
func SliceSuffix(index uint8) string {
	if index == objects.WholeIndex {
		return "whole"
	}
	return fmt.Sprintf("%02x", index)
}

// SliceName returns the name of a slice's file in its directory: "<payload>.<index>".
func SliceName(payload objects.Generation, index uint8) string {
	return payload.String() + "." + SliceSuffix(index)
}

// ParseSliceName reads what SliceName wrote, with any index.
func ParseSliceName(name string) (payload objects.Generation, index uint8, err error) {
	generation, suffix, _ := strings.Cut(name, ".")
	index = objects.WholeIndex
	if suffix != SliceSuffix(index) {
		var n uint64
		n, err = strconv.ParseUint(suffix, 16, 8)
		index = uint8(n)
	}
	if err == nil {
		payload, err = objects.ParseGeneration(generation)
	}
	if err != nil || SliceName(payload, index) != name {
		return objects.Generation{}, 0, fmt.Errorf("%q is not the name of a slice", name)
	}
	return payload, index, nil
}

// SlicePath returns the file of a slice of an object: slices/<xx>/<payload>.<index>, xx being
// the low byte of the payload's sequence. What has such a name never changes.
func SlicePath(payload objects.Generation, index uint8) string {
	return fmt.Sprintf("%s/%02x/%s", SlicesDir, byte(payload.Seq), SliceName(payload, index))
}

// SliceWorkPath returns the work file of a slice.
func SliceWorkPath(payload objects.Generation, index uint8) string {
	return WorkDir + "/" + SliceName(payload, index)
}

// PartSlicePath returns the file of a slice of a part: parts/<upload>/<number>.<payload>.<index>.
func PartSlicePath(uploadID string, number int, payload objects.Generation, index uint8) string {
	return PartPath(uploadID, number, payload) + "." + SliceSuffix(index)
}

// MembersPath returns the index of the members of a shard: members/<xx>/<payload>, xx being
// the low byte of the payload's sequence. While it is written it has MembersNext behind it.
func MembersPath(payload objects.Generation) string {
	return fmt.Sprintf("%s/%02x/%s", MembersDir, byte(payload.Seq), payload)
}

// MembersNext ends the name of an index of members that is being written.
const MembersNext = ".next"

// UploadDir returns the directory of a multipart upload. An id that is not 32
// lower-case hexadecimal digits cannot be an upload of ours and may come from
// anyone: it gets a directory name made from its digest, which no upload has.
func UploadDir(uploadID string) string {
	if validUploadID(uploadID) {
		return PartsDir + "/" + uploadID
	}
	sum := sha256.Sum256([]byte(uploadID))
	return PartsDir + "/foreign-" + hex.EncodeToString(sum[:])
}

func validUploadID(id string) bool {
	if len(id) != 32 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// PartName returns the name of a part's file in its upload's directory:
// "<number>.<payload>".
func PartName(number int, payload objects.Generation) string {
	return strconv.Itoa(number) + "." + payload.String()
}

// ParsePartName reads what PartName wrote.
func ParsePartName(name string) (number int, payload objects.Generation, err error) {
	digits, generation, _ := strings.Cut(name, ".")
	if number, err = strconv.Atoi(digits); err == nil {
		payload, err = objects.ParseGeneration(generation)
	}
	if err != nil || number < 0 || PartName(number, payload) != name {
		return 0, objects.Generation{}, fmt.Errorf("%q is not the name of a part", name)
	}
	return number, payload, nil
}

// PartPath returns the file of one part: parts/<upload>/<number>.<payload>.
// Parts are never replaced; the same number sent again is another payload.
func PartPath(uploadID string, number int, payload objects.Generation) string {
	return UploadDir(uploadID) + "/" + PartName(number, payload)
}

// ManifestPath returns the manifest of a completed upload.
func ManifestPath(uploadID string) string { return UploadDir(uploadID) + "/" + manifestName }

// RetiredName is the mark in the directory of an upload that is neither under way
// nor any object's any more, and waits for the reclaimer.
const RetiredName = "retired"

// RetiredPath returns the mark of an upload.
func RetiredPath(uploadID string) string { return UploadDir(uploadID) + "/" + RetiredName }
