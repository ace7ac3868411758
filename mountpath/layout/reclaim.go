package layout

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// ReclaimKind says what a reclaim entry frees. Part of the on-disk format.
type ReclaimKind uint8

const (
	// ReclaimFile: the file at Path goes to the trash if its attribute names
	// Payload; then the trash's file of Payload is unlinked.
	ReclaimFile ReclaimKind = 1
	// ReclaimUpload: the directory of UploadID goes with all that is in it.
	ReclaimUpload ReclaimKind = 2
	// ReclaimPart: the file of part Part of UploadID with Payload goes.
	ReclaimPart ReclaimKind = 3
	// ReclaimInline: the payload in the index goes; only where a relaxed write
	// replaced it, since otherwise it goes with the replacing batch.
	ReclaimInline ReclaimKind = 4
	// ReclaimSlices: the files of Indices of Payload go.
	ReclaimSlices ReclaimKind = 5
)

// Reclaim is something deleted that still takes space. It is committed with the
// change that made it so; only such an entry lets anything be unlinked.
type Reclaim struct {
	Kind     ReclaimKind
	Bucket   objects.BucketID
	Name     string             // of the object
	Payload  objects.Generation // which bytes
	Path     string             // below the mountpath
	UploadID string
	Part     int
	Bytes    int64 // what will be free again, for the gauge
	// By is the generation of the relaxed write that replaced the payload, which
	// must not be unlinked before a checkpoint made that write durable; zero: it
	// was replaced by a durable one, or deleted.
	By objects.Generation
	// Previous is the value of the record that named the payload, so that it can
	// be put back if the relaxed write does not survive, or the one that is not settled is
	// taken back; nil unless By or Settles is set.
	Previous []byte
	// Sidecar says that the payload has a sidecar, which goes with it.
	Sidecar bool
	// Indices are those of ReclaimSlices, in order; objects.WholeIndex: all of the payload.
	Indices []uint8
	// Settles says that the entry stays while the key's record is unsettled: what it was
	// written over may be what counts.
	Settles bool
}

// Fields of message Reclaim.
const (
	reclaimKind     protowire.Number = 1
	reclaimBucket   protowire.Number = 2
	reclaimName     protowire.Number = 3
	reclaimPayload  protowire.Number = 4
	reclaimPath     protowire.Number = 5
	reclaimUploadID protowire.Number = 6
	reclaimPart     protowire.Number = 7
	reclaimBytes    protowire.Number = 8
	reclaimBy       protowire.Number = 9
	reclaimPrevious protowire.Number = 10
	reclaimSidecar  protowire.Number = 11
	reclaimIndices  protowire.Number = 12
	reclaimSettles  protowire.Number = 13
)

// AppendReclaim appends the value of a reclaim entry's key.
func AppendReclaim(dst []byte, r *Reclaim) []byte {
	start := len(dst)
	dst = append(dst, ValueVersion)
	dst = appendUint(dst, reclaimKind, uint64(r.Kind))
	dst = appendBucketID(dst, reclaimBucket, r.Bucket)
	dst = appendText(dst, reclaimName, r.Name)
	dst = appendGeneration(dst, reclaimPayload, r.Payload)
	dst = appendText(dst, reclaimPath, r.Path)
	dst = appendText(dst, reclaimUploadID, r.UploadID)
	dst = appendInt(dst, reclaimPart, int64(r.Part))
	dst = appendInt(dst, reclaimBytes, r.Bytes)
	dst = appendGeneration(dst, reclaimBy, r.By)
	dst = appendText(dst, reclaimPrevious, string(r.Previous))
	dst = appendBool(dst, reclaimSidecar, r.Sidecar)
	dst = appendText(dst, reclaimIndices, string(r.Indices))
	dst = appendBool(dst, reclaimSettles, r.Settles)
	return seal(dst, start)
}

// DecodeReclaim reads what AppendReclaim wrote.
func DecodeReclaim(b []byte) (*Reclaim, error) {
	const op errs.Op = "layout.DecodeReclaim"
	c, err := openCopy(op, ValueVersion, b)
	if err != nil {
		return nil, err
	}
	r := new(Reclaim)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case reclaimKind:
			r.Kind = ReclaimKind(c.small(form))
		case reclaimBucket:
			r.Bucket = c.bucketID(form)
		case reclaimName:
			r.Name = c.text(form)
		case reclaimPayload:
			r.Payload = c.generation(form)
		case reclaimPath:
			r.Path = c.text(form)
		case reclaimUploadID:
			r.UploadID = c.text(form)
		case reclaimPart:
			r.Part = int(c.int(form))
		case reclaimBytes:
			r.Bytes = c.int(form)
		case reclaimBy:
			r.By = c.generation(form)
		case reclaimPrevious:
			if previous := c.text(form); previous != "" {
				r.Previous = []byte(previous)
			}
		case reclaimSidecar:
			r.Sidecar = c.bool(form)
		case reclaimIndices:
			if indices := c.text(form); indices != "" {
				r.Indices = []byte(indices)
			}
		case reclaimSettles:
			r.Settles = c.bool(form)
		default:
			c.skip(field, form)
		}
	}
	if err := c.close(op); err != nil {
		return nil, err
	}
	return r, nil
}
