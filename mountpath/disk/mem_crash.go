package disk

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// CrashPolicy says what a power cut leaves of what was not synced.
type CrashPolicy struct {
	// SyncedOnly leaves nothing of it: the least that FS promises.
	SyncedOnly bool
	// Random chooses, where SyncedOnly does not. Two crashes of one state with
	// equal sources leave the same. nil: a source made from the Mem's seed and
	// the number of operations so far.
	Random *rand.Rand
	// Torn lets Random leave blocks half written, too: of each sector of 512 bytes the
	// new bytes or the old ones. It is what a disk does whose sectors are smaller than
	// the blocks of its filesystem.
	Torn bool
}

// Crash returns what a power cut at this moment would leave: an independent Mem
// that nobody has open, with nothing locked, unsynced or read-only, and the same
// seed, space and clock. m goes on as if nothing had happened, and so do the
// files that are open in it.
//
// A name operation of which nothing was synced may have happened or not, each
// for itself, as far as what it builds on has happened: the earlier operations
// on its names, and the directories it needs. A rename is never half. Of a file,
// each block of 4 KiB written since the last sync has its new or its old bytes
// (zeros where it had none), and the length is between the old one and the new.
//
// It takes time in proportion to the files there are and to the blocks that are
// not synced; bytes are shared.
func (m *Mem) Crash(policy CrashPolicy) *Mem {
	m.mu.Lock() // sharing content writes to it
	defer m.mu.Unlock()
	chance := policy.Random
	switch {
	case policy.SyncedOnly:
		chance = nil
	case chance == nil:
		chance = rand.New(rand.NewPCG(m.seed, m.operations.Load()))
	}
	after := &Mem{
		seed: m.seed, inodes: m.inodes, space: m.space,
		clock: m.clock, ticks: m.ticks, born: m.born,
	}
	c := crash{before: m, after: after, files: make(map[*node]*node), torn: policy.Torn}
	c.decide(chance)
	if chance != nil {
		c.seed, c.random = chance.Uint64(), true
	}
	after.root = c.directory(m.root, nil)
	return after
}

// crash is one power cut being worked out.
type crash struct {
	before, after *Mem
	altered       map[*node]map[string]*node // durable names of directories in which something unsynced happened
	files         map[*node]*node            // of before: of after; for files with several names
	random        bool
	torn          bool
	seed          uint64
}

// decide chooses the unsynced name operations that happened. chance is nil if
// none of them did.
func (c *crash) decide(chance *rand.Rand) {
	likely := 0 // of 8
	if chance != nil {
		likely = chance.IntN(9) // from none to all
	}
	for op := c.before.names.first; op != nil; op = op.next {
		op.happened = (op.synced || chance != nil && chance.IntN(8) < likely) && op.possible()
		if op.happened {
			op.change(c.alter)
		}
	}
}

// possible reports whether all that the operation waits for has happened.
func (op *nameOperation) possible() bool {
	return !slices.ContainsFunc(op.waitsFor, func(before *nameOperation) bool {
		return !before.applied && !before.happened
	})
}

// alter returns the names of a directory as they are after the cut, to be
// changed.
func (c *crash) alter(directory *node) map[string]*node {
	if c.altered == nil {
		c.altered = make(map[*node]map[string]*node)
	}
	names, ok := c.altered[directory]
	if !ok {
		names = maps.Clone(directory.directory.durable)
		c.altered[directory] = names
	}
	return names
}

// directory copies a directory and everything below it.
func (c *crash) directory(before, parent *node) *node {
	after := c.node(before)
	names, altered := c.altered[before]
	if !altered {
		names = before.directory.durable
	}
	after.directory = &directory{
		names:  make(map[string]*node, len(names)),
		parent: parent,
		last:   make(map[string]*nameOperation),
	}
	c.after.charge(after, blockBytes)
	for name, child := range names {
		if child.directory != nil {
			after.directory.subs++
			after.directory.names[name] = c.directory(child, after)
			continue
		}
		file, ok := c.files[child]
		if !ok {
			file = c.file(child)
			c.files[child] = file
		}
		file.links++
		after.directory.names[name] = file
	}
	after.directory.durable = maps.Clone(after.directory.names)
	return after
}

// file copies a file. What chance does to it depends on the crash and on the
// file, not on the order in which a map is walked.
func (c *crash) file(before *node) *node {
	var chance *rand.Rand
	if c.random && before.file.unsynced() {
		chance = rand.New(rand.NewPCG(c.seed, before.number))
	}
	after := c.node(before)
	after.file = before.file.crash(chance, c.torn)
	c.after.chargeFile(after)
	return after
}

func (c *crash) node(before *node) *node {
	c.after.files++
	return &node{number: before.number, birth: before.birth, modified: before.modified}
}
