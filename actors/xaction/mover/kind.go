package mover

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/placement"
)

// Name is the kind's.
const Name = "move"

// Parameters are a move's: ids of mountpaths of the node.
type Parameters struct {
	// From are the mountpaths whose objects are looked at; none: all of the node's.
	From []string `json:"from,omitempty"`
	// Placement is the set among which HRW chooses where each key belongs.
	Placement []string `json:"placement"`
}

// Kind describes the job that moves every object and every upload under way that
// is on a mountpath of From and belongs to another one of Placement.
func Kind(c Config) xaction.Kind {
	m := &Mover{c}
	return xaction.Kind{
		Name:    Name,
		Summary: "Moves objects between the mountpaths of the node to where HRW over a new set of them says.",
		Scope:   xaction.OncePerNode, Pausable: true, Resumable: true, Priority: 1,
		Check: func(raw json.RawMessage) (xaction.Target, error) {
			var p Parameters
			if err := xaction.Decode(raw, &p); err != nil {
				return xaction.Target{}, err
			}
			return xaction.Target{}, m.check(&p)
		},
		Run: m.run,
	}
}

// check says what is wrong with parameters.
func (m *Mover) check(p *Parameters) error {
	roster := m.Roster.Load()
	if len(p.Placement) == 0 {
		return errors.New("placement: at least one mountpath")
	}
	for name, ids := range map[string][]string{"from": p.From, "placement": p.Placement} {
		seen := make(map[string]bool)
		for _, id := range ids {
			if view(roster, id) == nil {
				return fmt.Errorf("%s: the node has no mountpath %q", name, id)
			}
			if seen[id] {
				return fmt.Errorf("%s: mountpath %q is named twice", name, id)
			}
			seen[id] = true
		}
	}
	return nil
}

// view finds a mountpath; nil if there is none.
func view(r *messages.Roster, id string) *messages.MountpathView {
	for i := range r.Mountpaths {
		if r.Mountpaths[i].ID == id {
			return &r.Mountpaths[i]
		}
	}
	return nil
}

// target is where keys belong.
type target struct {
	ids     []string
	digests []uint64
}

func newTarget(ids []string) *target {
	t := &target{ids: ids}
	for _, id := range ids {
		t.digests = append(t.digests, objects.DigestID(id))
	}
	return t
}

// owner returns the id of the mountpath that a key belongs to.
func (t *target) owner(key objects.Key) string {
	return t.ids[placement.Highest(t.digests, key.Digest())]
}
