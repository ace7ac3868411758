package member

import (
	"time"

	"github.com/troupe-storage/troupe/objects/smap"
)

// never is a moment that has not been.
const never = time.Duration(-1)

// contact is how probes of one node went. Moments are on the Elapsed of the clock.
// The zero value is not ready.
type contact struct {
	heard   time.Duration // when the last probe that was answered began; never: none was
	failing time.Duration // when the first of the probes that failed since began; never: none has
	steady  time.Duration // since when each probe has been answered; never: the last one was not
	status  Status        // the last answer
	asked   time.Duration // when the probe was asked, on Awake, to which that came; never: there is none
	why     string        // of the last failure
}

func newContact() contact { return contact{heard: never, failing: never, steady: never, asked: never} }

// answered notes a probe that began at a moment and was answered.
func (c contact) answered(began time.Duration, s Status) contact {
	c.heard, c.failing, c.status, c.why = began, never, s, ""
	if c.steady == never {
		c.steady = began
	}
	return c
}

// failed notes a probe that began at a moment and was not answered. That nothing was
// asked for a while, because this process did not run, is no failure of the other.
func (c contact) failed(began time.Duration, why error) contact {
	c.steady, c.why = never, why.Error()
	if c.failing == never {
		c.failing = began
	}
	return c
}

// silent reports whether probes have failed for SilentAfter.
func (c contact) silent(now time.Duration) bool {
	return c.failing != never && now-c.failing >= SilentAfter
}

// fresh reports whether the last answer is young enough to be judged by.
func (c contact) fresh(now time.Duration) bool { return c.heard != never && now-c.heard < SilentAfter }

// isSteady reports whether the node has been reached for SteadyAfter without a break.
func (c contact) isSteady(now time.Duration) bool {
	return c.steady != never && c.fresh(now) && now-c.steady >= SteadyAfter
}

// complaints are the standing ones of a node about the nodes of its map.
func complaints(self smap.NodeID, m *smap.Smap, contacts map[smap.NodeID]contact, now time.Duration) (silent []smap.Complaint, unsteady []smap.NodeID) {
	if m == nil {
		return nil, nil
	}
	for _, node := range m.Nodes() {
		if node.ID == self {
			continue
		}
		c, asked := contacts[node.ID]
		if asked && c.silent(now) {
			silent = append(silent, smap.Complaint{By: self, About: node.ID, Since: node.Since})
		}
		if !asked || !c.isSteady(now) {
			unsteady = append(unsteady, node.ID)
		}
	}
	return silent, unsteady
}
