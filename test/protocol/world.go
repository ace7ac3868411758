package protocol

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/troupe-storage/troupe/objects/placement"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Profile is what a run is like.
type Profile struct {
	Nodes, Copies, MinCopies int
	Keys, Clients, Steps     int
	Plans, Disks, Losses     bool // plans are made; disks are lost; losses of nodes are accepted
	Recounts                 bool // plans change the number of copies
	Local                    bool // hosts are the mountpaths of a node (local.go)
	Mood                     Mood

	Data, Parity, MinSlices int    // of payloads; zero: values are with their records
	Absent                  int    // how many nodes are left away when the run is looked at before its rest
	Breaks                  int    // how many disks may be lost, and slices damaged
	Forms                   []Form // that values may be converted to
}

// Times, in steps of a run.
const (
	aloneAfter = 40
	giveUp     = 6 * aloneAfter
)

// world is everything around the nodes: the network, Consul, clients, an
// operator. It takes one step per number of the schedule; equal schedules give
// equal runs.
type world struct {
	profile  Profile
	setting  *Setting
	hosts    []*host
	consul   bool       // whether it answers
	kv       *smap.Smap // what it holds
	document Document   // likewise, of the bucket
	drafts   []draft
	walked   []smap.Walked

	converted []was

	plans, conversions int // that were finished
	givenUp            int // nodes
	flight             []envelope
	late               []envelope // repeated messages that come when all is over
	sent               int
	steps              int

	clients []*client
	history []event
	ops     int
	clock   int64 // of the history: each event has a time of its own
	now     int64 // of the nodes
	halfAt  map[string]int64
	digests map[smap.NodeID]smap.Digest

	process process // of profile Local

	broken  int // disks that were lost, and slices that were damaged
	damages int // the latter of them
	trace   []string
	tell    bool
	resting bool // everything is well, and the run ends
}

// host is a machine with a node.
type host struct {
	node   *Node
	dead   bool
	paused bool
	cut    bool // from the other nodes and Consul, not from clients

	here   bool          // in profile Local: the process has it
	mounts mountDocument // likewise, what it has of the mount map
	hung   *Message      // likewise, what it was at when it began to hang
}

// draft is a map that somebody is about to write.
type draft struct {
	base, next *smap.Smap
	name       string
	then       func()
}

// envelope is a message on its way.
type envelope struct {
	message Message
	name    string
	number  int
}

// client does one operation after another.
type client struct {
	name    string
	pending int // index in history; -1: none
	since   int64
	seen    map[string]string // what it last read
}

// event is an operation as a client saw it.
type event struct {
	client       int
	key          string
	op           Op
	call, ended  int64 // ended 0: never answered
	answer       Answer
	acceptedLoss bool
}

// newWorld makes a cluster whose nodes are up, all of them owners.
func newWorld(profile Profile, rules Rules, tell bool) *world {
	w := &world{profile: profile, consul: true, tell: tell, halfAt: map[string]int64{}, digests: map[smap.NodeID]smap.Digest{}}
	w.setting = &Setting{Rules: rules, Copies: profile.Copies, MinCopies: profile.MinCopies, Keys: map[string]uint64{},
		Data: profile.Data, Parity: profile.Parity, MinSlices: profile.MinSlices}
	w.setting.Local = profile.Local
	if profile.Losses {
		w.setting.AloneAfter = aloneAfter
	}
	for i := range profile.Keys {
		w.setting.Keys[fmt.Sprintf("k%d", i+1)] = placement.Mix(uint64(i) + 77)
	}
	var nodes []smap.Node
	for i := range profile.Nodes {
		nodes = append(nodes, smap.Node{ID: smap.NodeID(fmt.Sprintf("n%d", i+1)), Digest: smap.Digest(placement.Mix(uint64(i) + 1))})
	}
	m, err := smap.New("model", nodes...)
	if err != nil {
		panic(err) // the nodes are written above
	}
	w.kv, w.document = m, Document{Copies: profile.Copies, Form: w.setting.first()}
	for _, node := range nodes {
		w.digests[node.ID] = node.Digest
		w.hosts = append(w.hosts, &host{node: NewNode(node.ID, w.setting, m)})
	}
	for i := range profile.Clients {
		w.clients = append(w.clients, &client{name: fmt.Sprintf("c%d", i+1), pending: -1, seen: map[string]string{}})
	}
	if profile.Local {
		w.found()
	}
	return w
}

