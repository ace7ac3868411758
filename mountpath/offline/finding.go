package offline

import (
	"fmt"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
)

// Level says how bad a finding is.
type Level string

const (
	// Pending: what a stop or a crash leaves and the next start finishes. No fault.
	Pending Level = "pending"
	// Orphan: it takes space and nothing names it.
	Orphan Level = "orphan"
	// Fault: something stored is not as it was stored, or cannot be read.
	Fault Level = "fault"
)

// Finding is something on a mountpath that is not as it should be.
type Finding struct {
	Level     Level       `json:"level"`
	Kind      string      `json:"kind"` // a few words, the same for the same thing
	Mountpath string      `json:"mountpath"`
	Bucket    string      `json:"bucket,omitempty"`
	Key       layout.Text `json:"key,omitempty"`
	Path      layout.Text `json:"path,omitempty"` // below the mountpath
	Detail    string      `json:"detail,omitempty"`
}

// String tells the finding in a line.
func (f Finding) String() string {
	what := string(f.Path)
	if f.Bucket != "" || f.Key != "" {
		what = fmt.Sprintf("%s/%s", f.Bucket, f.Key)
		if f.Path != "" {
			what += fmt.Sprintf(" (%s)", f.Path)
		}
	}
	line := fmt.Sprintf("%s: %s: %s: %q", f.Mountpath, f.Level, f.Kind, what)
	if f.Detail != "" {
		line += ": " + f.Detail
	}
	return line
}

// of fills in whose finding it is.
func (f Finding) of(key objects.Key) Finding {
	f.Bucket, f.Key = key.Bucket.Name, layout.Text(key.Name)
	if f.Bucket == "" {
		f.Bucket = key.Bucket.ID.String()
	}
	return f
}
