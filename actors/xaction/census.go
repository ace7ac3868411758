package xaction

import "github.com/troupe-storage/troupe/messages"

// Census is what metrics show of a node's jobs: an immutable snapshot, but for
// the amounts of jobs under way, which are read as they are.
type Census struct {
	kinds []string
	jobs  map[string]map[messages.JobState]int
	done  map[string]Amount // by jobs that are not under way
	live  map[string][]*ledger
}

// Tally is the jobs of one kind.
type Tally struct {
	Kind string
	Jobs map[messages.JobState]int // by state; only to be read
	Done Amount                    // by all of them since the node was started, and by those remembered from before
}

// Tallies returns a tally per kind, ordered by name.
func (c *Census) Tallies() []Tally {
	if c == nil {
		return nil
	}
	tallies := make([]Tally, len(c.kinds))
	for i, kind := range c.kinds {
		done := c.done[kind]
		for _, l := range c.live[kind] {
			amount := l.amount()
			done.Objects += amount.Objects
			done.Bytes += amount.Bytes
		}
		tallies[i] = Tally{Kind: kind, Jobs: c.jobs[kind], Done: done}
	}
	return tallies
}

// publish puts a new census where metrics find it.
func (x *xactions) publish() {
	if x.Published == nil {
		return
	}
	c := &Census{jobs: make(map[string]map[messages.JobState]int), done: make(map[string]Amount), live: make(map[string][]*ledger)}
	for _, k := range x.kinds.list() {
		c.kinds = append(c.kinds, k.Name)
		c.jobs[k.Name] = make(map[messages.JobState]int)
		c.done[k.Name] = x.jobs.past[k.Name]
	}
	for _, e := range x.jobs.byID {
		kind := e.doc.Kind
		if c.jobs[kind] == nil {
			continue // of a kind that is not there any more
		}
		c.jobs[kind][e.doc.State]++
		if e.ledger != nil {
			c.live[kind] = append(c.live[kind], e.ledger)
			continue
		}
		done := c.done[kind]
		done.Objects += e.doc.Progress.Objects
		done.Bytes += e.doc.Progress.Bytes
		c.done[kind] = done
	}
	x.Published.Store(c)
}