// say adds a line to the trace.
func (w *world) say(format string, args ...any) {
	if w.tell {
		w.trace = append(w.trace, fmt.Sprintf("%4d  %s", w.now, fmt.Sprintf(format, args...)))
	}
}

// weight orders candidates of a step: the highest is taken. Because it depends on
// the step's number and the candidate's name only, leaving out other steps seldom
// changes what a step does: that is what makes schedules shrink.
func weight(step uint64, name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	return placement.Mix(step ^ h.Sum64())
}

// pick returns the candidate with the highest weight, or false.
func pick[T any](step uint64, list []T, name func(T) string) (T, bool) {
	var best T
	var highest uint64
	found := false
	for _, candidate := range list {
		if h := weight(step, name(candidate)); !found || h > highest {
			best, highest, found = candidate, h, true
		}
	}
	return best, found
}

func (w *world) host(id smap.NodeID) *host {
	for _, h := range w.hosts {
		if h.node.id == id {
			return h
		}
	}
	return nil
}

func hostName(h *host) string { return string(h.node.id) }

// step does what a number of the schedule says.
func (w *world) step(s uint64) {
	w.now += 1 + int64(s>>60&1)
	if s>>50&0x3ff == 0 {
		w.now += aloneAfter
	}
	for _, h := range w.hosts {
		h.node.Tick(w.now)
	}
	w.watchHalves()
	w.isolate()
	if w.profile.Local {
		w.process.power = -1
		if s>>40&7 == 0 {
			w.process.power = int(s >> 43 & 7)
		}
	}
	w.profile.Mood.table(w)[w.profile.Mood.choose(s)](s)
}

// run lets an event happen at a host, and takes what comes of it.
func (w *world) run(h *host, what string, do func(*Node)) {
	version := h.node.smap.Version()
	w.say("%s %s", h.node.id, what)
	do(h.node)
	if len(h.node.out)+len(h.node.answers) == 0 && version == h.node.smap.Version() && !strings.HasPrefix(what, "gets") && w.tell {
		w.trace = w.trace[:len(w.trace)-1] // nothing came of it
	}
	w.collect(h)
}

func (w *world) collect(h *host) {
	out, answers := h.node.Take()
	for _, m := range out {
		if m.Kind != Report || !w.resting {
			w.say("      %s", m)
		}
		w.send(m)
	}
	for _, a := range answers {
		w.answered(a)
	}
}

func (w *world) send(m Message) {
	if m.Kind == Report || m.Kind == GetMap || m.Kind == Map {
		for _, other := range w.flight { // a second one says nothing new
			if other.message.Kind == m.Kind && other.message.From == m.From && other.message.To == m.To && other.message.Report == m.Report && m.Kind != Map {
				return
			}
		}
	}
	w.sent++
	w.flight = append(w.flight, envelope{m, m.String(), w.sent})
	if len(w.flight) > 150 && w.profile.Data == 0 || len(w.flight) > 400 {
		w.flight = w.flight[1:]
	}
}

// take removes a message from the network.
func (w *world) take(e envelope) {
	w.flight = slices.DeleteFunc(w.flight, func(other envelope) bool { return other.number == e.number })
}

// arriving returns the messages that can be delivered now.
func (w *world) arriving() []envelope {
	return slices.DeleteFunc(slices.Clone(w.flight), func(e envelope) bool {
		h := w.host(e.message.To)
		return h != nil && h.paused || w.cutOff(e.message)
	})
}

// cutOff reports whether a message cannot come through. Consul's answers that were
// on their way still do.
func (w *world) cutOff(m Message) bool {
	if to := w.host(m.To); to != nil && to.cut && m.From != "" {
		return true
	}
	from := w.host(m.From)
	return from != nil && from.cut
}

// isolate cuts one node off for the middle of a run whose profile has losses, and
// in some runs pauses it meanwhile: long enough to be given up.
func (w *world) isolate() {
	if !w.profile.Losses {
		return
	}
	h := w.hosts[w.profile.Steps/100%len(w.hosts)]
	w.steps++
	switch w.steps {
	case w.profile.Steps / 4:
		w.send(Message{Kind: Map, To: h.node.id, Map: w.kv, Asked: w.now}) // it has just asked
		h.cut, h.paused = true, w.profile.Keys > 1
		w.say("%s is cut off, paused: %v", h.node.id, h.paused)
	case w.profile.Steps * 3 / 4:
		h.paused = false
		w.say("%s goes on, still cut off", h.node.id)
	case w.profile.Steps * 9 / 10:
		h.cut = false
		w.say("%s is not cut off any more", h.node.id)
	}
}

