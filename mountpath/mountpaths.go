package mountpath

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// Name is the supervisor's among the node's children.
const Name = "mountpaths"

// DefaultTransfers is how many large payloads come in to one mountpath at a time.
const DefaultTransfers = 128

// Limits bounds one mountpath.
type Limits struct {
	WriteLanes int           // 0: 16
	ReadLanes  int           // 0: 8
	Transfers  int           // large payloads on their way in at a time; 0: 128
	Idle       time.Duration // a transfer that hears nothing for so long ends; 0: 10 minutes
}

// withDefaults fills in what is not set. Sixteen lanes keep sixteen commits
// waiting for one sync; more only queue. Eight readers keep a disk with a queue
// busy. 128 transfers of four slabs are 64 MiB.
func (l Limits) withDefaults() Limits {
	if l.WriteLanes == 0 {
		l.WriteLanes = 16
	}
	if l.ReadLanes == 0 {
		l.ReadLanes = 8
	}
	if l.Transfers == 0 {
		l.Transfers = DefaultTransfers
	}
	if l.Idle == 0 {
		l.Idle = 10 * time.Minute
	}
	return l
}

// Mount is one mountpath as the node found it at start.
type Mount struct {
	ID    string
	Path  string       // as configured, for people
	Store *store.Store // nil: it could not be opened, or is missing
	Why   string       // why Store is nil
	// Events is where Store's events are put; the coordinator empties it.
	Events <-chan store.Event
}

// Config is what the actors of mountpaths need.
type Config struct {
	System    *actors.System
	Limits    Limits
	Published *atomic.Pointer[messages.Roster]
	Mounts    []Mount
	MD5       *checksum.MD5Pool // of the node; nil: every transfer by itself
}

// Spec describes the supervisor of a node's mountpaths.
func Spec(c Config) actors.Spec {
	c.Limits = c.Limits.withDefaults()
	return actors.Spec{Name: Name, New: func() actor.Actor { return &mountpaths{Config: c} }}
}

// mountpaths supervises the coordinators and publishes the roster.
// Its fields belong to the actor: only Receive and the on… methods touch them.
type mountpaths struct {
	Config
	views []messages.MountpathView
}

// Receive implements actor.Actor.
func (s *mountpaths) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		s.onStarted(ctx)
	case *mountpathDisabled:
		s.onMountpathDisabled(m)
	case *mountpathClosed:
		s.onMountpathClosed(m)
	default:
		actors.Unexpected(ctx, s.System.Log())
	}
}

func (s *mountpaths) onStarted(ctx actor.Context) {
	s.views = make([]messages.MountpathView, len(s.Mounts))
	for i, m := range s.Mounts {
		view := messages.MountpathView{ID: m.ID, Path: m.Path, Offline: m.Why}
		if m.Store != nil {
			view = s.spawn(ctx, i, m)
		}
		s.views[i] = view
	}
	s.publish()
}

// spawn spawns a mountpath's coordinator and computes the addresses of its lanes.
func (s *mountpaths) spawn(ctx actor.Context, number int, m Mount) messages.MountpathView {
	name := "d" + strconv.Itoa(number)
	self := ctx.Self()
	system := s.System
	disable := func(reason string) {
		system.Root().Send(self, &mountpathDisabled{id: m.ID, reason: reason})
	}
	closeWrites := func(reason string) {
		system.Root().Send(self, &mountpathClosed{id: m.ID, reason: reason})
	}
	pid, err := s.System.Spawn(ctx, actors.Spec{
		Name: name,
		New: func() actor.Actor {
			return newCoordinator(s.Config, m, verdicts{disable: disable, closeWrites: closeWrites})
		},
		Policy: actors.Policy{
			Limit: 10, Window: time.Minute,
			GaveUp: func(any) { disable("its coordinator failed too often") },
		},
	})
	if err != nil {
		panic(err) // the names are ours: a fault of the program
	}
	view := messages.MountpathView{ID: m.ID, Path: m.Path, Coordinator: pid}
	for i := range s.Limits.WriteLanes {
		view.Writers = append(view.Writers, s.System.PID(pid.Id+"/w"+strconv.Itoa(i)))
	}
	for i := range s.Limits.ReadLanes {
		view.Readers = append(view.Readers, s.System.PID(pid.Id+"/r"+strconv.Itoa(i)))
	}
	return view
}

// mountpathDisabled says that a mountpath is of no more use. Sent by its
// coordinator, or by the supervision of it.
type mountpathDisabled struct{ id, reason string }

func (s *mountpaths) onMountpathDisabled(m *mountpathDisabled) {
	for i := range s.views {
		if s.views[i].ID == m.id && s.views[i].Offline == "" {
			s.views[i].Offline = m.reason
			s.System.Log().WithField("mountpath", s.views[i].Path).WithField("reason", m.reason).Error("mountpath disabled")
		}
	}
	s.publish()
}

// mountpathClosed says that a mountpath takes no writes any more and can still be
// read. Sent by its coordinator.
type mountpathClosed struct{ id, reason string }

func (s *mountpaths) onMountpathClosed(m *mountpathClosed) {
	for i := range s.views {
		if s.views[i].ID == m.id {
			s.views[i].ReadOnly = m.reason
			s.System.Log().WithField("mountpath", s.views[i].Path).WithField("reason", m.reason).Error("mountpath takes no writes; reads go on")
		}
	}
	s.publish()
}

func (s *mountpaths) publish() {
	s.Published.Store(messages.NewRoster(append([]messages.MountpathView(nil), s.views...)))
}
