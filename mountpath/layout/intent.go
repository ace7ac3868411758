package layout

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// IntentKind says what a transfer will become. Part of the on-disk format.
type IntentKind uint8

const (
	// IntentObject: a payload file that will be renamed to Path and get a record.
	IntentObject IntentKind = 1
	// IntentPart: a payload file that will be renamed to its place in its upload's
	// directory, and become a part of the upload.
	IntentPart IntentKind = 2
	// IntentImport: like IntentObject, of an object that comes from another mountpath
	// of the node with its record.
	IntentImport IntentKind = 3
	// IntentImportPart: like IntentPart, of an object made of parts that comes from
	// another mountpath. Its manifest goes with it.
	IntentImportPart IntentKind = 4
	// IntentSlice: Indices of Payload may be in work files, or at their names. Forward only
	// with the batch that commits what names the payload, which drops the intent.
	IntentSlice IntentKind = 6
)

// Intent is what is known of a transfer before its body. It is durable before
// anything of the transfer can have another name than its work file, so that a
// crash leaves nothing that cannot be explained. With the Attribute, which has
// what is known after the body, it makes the record of an object.
type Intent struct {
	Kind    IntentKind
	Key     objects.Key
	Payload objects.Generation // names the work file
	Path    string             // natural path; empty: the name has none. The escaped path is always possible too
	Begun   time.Time          // when the transfer began
	Draft   objects.Draft      // headers, user metadata, tags, class, version id

	UploadID string // of a part
	Part     int    // number of a part, from 1

	// Record is the value of the record that comes with an import: its generation
	// and all else but where the payload lies; nil of other kinds.
	Record []byte

	// Indices are those that an IntentSlice is about, in order; objects.WholeIndex: all of
	// the payload. UploadID and Part are set if it is a part's.
	Indices []uint8
}

// Fields of message Intent.
const (
	intentKind    protowire.Number = 1
	intentKey     protowire.Number = 2
	intentPayload protowire.Number = 3
	intentPath    protowire.Number = 4
	intentBegun   protowire.Number = 5
	intentDraft   protowire.Number = 6
	intentUpload  protowire.Number = 7
	intentPart    protowire.Number = 8
	intentRecord  protowire.Number = 9
	intentIndices protowire.Number = 10
)

// AppendIntent appends the value of an intent's key.
func AppendIntent(dst []byte, i *Intent) []byte {
	start := len(dst)
	dst = append(dst, ValueVersion)
	dst = appendUint(dst, intentKind, uint64(i.Kind))
	dst = appendKey(dst, intentKey, &i.Key)
	dst = appendGeneration(dst, intentPayload, i.Payload)
	dst = appendText(dst, intentPath, i.Path)
	dst = appendTime(dst, intentBegun, i.Begun)
	dst = appendDraft(dst, intentDraft, &i.Draft)
	dst = appendText(dst, intentUpload, i.UploadID)
	dst = appendInt(dst, intentPart, int64(i.Part))
	dst = appendText(dst, intentRecord, string(i.Record))
	dst = appendText(dst, intentIndices, string(i.Indices))
	return seal(dst, start)
}

// DecodeIntent reads what AppendIntent wrote.
func DecodeIntent(b []byte) (*Intent, error) {
	const op errs.Op = "layout.DecodeIntent"
	c, err := openCopy(op, ValueVersion, b)
	if err != nil {
		return nil, err
	}
	i := new(Intent)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case intentKind:
			i.Kind = IntentKind(c.small(form))
		case intentKey:
			c.key(form, &i.Key)
		case intentPayload:
			i.Payload = c.generation(form)
		case intentPath:
			i.Path = c.text(form)
		case intentBegun:
			i.Begun = c.time(form)
		case intentDraft:
			c.draft(form, &i.Draft)
		case intentUpload:
			i.UploadID = c.text(form)
		case intentPart:
			i.Part = int(c.int(form))
		case intentRecord:
			if record := c.text(form); record != "" {
				i.Record = []byte(record)
			}
		case intentIndices:
			if indices := c.text(form); indices != "" {
				i.Indices = []byte(indices)
			}
		default:
			c.skip(field, form)
		}
	}
	if err := c.close(op); err != nil {
		return nil, err
	}
	return i, nil
}