func (w *world) stepDeliver(s uint64) {
	times := uint64(1)
	if w.profile.Data > 0 { // there are more messages
		times = 4
	}
	for i := range times {
		if e, ok := pick(s+i, w.arriving(), func(e envelope) string { return e.name }); ok {
			w.deliver(e)
		}
	}
}

func (w *world) deliver(e envelope) {
	w.take(e)
	if e.message.Kind == Report {
		w.lead(e.message)
		return
	}
	h := w.host(e.message.To)
	if h.dead {
		if e.message.Kind == Request {
			w.answered(Answer{Op: e.message.Op.ID, Outcome: Refused}) // the connection is refused
		}
		return
	}
	w.run(h, "gets "+e.name, func(n *Node) { n.Deliver(e.message) })
}

func (w *world) stepDrop(s uint64) {
	if e, ok := pick(s, w.flight, func(e envelope) string { return e.name }); ok {
		w.say("lost: %s", e.name)
		w.take(e)
	}
}

func (w *world) stepRepeat(s uint64) {
	list := slices.DeleteFunc(slices.Clone(w.flight), func(e envelope) bool {
		return e.message.Kind == Request && (w.setting.Rules.On(RelayOnce) || e.message.From == "")
	})
	if e, ok := pick(s, list, func(e envelope) string { return e.name }); ok {
		w.say("repeated: %s", e.name)
		if len(w.late) < 8 && s>>20&1 == 0 {
			w.late = append(w.late, e) // comes when all is over
			return
		}
		w.send(e.message)
	}
}

// alive returns the hosts that do something.
func (w *world) alive() []*host {
	return slices.DeleteFunc(slices.Clone(w.hosts), func(h *host) bool { return h.dead || h.paused })
}

func (w *world) stepAdopt(s uint64) {
	h, ok := pick(s, w.alive(), hostName)
	if !ok {
		return
	}
	if !w.consul || h.cut {
		w.run(h, "asks the others for a newer map", func(n *Node) { n.Inquire() })
		return
	}
	w.say("%s reads v%d from Consul", h.node.id, w.kv.Version())
	m := Message{Kind: Map, To: h.node.id, Map: w.kv, Asked: w.now}
	if s>>20&3 == 0 {
		w.send(m) // the answer takes its time
		return
	}
	document := s>>22&7 == 0 // seldom: it is adopted late
	w.run(h, "adopts", func(n *Node) {
		n.Deliver(m)
		if document {
			n.AdoptDocument(w.document)
		}
	})
}

func (w *world) stepGoOn(s uint64) {
	if h, ok := pick(s, w.alive(), hostName); ok {
		if w.profile.Data > 0 && s>>22&3 == 0 {
			w.goOn(h, 4)
			if len(w.profile.Forms) > 0 {
				w.goOn(h, 5)
			}
			return
		}
		w.goOn(h, s>>20%4)
	}
}

func (w *world) goOn(h *host, what uint64) {
	switch what {
	case 0:
		w.run(h, "sends again", func(n *Node) { n.Again() })
	case 1:
		w.run(h, "goes on with its plan", func(n *Node) { n.Plan() })
	case 3:
		w.run(h, "deletes what it holds no more", func(n *Node) { n.Clean() })
	case 2:
		w.run(h, "goes on with its return", func(n *Node) { n.Walk() })
	case 4:
		w.run(h, "repairs", func(n *Node) { n.Repair() })
	case 5:
		w.run(h, "converts", func(n *Node) { n.Convert() })
	}
}

func (w *world) stepDeadline(s uint64) {
	if h, ok := pick(s, w.alive(), hostName); ok {
		key := fmt.Sprintf("k%d", s>>20%uint64(w.profile.Keys)+1)
		w.run(h, "gives up "+key, func(n *Node) { n.GiveUp(key) })
	}
}

func (w *world) stepPause(s uint64) {
	h, _ := pick(s, w.hosts, hostName)
	if h.cut {
		return
	}
	h.paused = !h.paused
	w.say("%s paused: %v", h.node.id, h.paused)
}

