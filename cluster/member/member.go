package member

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Name is the actor's among the node's children.
const Name = "cluster"

// Config is what a node's membership needs. Every field is needed unless it says
// otherwise.
type Config struct {
	System    *actors.System
	Provider  cluster.Provider // the caller closes it, after the actor has ended
	ClusterID string
	Name      string // of the cluster, for people
	Record    Record // of this node; its ID is stable over restarts
	// Registration is what the catalogue is told; ClusterID, ClusterName, NodeID and
	// Heartbeat are filled in.
	Registration cluster.Registration
	Peers        Peers
	Archive      Archive
	Pace         cluster.Pace // of calls to the provider; its Clock is the system's
	// HasBuckets reports whether the node knows of a bucket; called on every tick, on any
	// goroutine. nil: it has none, ever.
	HasBuckets func() bool
	// Buckets are the documents of buckets; nil: none are followed.
	Buckets *Buckets
	// Accounts are the documents of users, policies and roles; nil: none are followed.
	Accounts *Accounts
	// CatchUp makes the node's own state equal to what it is to be, under a map that says
	// it is recovering; in a goroutine of its own, until its context ends. nil: there is
	// nothing to do.
	CatchUp func(ctx context.Context, m *smap.Smap) error
	// Lacks says what the node cannot answer for; called on every tick, on any goroutine.
	// nil: it never lacks anything.
	Lacks func() Lack
	// Awake is the time since some moment on a clock that goes on while the machine is
	// suspended; safe for concurrent use. nil: the system's Elapsed.
	Awake func() time.Duration
	// Walked is this node's report of what it did for the plan under way; called on every
	// tick, on any goroutine. nil: no plan is ever walked here, and none gets on.
	Walked func() *messages.PlanWalk
	// Follow does what follows from the map and takes its time; in a goroutine of its own,
	// until its context ends. nil: nothing does.
	Follow func(ctx context.Context)
	// Rule is what the buckets ask of plans, by the documents that the node has; called on
	// every tick where it leads. nil: all of them have one copy.
	Rule func() Rule
	// Policy is what this node does by itself while it leads; called on every tick, on any
	// goroutine. nil: the zero value.
	Policy func() Policy
	// Settings is told what all nodes share in settings: by New what this node knew last,
	// then by the actor alone when it is something else. It does not block. nil: nobody is.
	Settings func(Settings)
	// NewLineage makes the id of a new line of maps.
	NewLineage func() (string, error)
	// Publish is told what the node knows of the cluster whenever it may be something
	// else; called by New, then by the actor alone. It does not block.
	Publish func(*messages.ClusterView)
	// Events are told what happens.
	Events *Events
	// Trouble says what is wrong with the node itself, for its check in the catalogue;
	// empty: nothing. Called on every tick, on any goroutine. nil: nothing ever is.
	Trouble func() string
}

// Policy is what who leads does by itself.
type Policy struct {
	// Manual: no plan is begun.
	Manual bool
	// GiveUpAfter is how long a node is down until it is given up; 0: it is expected back for
	// ever.
	GiveUpAfter time.Duration
}

// Membership is a node's place in its cluster. Safe for concurrent use.
type Membership struct {
	config Config
	held   *held
}

// held is what outlives a restart of the actor, which alone changes it, but for out,
// which anyone reads.
type held struct {
	current *smap.Smap // what the node acts on, and what lies on stable storage; nil: nothing yet
	records map[smap.NodeID]Record
	out     atomic.Pointer[outgoing]
	// confirmed is when what last confirmed the map was asked, on Awake.
	confirmed atomic.Int64
	settings  atomic.Pointer[Settings]  // what all nodes share; never nil
	self      atomic.Pointer[actor.PID] // the actor as it is now
}

// outgoing is what other nodes are asked with and answered.
type outgoing struct {
	probe   Probe
	status  Status // without Map
	text    json.RawMessage
	records map[smap.NodeID]Record
	leader  smap.NodeID
}

