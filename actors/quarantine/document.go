package quarantine

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// documentFormat is the form of a quarantine's document; a greater one is a newer
// release's.
const documentFormat = 1

// document is a quarantine on the disk: JSON, described in docs/on-disk-format.md. It is
// written once.
type document struct {
	Format  int               `json:"format"`
	Version uint64            `json:"version"` // 1
	ID      string            `json:"id"`
	Thing   messages.Thing    `json:"thing"`
	Bucket  *objects.BucketID `json:"bucket_id,omitempty"`
	Of      string            `json:"bucket,omitempty"` // of a key
	Name    string            `json:"name"`
	Access  messages.Access   `json:"access"`
	Since   time.Time         `json:"since"`
	Panics  int               `json:"panics"`
	Actor   string            `json:"actor"`
	Message string            `json:"message"`
	Cause   string            `json:"cause"`
	Stack   string            `json:"stack"`
	Binary  string            `json:"binary,omitempty"` // its version
}

func encode(q *messages.Quarantine) ([]byte, error) {
	h := q.Handling
	d := document{
		Format: documentFormat, Version: 1, ID: q.ID, Thing: h.Thing, Of: h.Of, Name: h.Name, Access: h.Does, Since: q.Since, Panics: q.Panics,
		Actor: q.Address, Message: q.Message, Cause: q.Cause, Stack: q.Stack, Binary: q.Version,
	}
	if !h.Bucket.IsZero() {
		d.Bucket = &h.Bucket
	}
	content, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, errs.E("quarantine.encode", q.ID, errs.Internal, err)
	}
	return append(content, '\n'), nil
}

// decode reads what encode wrote and Store.Put put under the id.
func decode(id string, content []byte) (messages.Quarantine, error) {
	const op errs.Op = "quarantine.decode"
	var d document
	if err := json.Unmarshal(content, &d); err != nil {
		return messages.Quarantine{}, errs.E(op, id, errs.Corrupt, err)
	}
	switch {
	case d.Format > documentFormat:
		return messages.Quarantine{}, errs.E(op, id, errs.Invalid, fmt.Errorf("the document has format %d, this release knows %d", d.Format, documentFormat))
	case d.ID != id || d.Thing == "" || d.Access == "":
		return messages.Quarantine{}, errs.E(op, id, errs.Corrupt, errors.New("the document does not say what is quarantined, or is another one's"))
	}
	q := messages.Quarantine{
		ID: d.ID, Handling: messages.Handling{Thing: d.Thing, Of: d.Of, Name: d.Name, Does: d.Access}, Since: d.Since, Panics: d.Panics,
		Address: d.Actor, Message: d.Message, Cause: d.Cause, Stack: d.Stack, Version: d.Binary,
	}
	if d.Bucket != nil {
		q.Handling.Bucket = *d.Bucket
	}
	return q, nil
}
