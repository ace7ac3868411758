package storage

import (
	"errors"
	"fmt"
	"time"

	"github.com/troupe-storage/troupe/mountpath/offline"
	"github.com/troupe-storage/troupe/objects/errs"
)

// CheckOptions say what to check.
type CheckOptions struct {
	Data   []string
	Verify bool
	Repair bool
	Now    time.Time
}

// Checked is what a check saw.
type Checked struct {
	Mountpaths []*offline.Checked `json:"mountpaths"`
	Findings   []offline.Finding  `json:"findings"`
	Missing    []Missing          `json:"missing_mountpaths"`
}

// Clean reports whether there is neither a fault nor an orphan. What the next
// start finishes does not count.
func (c *Checked) Clean() bool {
	for _, m := range c.Mountpaths {
		if m.Faults+m.Orphans > 0 {
			return false
		}
	}
	return true
}

// Check compares indexes and files of mountpaths that no node has open. With
// Repair it moves orphans to quarantine; else it changes nothing. An error means
// that not everything could be checked.
func Check(o CheckOptions) (result *Checked, err error) {
	const op errs.Op = "storage.Check"
	s, err := openSet(o.Data, func(string) bool { return o.Repair })
	if err != nil {
		return nil, errs.E(op, err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	result = &Checked{Findings: []offline.Finding{}, Missing: s.missed()}
	var failures []error
	for i, m := range s.mounts {
		checked, err := offline.Check(m, offline.CheckOptions{
			Buckets: s.buckets, Verify: o.Verify, Repair: o.Repair, Now: o.Now, Log: s.log,
			Found: func(f offline.Finding) { result.Findings = append(result.Findings, f) },
		})
		if checked != nil {
			result.Mountpaths = append(result.Mountpaths, checked)
			checkDocuments(s, i, checked, result)
		}
		if err != nil {
			failures = append(failures, err)
		}
	}
	if err := errors.Join(failures...); err != nil {
		return result, errs.E(op, err)
	}
	return result, nil
}

// checkDocuments compares the documents of one mountpath with those in force.
func checkDocuments(s *set, i int, checked *offline.Checked, result *Checked) {
	fault := func(kind, format string, args ...any) {
		checked.Faults++
		result.Findings = append(result.Findings, offline.Finding{Level: offline.Fault, Kind: kind, Mountpath: s.mounts[i].Name, Detail: fmt.Sprintf(format, args...)})
	}
	shelf := s.shelves[i]
	node := s.documents.Node()
	if _, err := shelf.Read("node.json"); err != nil {
		fault("document lost", "node.json: %v", err)
	}
	if node.Start < checked.Start {
		fault("start counter too low", "the node's is %d, and there is a generation of start %d: new writes would look older than old ones; troupe storage rebuild raises it", node.Start, checked.Start)
	}
	for id, doc := range s.buckets {
		if _, err := shelf.Read("buckets/" + id.String() + ".json"); err != nil {
			checked.Pending++
			result.Findings = append(result.Findings, offline.Finding{
				Level: offline.Pending, Kind: "document missing", Mountpath: s.mounts[i].Name, Bucket: doc.Name, Detail: "the next start copies it from the others",
			})
		}
	}
}