// New reads what the node acted on before, and publishes it. It blocks on the disks,
// and asks nobody.
func New(c Config) (*Membership, error) {
	const op errs.Op = "member.New"
	c.Pace.Clock = c.System.Clock()
	c.Registration.ClusterID, c.Registration.ClusterName, c.Registration.NodeID = c.ClusterID, c.Name, string(c.Record.ID)
	c.Registration.Heartbeat = Heartbeat
	if err := c.Registration.Validate(); err != nil {
		return nil, errs.E(op, err)
	}
	if c.HasBuckets == nil {
		c.HasBuckets = func() bool { return false }
	}
	if c.Trouble == nil {
		c.Trouble = func() string { return "" }
	}
	if c.CatchUp == nil {
		c.CatchUp = func(context.Context, *smap.Smap) error { return nil }
	}
	if c.Lacks == nil {
		c.Lacks = func() Lack { return Lack{} }
	}
	if c.Awake == nil {
		c.Awake = c.System.Clock().Elapsed
	}
	if c.Walked == nil {
		c.Walked = func() *messages.PlanWalk { return nil }
	}
	if c.Rule == nil {
		c.Rule = func() Rule { return Rule{Copies: 1} }
	}
	if c.Policy == nil {
		c.Policy = func() Policy { return Policy{} }
	}
	if c.Settings == nil {
		c.Settings = func(Settings) {}
	}
	adopted, err := c.Archive.Load()
	if err != nil {
		return nil, errs.E(op, err)
	}
	h := &held{records: map[smap.NodeID]Record{c.Record.ID: c.Record}}
	for _, r := range adopted.Records {
		if r.ID != c.Record.ID {
			h.records[r.ID] = r
		}
	}
	if len(adopted.Map) > 0 {
		if h.current, err = smap.Parse(adopted.Map); err != nil {
			return nil, errs.E(op, errs.Corrupt, fmt.Errorf("the map that the node acted on: %w", err))
		}
	}
	m := &member{Config: c, held: h}
	m.contacts = make(map[smap.NodeID]contact)
	h.confirmed.Store(neverConfirmed)
	h.settings.Store(&adopted.Settings)
	c.Settings(adopted.Settings)
	m.publish()
	return &Membership{c, h}, nil
}

// Spec describes the actor.
func (s *Membership) Spec() actors.Spec {
	return actors.Spec{Name: Name, Kind: "membership of a cluster", New: func() actor.Actor { return &member{Config: s.config, held: s.held} }}
}

// Answer is what this node answers a probe with; for the intra listener. Denied: the
// asker is of another cluster.
func (s *Membership) Answer(p Probe) (Status, error) {
	if p.ClusterID != s.config.ClusterID {
		return Status{}, errs.E("member.Answer", string(p.From), errs.Denied, fmt.Errorf("it belongs to cluster %q, and this node to %q", p.ClusterID, s.config.ClusterID))
	}
	out := s.held.out.Load()
	if self := s.held.self.Load(); self != nil && p.Heir != "" && p.From == out.leader {
		s.config.System.Root().Send(self, &heirNamed{p.From, p.Heir})
	}
	status := out.status
	if status.Version > p.Version && (p.Lineage == "" || p.Lineage == status.Lineage) {
		status.Map = out.text
	}
	return status, nil
}

// member coordinates the membership of a node. Its fields belong to the actor: only
// Receive and what it calls touch them.
type member struct {
	Config
	held *held

	store    *cluster.Store
	presence *cluster.Presence
	tasks    uint64             // numbers them
	endCalls context.CancelFunc // those about buckets; nil: none are made
	// endAccountCalls ends those about accounts; nil: none are made.
	endAccountCalls context.CancelFunc
	ending          bool // the actor was told to end: it begins nothing any more

	// What is known of others.
	began     time.Duration // since when this actor asks them
	contacts  map[smap.NodeID]contact
	probers   map[smap.NodeID]*actor.PID
	catalogue map[smap.NodeID]cluster.Member
	leader    smap.NodeID
	told      bool // the provider has this node's record, as far as is known
	looked    bool // the provider's records have been seen

	// What the provider has, as it was last seen.
	lost     bool // it has no map, or an older one
	hasMap   bool // it has one
	watchErr error
	read     reading // the last consistent one
	outages  map[smap.NodeID]outage

	// What operators want, and what waits for a decision.
	wishes wishes
	wished bool // they have been seen
	asks   []*asked
	asking *asked // what is being written; nil: nobody asked for it

	// The lead.
	candidate  *actor.PID // nil: this node does not want to lead
	lead       *cluster.Lead
	leadSince  time.Duration
	aside      time.Duration // until when it does not want to lead
	candidates uint64
	inheritance
	expectation

	// What is under way; one of each at a time.
	fetching, saving, writing, telling, catching bool
	documenting                                  bool
	again                                        bool          // fetch once more
	waiting                                      *smap.Smap    // the newest that is to be saved
	unsaved                                      bool          // the settings are not on the disk
	lostSettings, keeping                        bool          // the provider has older settings than the node; they are being written
	retry, documentRetry                         time.Duration // until when nothing is tried again; the latter for document
	filled                                       time.Duration // until when there are buckets, whatever this node knows of them

	caughtUp    uint64
	behind      repeated      // tries to catch up that failed
	unwritten   repeated      // tries to write the map that failed
	mended      time.Duration // until when no cluster is founded: somebody has to mend something first
	refused     string
	unconfirmed string
	silent      []smap.NodeID
	shown       string               // why nothing is founded or restored, as logged last
	wanted      map[smap.NodeID]bool // who is being asked for its map
	health      cluster.Health       // as the catalogue was told last
}

