package offline

import (
	"errors"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Sink takes exported objects. Errors of kind Corrupt are of the object alone: the
// sink has nothing of it, and takes others. All others end the export.
type Sink interface {
	Put(o *Object) error
	// Close ends the export: what was put is there afterwards.
	Close() error
}

// Exported is what an export did.
type Exported struct {
	Objects  int       `json:"objects"`
	Bytes    int64     `json:"bytes"`
	Findings []Finding `json:"findings"` // what is missing, and why
}

// Export puts every object wanted into the sink, verified on the way, and closes
// it. Damaged objects are passed over; they are in Findings, as everything is that
// could not be read. Progress, if not nil, is called after each object.
func Export(mounts []*Mount, r Reading, sink Sink, progress func(*Exported)) (*Exported, error) {
	const op errs.Op = "offline.Export"
	result := &Exported{Findings: []Finding{}}
	told := r.Found
	r.Found = func(f Finding) {
		result.Findings = append(result.Findings, f)
		if told != nil {
			told(f)
		}
	}
	for o, err := range Objects(mounts, r) {
		if err != nil {
			return result, errs.E(op, errors.Join(err, sink.Close()))
		}
		switch err := sink.Put(o); {
		case errs.Is(errs.Corrupt, err):
			r.Found(Finding{Level: Fault, Kind: "damaged payload", Mountpath: o.Mountpath(), Path: layout.Text(o.path), Detail: err.Error()}.of(o.Key))
			continue
		case err != nil:
			return result, errs.E(op, o.Key, errors.Join(err, sink.Close()))
		}
		result.Objects++
		result.Bytes += o.Meta.Size
		if progress != nil {
			progress(result)
		}
	}
	return result, errs.Wrap(op, sink.Close())
}
