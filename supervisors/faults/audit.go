package faults

import (
	"cmp"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	// MaxEnded is how many faults a desk remembers that have ended.
	MaxEnded = 1000
	// MaxSample is how many different things a fault remembers that it has hit.
	MaxSample = 16
)

// Origin is who asks a desk for something. Empty: a test, or the desk itself.
type Origin struct {
	Principal string // whose signature it is: an access key
	Request   string // the id of the request
}

func (o Origin) fields() logrus.Fields {
	fields := logrus.Fields{}
	if o.Principal != "" {
		fields["principal"] = o.Principal
	}
	if o.Request != "" {
		fields["request"] = o.Request
	}
	return fields
}

// End says why a fault has ended; empty: it has not.
type End string

const (
	Expired End = "expired"
	Cleared End = "cleared"
	Stopped End = "stopped" // its node did
)

// Hit is one thing that a fault has hit, once or more often.
type Hit struct {
	What        string // "node/mountpaths/d0/w3 messages.PutObject photos/cat.jpg", "read /disks/1/photos/cat.jpg"
	Count       uint64
	First, Last time.Time
}

// effects is what a fault has done.
type effects struct {
	hits        uint64
	first, last time.Time
	sample      []Hit // the first MaxSample different ones
}

// add counts a hit.
func (e *effects) add(what string, now time.Time) {
	e.hits++
	if e.hits == 1 {
		e.first = now
	}
	e.last = now
	at := slices.IndexFunc(e.sample, func(h Hit) bool { return h.What == what })
	switch {
	case at >= 0:
		e.sample[at].Count++
		e.sample[at].Last = now
	case len(e.sample) < MaxSample:
		e.sample = append(e.sample, Hit{What: what, Count: 1, First: now, Last: now})
	}
}

// remember keeps what there is to know of a fault that has ended.
// REQUIRES: mu is held.
func (d *Desk) remember(s Status) {
	if len(d.ended) == MaxEnded {
		d.ended = slices.Delete(d.ended, 0, 1)
	}
	d.ended = append(d.ended, s)
}

// History returns the faults that have ended, in the order in which they did: the last
// MaxEnded.
func (d *Desk) History() []Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.ended)
}

// All returns the faults of List and of History, each once, in the order in which they
// were injected.
func (d *Desk) All() []Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := append(d.list(), d.ended...)
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.ID, b.ID) })
	return all
}