// tick says that it is time to look at what is known. One that an earlier incarnation of the
// actor waited for is nobody's: each has ticks of its own.
type tick struct{ of *member }

// caughtUp says how catching up went.
type caughtUp struct {
	since uint64
	err   error
}

// Receive implements actor.Actor.
func (m *member) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *actor.Started:
		m.onStarted(ctx)
	case *actor.Stopping:
		m.onStopping()
	case *tick:
		m.onTick(ctx, msg)

	case *versionSeen:
		m.onVersionSeen(ctx, msg)
	case *membersSeen:
		m.onMembersSeen(msg)
	case *recordsSeen:
		m.onRecordsSeen(ctx, msg)
	case *holderSeen:
		m.onHolderSeen(msg)
	case *probed:
		m.onProbed(ctx, msg)

	case *mapFetched:
		m.onMapFetched(ctx, msg)
	case *mapSaved:
		m.onMapSaved(ctx, msg)
	case *mapWritten:
		m.onMapWritten(ctx, msg)
	case *recordWritten:
		m.onRecordWritten(msg)
	case *caughtUp:
		m.onCaughtUp(msg)

	case *asked:
		m.onAsked(ctx, msg)
	case *heirNamed:
		m.onHeirNamed(ctx, msg)
	case *wishesSeen:
		m.onWishesSeen(msg)
	case *settingsSeen:
		m.onSettingsSeen(msg)
	case *settingsKept:
		m.onSettingsKept(msg)

	case *documented:
		m.onDocumented(msg)

	case *mapWanted:
		m.onMapWanted(ctx, msg)
	case *mapAsked:
		m.onMapAsked(ctx, msg)
	case *leadWon:
		m.onLeadWon(ctx, msg)
	case *leadLost:
		m.onLeadLost(msg)
	case *candidateFailed:
		m.watchErr = msg.err

	default:
		actors.Unexpected(ctx, m.System.Log())
	}
}

func (m *member) onStarted(ctx actor.Context) {
	m.began, m.contacts = m.now(), make(map[smap.NodeID]contact)
	m.probers = make(map[smap.NodeID]*actor.PID)
	m.catalogue = make(map[smap.NodeID]cluster.Member)
	m.wanted = make(map[smap.NodeID]bool)
	m.store = cluster.NewStore(m.Provider, m.Pace)
	keys, err := cluster.NewKeys(m.ClusterID)
	if err == nil {
		m.presence, err = cluster.NewPresence(m.Provider, m.Registration, m.Pace)
	}
	if err != nil {
		panic(err) // New and who made the id have checked both
	}
	self, root := ctx.Self(), m.System.Root()
	send := func(message any) { root.Send(self, message) }
	m.held.self.Store(self)
	m.lasting(ctx, "watch-wishes", func(ctx context.Context) {
		follow(ctx, cluster.WatchDocument(m.Provider, keys.Wishes(), m.Pace), func(doc cluster.Document, err error) { send(&wishesSeen{doc, err}) })
	})
	m.lasting(ctx, "watch-settings", func(ctx context.Context) {
		follow(ctx, cluster.WatchDocument(m.Provider, keys.Config(), m.Pace), func(doc cluster.Document, err error) { send(&settingsSeen{doc, err}) })
	})
	if m.Follow != nil {
		m.lasting(ctx, "follow", m.Follow)
	}
	m.lasting(ctx, "presence", func(ctx context.Context) {
		if err := m.presence.Run(ctx); err != nil {
			panic(err) // it runs twice: a fault of the program
		}
	})
	m.lasting(ctx, "watch-map", func(ctx context.Context) {
		follow(ctx, cluster.WatchDocument(m.Provider, keys.SmapVersion(), m.Pace), func(doc cluster.Document, err error) { send(&versionSeen{doc, err}) })
	})
	m.lasting(ctx, "watch-members", func(ctx context.Context) {
		follow(ctx, cluster.WatchMembers(m.Provider, m.ClusterID, m.Pace), func(members []cluster.Member, err error) { send(&membersSeen{members, err}) })
	})
	m.lasting(ctx, "watch-nodes", func(ctx context.Context) {
		follow(ctx, cluster.WatchDocuments(m.Provider, keys.Nodes(), m.Pace), func(docs []cluster.Document, err error) {
			if err != nil {
				send(&recordsSeen{nil, err})
				return
			}
			records, faults := recordsOf(docs)
			if faults != nil {
				m.System.Log().WithError(faults).Error("documents of nodes cannot be read")
			}
			send(&recordsSeen{records, nil})
		})
	})
	m.lasting(ctx, "watch-leader", func(ctx context.Context) {
		follow(ctx, cluster.WatchHolder(m.Provider, keys.Leader(), m.Pace), func(h cluster.Holder, err error) { send(&holderSeen{h, err}) })
	})
	if m.Buckets != nil {
		m.endCalls = m.Buckets.open()
		m.lasting(ctx, "watch-buckets", func(ctx context.Context) { m.Buckets.follow(ctx, m.Pace) })
		m.lasting(ctx, "sweep-buckets", m.Buckets.sweepAll)
	}
	if m.Accounts != nil {
		m.endAccountCalls = m.Accounts.open()
		m.lasting(ctx, "watch-accounts", func(ctx context.Context) { m.Accounts.follow(ctx, m.Pace) })
		m.lasting(ctx, "mend-accounts", m.Accounts.mendAll)
	}
	m.probeAll(ctx)
	m.schedule(ctx)
}

