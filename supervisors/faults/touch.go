package faults

import (
	"path"
	"strings"
	"time"
)

// Where faults begin to matter to who serves.
const (
	// HarmlessWait is the longest wait that costs nobody anything but time. A mountpath
	// is slow from a call of a second on.
	HarmlessWait = 500 * time.Millisecond
	// HarmlessLinkWait is the same of bytes between nodes. A probe of a node may take a
	// second, and up to ten pieces of bytes on a new connection, which may wait at both ends.
	HarmlessLinkWait = 50 * time.Millisecond
	// HarmlessHits is how many single failures cost nobody anything but the requests that
	// they hit: a mountpath is failing from five errors of its disk on, and disabled when
	// what stands in front of it has failed more than ten times in a minute.
	HarmlessHits = 3
	// HarmlessAfter is for how long hits of faults that have ended count with those to come.
	HarmlessAfter = time.Minute
)

// Touch is what a fault may keep a node from. Both is possible of several faults.
type Touch struct {
	// Serves: the node may not serve its keys while the fault lasts, or not keep what it
	// acknowledges.
	Serves bool `json:"serves,omitempty"`
	// Linked: nodes may not reach each other, so that one of them may count as down.
	Linked bool `json:"linked,omitempty"`
}

// Any reports whether anything is touched.
func (t Touch) Any() bool { return t.Serves || t.Linked }

// Or returns what either touches.
func (t Touch) Or(other Touch) Touch {
	return Touch{Serves: t.Serves || other.Serves, Linked: t.Linked || other.Linked}
}

// Touches returns what a valid fault may keep a node from, by what it says and not by
// what it matches now. It errs on the side of more.
func (f *Fault) Touches() Touch { return f.burden().touches() }

// burden is what faults cost together: those that touch nothing, one by one, add up.
type burden struct {
	touch     Touch         // of those that are not harmless, however small
	waits     time.Duration // of messages and disks
	linkWaits time.Duration
	off       time.Duration // by so much the clock is
	hits      uint64        // single failures of messages and disks
	cuts      uint64        // of links
}

func (b burden) and(other burden) burden {
	return burden{
		touch: b.touch.Or(other.touch), waits: b.waits + other.waits, linkWaits: b.linkWaits + other.linkWaits,
		off: b.off + other.off, hits: b.hits + other.hits, cuts: b.cuts + other.cuts,
	}
}

func (b burden) touches() Touch {
	return b.touch.Or(Touch{
		Serves: b.waits > HarmlessWait || b.off > HarmlessWait || b.hits > HarmlessHits,
		Linked: b.linkWaits > HarmlessLinkWait || b.cuts > HarmlessHits,
	})
}

// addsTo reports whether a burden has a part in what a sum with it touches.
func (b burden) addsTo(sum burden) bool {
	return b.touches().Any() || b.waits > 0 && sum.waits > HarmlessWait || b.off > 0 && sum.off > HarmlessWait || b.hits > 0 && sum.hits > HarmlessHits ||
		b.linkWaits > 0 && sum.linkWaits > HarmlessLinkWait || b.cuts > 0 && sum.cuts > HarmlessHits
}

// burden is what the fault adds. Its numbers end above what is harmless, so that sums do
// not overflow.
func (f *Fault) burden() burden {
	hits := f.When.Count
	if hits == 0 {
		hits = HarmlessHits + 1 // no end
	}
	hits = min(hits, HarmlessHits+1)
	switch {
	case f.Messages != nil:
		return f.Messages.burden(hits)
	case f.Disk != nil:
		return f.Disk.burden(hits)
	case f.Link != nil:
		return f.Link.burden(hits)
	case f.Clock != nil:
		return burden{off: small(f.Clock.Skew.Abs() + f.Clock.Jump)}
	}
	return burden{} // jobs answer nobody
}

// small ends a wait above what is harmless.
func small(wait time.Duration) time.Duration { return min(wait, HarmlessWait+1) }

func (m *Messages) burden(hits uint64) burden {
	born, err := path.Match(m.Message, "actor.Started")
	switch {
	case strings.HasPrefix(m.Actor, jobActors):
		return burden{}
	case m.Do == Delay:
		return burden{waits: small(m.Delay + m.Jitter)}
	case m.Do == Hang, m.Do == Pause: // until it is lifted
	case m.Do == DropReply:
		return burden{hits: hits}
	case born || err != nil: // an actor that fails so does not come back
	case m.Do == Panic, m.Message == "", strings.HasPrefix(m.Message, requests):
		return burden{hits: hits}
	}
	return burden{touch: Touch{Serves: true}} // what an actor tells itself is lost for good
}

const (
	// jobActors begins the addresses of jobs.
	jobActors = "node/xactions/"
	// requests begins the types of what actors ask each other: who is not answered asks
	// again, or tells his client.
	requests = "messages."
)

func (d *Disk) burden(hits uint64) burden {
	switch d.Do {
	case Slow:
		return burden{waits: small(d.Delay + d.Jitter)}
	case Fail, FailAfterwards, ShortWrite, FlipBits, Crash:
		if !reachesIndex(d.Path) { // an index ends with its first error
			return burden{hits: hits}
		}
	}
	return burden{touch: Touch{Serves: true}} // what is acknowledged may be lost, or nothing is taken at all
}

func (l *Link) burden(hits uint64) burden {
	switch l.Do {
	case LinkDelay:
		return burden{linkWaits: small(l.Delay + l.Jitter)}
	case LinkCut:
		return burden{cuts: hits} // connections are made anew
	}
	return burden{touch: Touch{Linked: true}} // of a connection that is silent, nobody knows for seconds
}

// reachesIndex reports whether a pattern may match a file of an index.
func reachesIndex(pattern string) bool {
	if pattern == "" {
		return true
	}
	segments := strings.Split(pattern, "/")
	for n, name := range []string{".troupe", "index"} {
		if n == len(segments) {
			return false // it matches what is above
		}
		if segments[n] == "**" && n == len(segments)-1 {
			return true
		}
		if ok, err := path.Match(segments[n], name); !ok || err != nil {
			return false
		}
	}
	return true
}

// Touched returns what the faults at work, those that are about to begin, and what others
// have hit within the last minute, may keep the node from.
func (d *Desk) Touched() Touch {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.burden().touches()
}

// burden is what the node bears.
// REQUIRES: mu is held.
func (d *Desk) burden() burden {
	var all burden
	for _, i := range d.faults {
		all = all.and(i.fault.burden())
	}
	for b := range d.intended {
		all = all.and(*b)
	}
	now := d.base.Now()
	for _, s := range d.ended {
		if s.Hits == 0 || now.Sub(s.Last) > HarmlessAfter {
			continue
		}
		was := s.Fault.burden() // less where it was ended early
		all = all.and(burden{hits: min(was.hits, s.Hits), cuts: min(was.cuts, s.Hits)})
	}
	return all
}

// Intention is a fault that may be about to begin.
type Intention struct {
	Together Touch  // what it touches with all others
	Counts   bool   // it has a part in that
	Release  func() // it has begun, or will not
}

// Intend has Touched count a fault until it is released: of two that are judged at a
// time, each is judged with the other.
func (d *Desk) Intend(f Fault) Intention {
	b := f.burden()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.intended[&b] = struct{}{}
	sum := d.burden()
	return Intention{Together: sum.touches(), Counts: b.addsTo(sum), Release: func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.intended, &b)
	}}
}
