package mountpath

import (
	"maps"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects/clock"
)

// phase says who is at work on a mountpath.
type phase uint8

const (
	serving  phase = iota // a coordinator stands in front of an open store
	stopping              // its coordinator is ending; the store is open
	working               // a worker is opening or closing the store
	away                  // there is no store
)

// keptChanges is how many changes of state are kept with a mountpath.
const keptChanges = 32

// place is one mountpath of the node, through all its stores. It belongs to the
// supervisor of mountpaths, but for mount's functions, which workers call.
type place struct {
	number int
	mount  Mount // Store: the one that is open
	// custody is of the store that is open: another one begins anew.
	custody *custody
	view    messages.MountpathView

	phase      phase
	report     report
	since      time.Time
	changes    []messages.MountpathChange // the last ones, oldest first
	counts     map[messages.MountpathState]uint64
	byOperator bool // it is disabled because somebody wants it so
	reopens    bool // it is to be opened again after it is closed
	awaits     bool // it was read-only when the node started and could not be read, and is tried until it can be opened
	attempts   int  // to do that
	retry      clock.Timer
	recording  int  // workers that write the documents
	hidden     bool // it is not in the roster: it joins and is not at work yet, or it has left
	retired    bool // it has left the set, and its directory is to be wiped

	// waiting is answered when the change under way is complete; nil: nobody waits.
	waiting messages.Reply[messages.MountpathStatus]
}

// healthy is the report of a mountpath that nothing is known against.
func healthy() report {
	return report{state: messages.MountpathOK, writable: true, readable: true}
}

// freshly is the report of a mountpath whose store has just been opened.
func freshly(s *store.Store) report {
	r := healthy()
	if s.ReadOnly() {
		r.state, r.reason, r.writable = messages.MountpathReadOnly, readOnlyReason, false
	}
	return r
}

func newPlace(number int, m Mount, now time.Time) *place {
	p := &place{
		number: number, mount: m, custody: newCustody(), report: healthy(), since: now, byOperator: m.Disabled,
		view: messages.MountpathView{ID: m.ID, Path: m.Path}, counts: make(map[messages.MountpathState]uint64),
	}
	if m.Store != nil {
		p.note(now, freshly(m.Store))
	} else {
		p.phase = away
		state := messages.MountpathMissing
		if m.Disabled {
			state = messages.MountpathDisabled
		}
		p.awaits = m.ReadOnly && !m.Disabled
		p.note(now, report{state: state, reason: m.Why})
	}
	return p
}

// note takes a report over, and reports whether it says something else to those
// who use the mountpath.
func (p *place) note(now time.Time, next report) (changed bool) {
	was := p.report
	p.report = next
	if was.state != next.state {
		p.since = now
		p.counts[next.state]++
		p.changes = append(p.changes, messages.MountpathChange{At: now, State: next.state, Reason: next.reason})
		if extra := len(p.changes) - keptChanges; extra > 0 {
			p.changes = append([]messages.MountpathChange(nil), p.changes[extra:]...)
		}
	}
	return was.state != next.state || was.reason != next.reason || was.writable != next.writable || was.readable != next.readable
}

// isAt reports whether the mountpath is at an absolute path.
func (p *place) isAt(path string) bool { return p.mount.Path == path || p.mount.Given == path }

// show is the mountpath as the roster has it.
func (p *place) show() messages.MountpathView {
	v := p.view
	v.State, v.Reason, v.Changes = p.report.state, p.report.reason, maps.Clone(p.counts)
	why := string(p.report.state) + ": " + p.report.reason
	switch {
	case p.phase != serving && p.report.state == messages.MountpathOK:
		v.Offline = "it is being opened"
	case p.phase != serving || !p.report.readable:
		v.Offline = why
	case !p.report.writable:
		v.ReadOnly = why
	}
	if p.phase == away {
		v.Coordinator = nil
	}
	return v
}

// status is all that is known of the mountpath.
func (p *place) status() messages.MountpathStatus {
	m := messages.MountpathStatus{
		ID: p.mount.ID, Path: p.mount.Path, State: p.report.state, Reason: p.report.reason, Since: p.since,
		Writable: p.phase == serving && p.report.writable, Readable: p.phase == serving && p.report.readable,
		Errors: p.report.errors, Probe: p.report.probe, Changes: p.changes,
	}
	if s := p.mount.Store; s != nil {
		space := s.Space()
		m.TotalBytes, m.FreeBytes, m.ReservedBytes = space.TotalBytes, space.FreeBytes, s.Reserved()
		m.TotalFiles, m.FreeFiles = space.TotalFiles, space.FreeFiles
		m.ReclaimPayloads, m.ReclaimBytes = s.Reclaimable()
		m.Leases, m.Reopenings = s.Leases(), s.Reopenings()
		m.UnsettledKeys, _ = s.Unsettled()
	}
	return m
}

// answer answers who waits, if somebody does.
func (p *place) answer(status messages.MountpathStatus, err error) {
	if p.waiting != nil {
		p.waiting.Send(status, err)
		p.waiting = nil
	}
}
