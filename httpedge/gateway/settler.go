package gateway

import (
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
)

// settledTable knows records that all nodes have that must have them, while the record
// here does not say so yet. What it forgets is settled again. The zero value is ready.
// Safe for concurrent use.
type settledTable struct {
	mu      sync.RWMutex
	records map[objects.Key]objects.Generation
}

// maxSettled bounds the table: some 20 MB.
const maxSettled = 1 << 16

func (t *settledTable) add(key objects.Key, generation objects.Generation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.records == nil || len(t.records) >= maxSettled {
		t.records = make(map[objects.Key]objects.Generation)
	}
	t.records[key] = generation
}

func (t *settledTable) has(key objects.Key, generation objects.Generation) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	known, ok := t.records[key]
	return ok && known == generation
}

func (t *settledTable) remove(list []messages.Settlement) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range list {
		if t.records[l.Key] == l.Generation {
			delete(t.records, l.Key)
		}
	}
}

// noteSettled notes that a record is settled: at once for who reads it here, later on
// disk, and at the other nodes.
func (g *Gateway) noteSettled(bucket *objects.BucketDoc, key objects.Key, generation objects.Generation, others []*messages.NodeView) {
	g.settled.add(key, generation)
	g.System.Root().Send(g.Settler, &settledNews{bucket, messages.Settlement{Key: key, Generation: generation}, others})
}

// SettlerName is the settler's among the node's children.
const SettlerName = "settler"

// settlePause is for how long news of settled records are gathered, and settleAtOnce how
// many at the most.
const (
	settlePause  = 250 * time.Millisecond
	settleAtOnce = 1024
)

// settledNews says that a record is settled. Sent by requests.
type settledNews struct {
	bucket     *objects.BucketDoc
	settlement messages.Settlement
	others     []*messages.NodeView
}

// settlePass says that it is time to tell.
type settlePass struct{}

// settler tells lanes and other nodes which records are settled, many at a time. It is a
// worker: it waits for lanes and for other nodes. What it loses is settled again by who
// needs it.
type settler struct {
	gateway *Gateway
	news    []*settledNews
}

// SettlerSpec describes the actor that tells of settled records.
func SettlerSpec(g *Gateway) actors.Spec {
	return actors.Spec{Name: SettlerName, Kind: "settler", New: func() actor.Actor { return &settler{gateway: g} }}
}

// Receive implements actor.Actor.
func (s *settler) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *settledNews:
		s.news = append(s.news, m)
		switch len(s.news) {
		case 1:
			self := ctx.Self()
			s.gateway.System.Clock().AfterFunc(settlePause, func() { s.gateway.System.Root().Send(self, &settlePass{}) })
		case settleAtOnce:
			s.tell()
		}
	case *settlePass:
		s.tell()
	default:
		actors.Unexpected(ctx, s.gateway.System.Log())
	}
}

// told is what one node is told of one bucket.
type told struct {
	node   *messages.NodeView
	bucket *objects.BucketDoc
}

// tell tells what was gathered.
func (s *settler) tell() {
	news := s.news
	s.news = nil
	if len(news) == 0 {
		return
	}
	all := make([]messages.Settlement, len(news))
	lists := make(map[told][]messages.Settlement)
	for i, n := range news {
		all[i] = n.settlement
		for _, node := range n.others {
			to := told{node, n.bucket}
			lists[to] = append(lists[to], n.settlement)
		}
	}
	log := s.gateway.System.Log()
	if err := s.gateway.NoteSettled(all); err != nil {
		log.WithError(err).Debug("records are settled again when they are read: that they are cannot be noted now")
	}
	for to, list := range lists {
		if err := s.gateway.Peers.Settled(to.node, to.bucket, list); err != nil {
			log.WithError(err).WithField("node", to.node.ID).Debug("a node was not told which records are settled; it settles them when it needs to")
		}
	}
	s.gateway.settled.remove(all) // what could not be noted is settled again
}
