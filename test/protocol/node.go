package protocol

import (
	"maps"
	"slices"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Setting is what all nodes of a cluster know of their one bucket and of time.
type Setting struct {
	Rules      Rules
	Copies     int
	MinCopies  int
	Data       int               // slices of a payload; 0: values are with their records, and nothing is sliced
	Parity     int               // likewise
	MinSlices  int               // distinct slices that must be there before a write is acknowledged
	Keys       map[string]uint64 // the digests of all keys that there can be
	AskCharge  bool              // who catches up asks the node in charge also where there are no slices, as the code does
	Local      bool              // nodes are mountpaths of one process: all adopt a map at once, and who returns compares everything
	AloneAfter int64             // 0: nobody is ever given up, and nobody need know whether it is alone
}

// bucketID is the bucket that all keys are in.
func bucketID() objects.BucketID { return objects.BucketID{1} }

// key is what placement must know of a key.
func (s *Setting) key(name string) smap.Key {
	return smap.Key{Digest: s.Keys[name], Bucket: bucketID(), Owners: s.Copies, Document: 1}
}

// least is how many owners each key has under a map, at the least.
func (s *Setting) least(m *smap.Smap) int {
	return m.Least(smap.Key{Bucket: bucketID(), Owners: s.Copies})
}

// enough is how many of so many owners must have a write.
func (s *Setting) enough(owners int) int { return min(s.MinCopies, owners) }

// Document is what the bucket's document says. It follows what plans have made.
type Document struct {
	Version uint64
	Copies  int
	Map     uint64 // version of the map under which it was written

	Form   Form   // of values
	Wanted Form   // zero, or what they are converted to
	Phase  string // of that: "grow", "convert", "shrink"
	Left   []Form // that values were converted to before it was taken back
}

// writesAs returns the form of new values.
func (d Document) writesAs() Form {
	if d.Phase == "convert" || d.Phase == "shrink" {
		return d.Wanted
	}
	return d.Form
}

// Disk is what a node has synced: what a restart finds.
type Disk struct {
	Map     *smap.Smap
	Bucket  Document
	Start   uint64 // the start counter
	Records map[string]Record
	Unknown map[string]bool                 // keys that were on a disk that is lost, and whether the node owned them then
	Dropped objects.Bound                   // of the tombstones that were dropped; there is one lane
	Hints   map[smap.NodeID]map[string]bool // what was written while the other was away

	Slices   map[string]map[SliceName]string // by key: those that a record named, and their contents
	Retained map[string][]Record             // by key: what unsettled records replaced
	Unbuilt  map[string]objects.Generation   // by key: a payload that the record names and nobody could give
}

// Node is one node: a state machine. Its methods take an event; what it sends and
// answers is taken from Take. No I/O, no clock, no randomness.
type Node struct {
	id      smap.NodeID
	setting *Setting
	disk    Disk

	// Lost by a restart.
	smap          *smap.Smap // the adopted map; the disk's, but for a switch
	views         map[string]smap.View
	sequence      uint64
	turn          uint64             // numbers turns and reads of this start
	lines         map[string]*line   // what waits for a key this node is in charge of
	reads         map[uint64]*asking // reads that wait to be confirmed
	walk          walk
	sweeps        map[string]sweep      // tombstones that the node in charge is asked about
	copied        map[string]smap.Epoch // keys whose next owners have them, and at which epoch
	stores        map[string]int        // how often each key was stored or acknowledged, in this start
	confirmed     int64                 // when it asked what last confirmed its map
	hellos        map[int64]map[smap.NodeID]bool
	lane          []Message                       // stores that were admitted and are not on disk yet
	staged        map[string]map[SliceName]string // slices that nothing names yet
	stagings      map[uint64]*staging             // writes that are not in their lines yet, by turn
	builds        map[uint64]*building            // by turn
	conversions   map[uint64]*conversion          // by turn
	converted     map[string]shape                // keys whose values are as they should be, and since when
	backs, losses int                             // how often it went back, and settled what is lost
	short         map[string]objects.Generation   // a settled payload of which all owners together had too little
	now           int64

	out     []Message
	answers []Answer
}

// line is the order of operations on a key: the lane, as far as one key goes.
type line struct {
	waiting []*task
	current *task   // nil between operations
	more    []*task // operations that overtook: only without OneWrite
}

// task is an operation in its line.
type task struct {
	turn  uint64
	epoch smap.Epoch
	op    *Op      // a client's; nil for a copy or a fetch
	fetch *Message // somebody who catches up
	copy  bool     // to next owners

	convert bool // to the form of new values

	phase  string // "settle", "write", "copy"
	record Record // what is being stored
	have   bool   // copy: whether there is a record
	waits  map[smap.NodeID]bool
	stored int                  // who has it, oneself included
	has    map[smap.NodeID]bool // who they are

	stage   *staging // of a write with slices
	search  *search  // while it is settled
	unbuilt bool     // the record is spread although nobody can give its payload
	asked   bool     // without TakeThenAsk: the confirmation came first
}

// asking is a read, or a failed condition, that waits for its confirmation.
type asking struct {
	key    string
	epoch  smap.Epoch
	answer Answer
	waits  map[smap.NodeID]bool
	task   *task // without TakeThenAsk: what goes on afterwards

	record Record     // what it reads
	gather *gathering // its slices; nil: the value is with the record
}

// walk is a return to up.
type walk struct {
	since  uint64            // of the entry; 0: none is under way
	done   map[string]bool   // keys that are caught up
	stores map[string]int    // what stores was when the key was asked about
	asked  map[string]uint64 // the turn of the last question; answers to others are late
}

// NewNode makes an empty node that has adopted a map.
func NewNode(id smap.NodeID, setting *Setting, m *smap.Smap) *Node {
	n := &Node{id: id, setting: setting, disk: Disk{Map: m, Bucket: Document{Copies: setting.Copies, Form: setting.first()}, Records: map[string]Record{}, Unknown: map[string]bool{}, Hints: map[smap.NodeID]map[string]bool{},
		Slices: map[string]map[SliceName]string{}, Retained: map[string][]Record{}, Unbuilt: map[string]objects.Generation{}}}
	n.Restart()
	return n
}

// on reports whether a rule holds.
func (n *Node) on(rule Rule) bool { return n.setting.Rules.On(rule) }

// Restart forgets what was not synced, and begins a start.
func (n *Node) Restart() {
	if n.on(StartCounter) || n.disk.Start == 0 {
		n.disk.Start++
	}
	n.sequence, n.turn = 0, 0
	n.smap = n.disk.Map
	n.lines, n.reads, n.walk, n.sweeps = map[string]*line{}, map[uint64]*asking{}, walk{}, map[string]sweep{}
	n.copied, n.stores = map[string]smap.Epoch{}, map[string]int{}
	n.confirmed, n.hellos = -1<<40, map[int64]map[smap.NodeID]bool{}
	n.out, n.answers, n.lane = nil, nil, nil
	n.staged, n.stagings, n.builds = map[string]map[SliceName]string{}, map[uint64]*staging{}, map[uint64]*building{}
	n.short = map[string]objects.Generation{}
	n.conversions, n.converted = map[uint64]*conversion{}, map[string]shape{}
	n.look()
}

// Take returns what the last events sent and answered.
func (n *Node) Take() ([]Message, []Answer) {
	out, answers := n.out, n.answers
	n.out, n.answers = nil, nil
	return out, answers
}

// look computes the views of all keys under the adopted map.
func (n *Node) look() {
	n.views = make(map[string]smap.View, len(n.setting.Keys))
	for key := range n.setting.Keys {
		n.views[key] = n.bend(n.smap.View(n.key(key)))
	}
}

// key is what the node knows of a key. Without CountsOfMap it goes by its document, whose
// version is in the key epoch then, unless a plan is about to change the count.
func (n *Node) key(name string) smap.Key {
	key := n.setting.key(name)
	key.Owners = n.disk.Bucket.Copies
	if !n.on(CountsOfMap) {
		key.Document = 1 + n.disk.Bucket.Version
		if next, _ := n.smap.Next(); len(next.Counts) == 0 {
			key.Bucket = objects.BucketID{}
		}
	}
	return key
}

// bend is where rules that the map's functions keep are switched off.
func (n *Node) bend(v smap.View) smap.View {
	serves := func(id smap.NodeID) bool {
		node, _ := n.smap.Node(id)
		return node.State.Serves()
	}
	if !n.on(LastToLeave) && !slices.ContainsFunc(v.Owners, serves) || !n.on(CatchUp) {
		v.InSync, v.InCharge = nil, ""
		for _, id := range v.Owners {
			if node, _ := n.smap.Node(id); !node.State.Away() {
				v.InSync = append(v.InSync, id)
			}
		}
		if len(v.InSync) > 0 {
			v.InCharge = v.InSync[0]
		}
	}
	if !n.on(NextOwnersAck) {
		v.AckSet = slices.DeleteFunc(v.AckSet, func(id smap.NodeID) bool { return !slices.Contains(v.Owners, id) })
	}
	return v
}

// self returns the node's own entry.
func (n *Node) self() smap.Node {
	node, _ := n.smap.Node(n.id)
	return node
}

// Adopt takes a newer map. It is a barrier: what was admitted under an older epoch
// of its key ends before anything is answered under the newer one.
func (n *Node) Adopt(m *smap.Smap) {
	if m.Version() <= n.smap.Version() || m.Lineage() != n.smap.Lineage() {
		return
	}
	if n.on(LaneBarrier) {
		n.drain()
	}
	n.smap = m
	if n.on(DurableAdoption) {
		n.disk.Map = m
	}
	n.turned()
	for _, node := range m.Nodes() {
		if node.State.Serves() {
			delete(n.disk.Hints, node.ID)
		}
	}
}

// AdoptDocument takes a newer document of the bucket.
func (n *Node) AdoptDocument(d Document) {
	if d.Version <= n.disk.Bucket.Version || n.smap.Version() < d.Map && n.on(DocumentAfterMap) {
		return
	}
	if n.on(LaneBarrier) {
		n.drain()
	}
	n.disk.Bucket = d
	n.turned()
}

// turned looks at all keys anew, and ends what was admitted for those whose epoch is another
// one.
func (n *Node) turned() {
	before := n.views
	n.look()
	for _, key := range n.keys() {
		if before[key].Epoch != n.views[key].Epoch && n.on(LaneBarrier) {
			n.abandon(key)
		}
	}
}

// Sync writes down what adoption without its rule left in memory.
func (n *Node) Sync() { n.disk.Map = n.smap }

// keys returns all keys, in order.
func (n *Node) keys() []string { return slices.Sorted(maps.Keys(n.setting.Keys)) }

// abandon ends all that was admitted for a key.
func (n *Node) abandon(key string) {
	if l := n.lines[key]; l != nil {
		if l.current != nil {
			n.failed(l.current)
		}
		for _, t := range append(l.more, l.waiting...) {
			n.failed(t)
		}
		delete(n.lines, key)
	}
	for _, turn := range slices.Sorted(maps.Keys(n.reads)) {
		if read := n.reads[turn]; read.key == key {
			n.answer(Answer{Op: read.answer.Op, Outcome: Refused})
			delete(n.reads, turn)
		}
	}
}

// failed answers a task that ends without success.
func (n *Node) failed(t *task) {
	switch {
	case t.op == nil:
	case t.phase == "write":
		n.answer(Answer{Op: t.op.ID, Outcome: Unknown})
	default:
		n.answer(Answer{Op: t.op.ID, Outcome: Refused})
	}
}

// answer tells a client; who may be alone tells it nothing.
func (n *Node) answer(a Answer) {
	if n.alone() && a.Outcome != Refused {
		a = Answer{Op: a.Op, Outcome: Unknown}
	}
	n.answers = append(n.answers, a)
}

// Clean deletes what the node holds no more: sources of slots that have switched,
// what a canceled plan left.
func (n *Node) Clean() {
	for key, v := range n.views {
		next := !n.on(SourcesAfter) && len(v.Next) > 0 && !slices.Contains(v.Next, n.id) && n.copied[key] == v.Epoch
		if !v.Holds(n.id) || next {
			n.forget(key)
			delete(n.disk.Unknown, key)
		}
	}
}

// Deliver takes a message.
func (n *Node) Deliver(m Message) {
	switch m.Kind {
	case Request:
		n.onRequest(m)
	case Store:
		n.onStore(m)
	case Stored:
		n.onStored(m)
	case Settled:
		n.onSettled(m)
	case Ask:
		n.onAsk(m)
	case Confirmed:
		n.onConfirmed(m)
	case Fetch:
		n.onFetch(m)
	case Fetched:
		n.onFetched(m)
	case Copy:
		n.onCopy(m)
	case Copied:
		n.onCopied(m)
	case GetMap:
		n.out = append(n.out, Message{Kind: Map, From: n.id, To: m.From, Map: n.smap})
	case Map:
		n.onMap(m)
	case Hello:
		n.out = append(n.out, Message{Kind: HelloBack, From: n.id, To: m.From, Asked: m.Asked, Version: n.smap.Version()})
	case HelloBack:
		n.onHelloBack(m)
	default:
		n.deliverSlices(m)
	}
	n.older(m)
}

// older asks for the map of a sender that has a newer one.
func (n *Node) older(m Message) {
	if m.Version > n.smap.Version() && m.From != "" {
		n.out = append(n.out, Message{Kind: GetMap, From: n.id, To: m.From})
	}
}

// send addresses a message about a key, with the fence's numbers.
func (n *Node) send(m Message) {
	m.From, m.Version = n.id, n.smap.Version()
	if m.Epoch == (smap.Epoch{}) {
		m.Epoch = n.views[m.Key].Epoch
	}
	n.out = append(n.out, m)
}

// reply answers a message about a key.
func (n *Node) reply(to, m Message) {
	m.To, m.Key, m.Turn, m.Start = to.From, to.Key, to.Turn, to.Start
	n.send(m)
}

// fenced reports whether a message must be refused: its sender is at another key
// epoch, or the node does not take part.
func (n *Node) fenced(m Message) bool {
	v := n.views[m.Key]
	return n.on(Fence) && m.Epoch != v.Epoch || n.self().State.Away() && n.on(Fence)
}

// lost reports whether a key was on a lost disk, and nothing may be said about it.
func (n *Node) lost(key string) bool {
	_, lost := n.disk.Unknown[key]
	return lost
}

// next takes a generation.
func (n *Node) next() objects.Generation {
	n.sequence++
	return objects.Generation{Map: n.smap.Version(), Start: objects.NodeStart(n.disk.Start, objects.DigestID(string(n.id))), Seq: n.sequence}
}

// keep stores a record.
func (n *Node) keep(key string, r Record) {
	n.replace(key, r)
	n.disk.Records[key] = r
	n.stores[key]++
	if r.Settled {
		n.release(key)
	}
}

// settled notes that the record of a key is.
func (n *Node) settled(key string, r Record) {
	r.Settled = true
	n.disk.Records[key] = r
	n.release(key)
}

// forget drops what the node has of a key.
func (n *Node) forget(key string) {
	delete(n.disk.Records, key)
	delete(n.disk.Slices, key)
	delete(n.disk.Retained, key)
	delete(n.disk.Unbuilt, key)
}

// hint notes a key for every owner that is away or catches up.
func (n *Node) hint(key string) {
	for _, id := range n.views[key].Owners {
		node, _ := n.smap.Node(id)
		if node.State.Serves() || id == n.id {
			continue
		}
		if n.disk.Hints[id] == nil {
			n.disk.Hints[id] = map[string]bool{}
		}
		n.disk.Hints[id][key] = true
	}
}