// onStopping ends what others wait for that the provider may not answer in time.
func (m *member) onStopping() {
	m.ending = true
	if m.endCalls != nil {
		m.endCalls()
	}
	if m.endAccountCalls != nil {
		m.endAccountCalls()
	}
}

func (m *member) keys() cluster.Keys {
	keys, err := cluster.NewKeys(m.ClusterID)
	if err != nil {
		panic(err) // onStarted has made the same
	}
	return keys
}

func (m *member) now() time.Duration { return m.System.Clock().Elapsed() }

func (m *member) schedule(ctx actor.Context) {
	self := ctx.Self()
	m.System.Clock().AfterFunc(tickEvery, func() { m.System.Root().Send(self, &tick{m}) })
}

// onTick looks at what is known, and does what is to be done about it.
func (m *member) onTick(ctx actor.Context, msg *tick) {
	if m.ending || msg.of != m {
		return
	}
	defer m.schedule(ctx)
	m.confirm()
	m.listen()
	m.watchOutages()
	m.probeAll(ctx)
	m.want(ctx)
	m.tellHealth(m.publish())
	m.expire()
	if m.now() < m.retry {
		return
	}
	if m.looked && !m.told && !m.telling && !m.removed() {
		m.tell(ctx)
	}
	if (m.waiting != nil || m.unsaved && m.held.current != nil) && !m.saving {
		m.save(ctx)
	}
	m.keepSettings(ctx)
	if (m.again || m.mayBeAlone()) && !m.fetching {
		m.fetch(ctx)
	}
	m.catchUp(ctx)
	m.giveWay(ctx)
	m.document(ctx)
	m.act(ctx)
}

// removed reports whether the node is in the map no more.
func (m *member) removed() bool {
	if m.held.current == nil {
		return false
	}
	_, in := m.held.current.Node(m.Record.ID)
	return !in
}

// confirm finds out whether the provider answers.
func (m *member) confirm() {
	why := ""
	if err := m.presence.State().Err; err != nil {
		why = err.Error()
	} else if m.watchErr != nil {
		why = m.watchErr.Error()
	}
	if (why == "") != (m.unconfirmed == "") {
		kind := messages.ClusterUnconfirmed
		if why == "" {
			kind = messages.ClusterConfirmed
		}
		m.emit(messages.ClusterEvent{Kind: kind, Reason: why})
	}
	m.unconfirmed = why
}

// listen notes who has become silent, and who is heard again.
func (m *member) listen() {
	now := m.now()
	var silent []smap.NodeID
	for id, c := range m.contacts {
		was := slices.Contains(m.silent, id)
		switch {
		case c.silent(now):
			silent = append(silent, id)
			if !was {
				m.emit(messages.ClusterEvent{Kind: messages.ClusterNodeSilent, Node: id, Reason: c.why})
			}
		case was:
			m.emit(messages.ClusterEvent{Kind: messages.ClusterNodeHeard, Node: id})
		}
	}
	slices.Sort(silent)
	m.silent = silent
}