func (w *world) stepKill(s uint64) {
	if w.profile.Data > 0 && s>>32&1 == 0 && w.cutWrite(s) {
		return
	}
	h, _ := pick(s, w.hosts, hostName)
	if h.cut {
		return
	}
	if h.dead || s>>20&1 == 0 {
		if !h.dead && s>>21&1 == 0 {
			h.node.Sync() // a map that was not synced on purpose may be on disk all the same
		}
		w.say("%s starts", h.node.id)
		h.dead, h.paused = false, false
		h.node.Restart()
		h.node.Tick(w.now)
		return
	}
	w.say("%s is killed", h.node.id)
	h.dead = true
	h.node.Take()
}

// cutWrite kills a node that spreads a write, so that some get it and others do not; what was
// staged for it may expire before anybody asks.
func (w *world) cutWrite(s uint64) bool {
	writes := func(h *host) (string, bool) {
		for _, key := range h.node.keys() {
			if l := h.node.lines[key]; l != nil && l.current != nil && l.current.phase == "write" {
				return key, true
			}
		}
		return "", false
	}
	h, ok := pick(s, slices.DeleteFunc(w.alive(), func(h *host) bool { _, is := writes(h); return !is }), hostName)
	if !ok {
		return false
	}
	key, _ := writes(h)
	w.say("%s is killed while it writes %s", h.node.id, key)
	h.dead = true
	h.node.Take()
	w.flight = slices.DeleteFunc(w.flight, func(e envelope) bool {
		return e.message.From == h.node.id && weight(s, e.name)%4 != 0
	})
	if s>>34&1 == 0 {
		for _, other := range w.alive() {
			w.run(other, "drops what is staged of "+key, func(n *Node) { n.Expire(key) })
		}
	}
	if s>>35&1 == 0 {
		w.say("%s starts", h.node.id)
		h.dead = false
		h.node.Restart()
		h.node.Tick(w.now)
	}
	return true
}

func (w *world) stepConsul(uint64) {
	w.consul = !w.consul
	w.say("Consul answers: %v", w.consul)
}

func (w *world) stepCompact(s uint64) {
	if h, ok := pick(s, w.alive(), hostName); ok {
		w.run(h, "drops tombstones", func(n *Node) { n.Compact() })
	}
}

// stepDisaster loses a disk, or accepts the loss of a node.
func (w *world) stepDisaster(s uint64) {
	if w.profile.Disks {
		if h, ok := pick(s, w.alive(), hostName); ok && w.spareDisk(h) {
			var keys []string
			for i, key := range h.node.keys() {
				if s>>(20+i)&1 == 0 {
					keys = append(keys, key)
				}
			}
			w.broken++
			w.run(h, "loses a disk with "+strings.Join(keys, ", "), func(n *Node) { n.LoseDisk(keys) })
		}
	}
	if w.profile.Losses {
		w.acceptLoss(s)
	}
}

// stepExpire drops what is staged for a key at a node, or at all of them.
func (w *world) stepExpire(s uint64) {
	one, _ := pick(s, w.alive(), hostName)
	key := fmt.Sprintf("k%d", s>>20%uint64(w.profile.Keys)+1)
	for _, h := range w.alive() {
		if h != one && s>>30&1 == 0 {
			continue
		}
		w.run(h, "drops what is staged of "+key, func(n *Node) { n.Expire(key) })
	}
}

// stepDamage damages the slices of a key at a node.
func (w *world) stepDamage(s uint64) {
	h, ok := pick(s, w.alive(), hostName)
	key := fmt.Sprintf("k%d", s>>20%uint64(w.profile.Keys)+1)
	if !ok || w.broken >= w.profile.Breaks || len(h.node.disk.Slices[key]) == 0 {
		return
	}
	w.broken++
	w.damages++
	w.say("%s damages slices of %s", h.node.id, key)
	h.node.Damage(key)
}

// spareDisk reports whether one more lost disk leaves every key with a copy: at
// most copies - 1 nodes have lost something that is not caught up.
func (w *world) spareDisk(h *host) bool {
	if w.profile.Data > 0 {
		return w.broken < w.profile.Breaks
	}
	losers := 0
	for _, other := range w.hosts {
		if len(other.node.disk.Unknown) > 0 && other != h {
			losers++
		}
	}
	return losers < w.setting.least(w.kv)-1
}