// probeAll sees that every node that is known is asked, and nobody else.
func (m *member) probeAll(ctx actor.Context) {
	known := make(map[smap.NodeID]bool)
	for id := range m.held.records {
		known[id] = id != m.Record.ID
	}
	for id, pid := range m.probers {
		if !known[id] {
			ctx.Stop(pid)
			delete(m.probers, id)
			delete(m.contacts, id)
		}
	}
	self, root := ctx.Self(), m.System.Root()
	for id, is := range known {
		if is && m.probers[id] == nil {
			m.tasks++
			m.probers[id] = m.lasting(ctx, fmt.Sprintf("probe-%s-%d", id, m.tasks), func(ctx context.Context) {
				m.probe(ctx, id, func(message any) { root.Send(self, message) })
			})
		}
	}
}

// publish shows what is known: to requests, and to other nodes.
func (m *member) publish() *messages.ClusterView {
	m.confirmMap()
	h, now := m.held, m.now()
	out := &outgoing{records: h.records, leader: m.leader, probe: Probe{From: m.Record.ID, ClusterID: m.ClusterID}}
	out.status = Status{Node: m.Record.ID, ClusterID: m.ClusterID, CaughtUp: m.caughtUp, Data: m.HasBuckets()}
	lack := m.Lacks()
	if out.status.Unfit = lack.Unfit; lack.Why != "" {
		out.status.CaughtUp, out.status.Lost = 0, m.lacking(lack)
	}
	view := &messages.ClusterView{
		Self: m.Record.ID, ClusterID: m.ClusterID, Name: m.Name, Map: h.current, Nodes: make(map[smap.NodeID]messages.NodeAddresses),
		Leader: m.leader, Unconfirmed: m.unconfirmed, Refused: m.refused, Silent: m.silent, Health: make(map[smap.NodeID]messages.NodeHealth, len(m.catalogue)),
	}
	for id, r := range h.records {
		view.Nodes[id] = r.Addresses
	}
	for id, c := range m.catalogue {
		view.Health[id] = messages.NodeHealth{Status: string(c.Status), Reason: c.Reason}
	}
	if h.current != nil {
		out.probe.Lineage, out.probe.Version = h.current.Lineage(), h.current.Version()
		if was := h.out.Load(); was != nil && was.status.Version == h.current.Version() {
			out.text, out.status.Hash = was.text, was.status.Hash // they cost more than all else
		} else {
			text, err := h.current.MarshalJSON()
			if err != nil {
				panic(err) // it was read from JSON, or written as such
			}
			out.text, out.status.Hash = text, h.current.Hash()
		}
		out.status.Lineage, out.status.Version = out.probe.Lineage, out.probe.Version
		out.status.Complaints, out.status.Unsteady = complaints(m.Record.ID, h.current, m.contacts, now)
	}
	out.status.Walk = m.Walked()
	out.probe.Heir, out.status.Heir = m.heir, m.expected()
	view.Plan, view.Held = m.plan(out.status), m.Policy().Manual || m.wishes.Held
	if m.Buckets != nil {
		out.status.Buckets = m.Buckets.version.Load() // before what is being dropped, which is marked first
		out.status.Dropping = m.Buckets.graves.all()
		view.Buckets = out.status.Buckets
		others := make(map[smap.NodeID]adoptedBuckets, len(m.contacts))
		for id, c := range m.contacts {
			others[id] = adoptedBuckets{c.status.Buckets, c.status.Dropping}
		}
		m.Buckets.others.Store(&others)
	}
	if m.Accounts != nil {
		out.status.Accounts = m.Accounts.version.Load()
		others := make(map[smap.NodeID]uint64, len(m.contacts))
		for id, c := range m.contacts {
			others[id] = c.status.Accounts
		}
		m.Accounts.others.Store(&others)
	}
	h.out.Store(out)
	m.Publish(view)
	return view
}

// tellHealth has the catalogue say why the node does not serve, or not with all that it
// has. It is a warning: the node passes requests on all the same.
func (m *member) tellHealth(view *messages.ClusterView) {
	health := cluster.Health{Status: cluster.Passing}
	for _, why := range []string{view.Unready(), view.Refused, m.Trouble()} {
		if why != "" {
			health = cluster.Health{Status: cluster.Warning, Reason: why}
			break
		}
	}
	if health != m.health {
		m.health = health
		m.presence.SetHealth(health)
	}
}

// emit tells of something that has happened.
func (m *member) emit(e messages.ClusterEvent) {
	e.At = m.System.Clock().Now()
	m.Events.tell(e)
}
