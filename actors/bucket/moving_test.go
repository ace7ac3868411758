package bucket

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
)

// movingShelves are two mountpaths between which a key moves at the moment at which
// the first of them has looked for a page.
type movingShelves struct {
	mu    sync.Mutex
	asked bool
	names [2]map[string]uint64 // name → sequence of its generation
}

// movingLane is the read lane of one of them.
type movingLane struct {
	shelves *movingShelves
	number  int
}

// Receive implements actor.Actor.
func (l *movingLane) Receive(ctx actor.Context) {
	m, ok := ctx.Message().(*messages.ListObjects)
	if !ok {
		return
	}
	l.shelves.mu.Lock()
	defer l.shelves.mu.Unlock()
	page := &messages.ObjectPage{}
	for _, name := range []string{"a", "both", "moving", "z"} {
		if sequence, ok := l.shelves.names[l.number][name]; ok && name > m.After {
			if len(page.Entries) == m.Limit {
				page.More = true
				break
			}
			page.Entries = append(page.Entries, messages.ObjectEntry{Name: name, Meta: &objects.Meta{Generation: objects.Generation{Seq: sequence}}})
		}
	}
	if !l.shelves.asked { // it moves now: committed at the owner's, removed at the former mountpath
		l.shelves.asked = true
		l.shelves.names[1]["moving"] = l.shelves.names[0]["moving"]
		delete(l.shelves.names[0], "moving")
	}
	m.Reply.Send(page, nil)
}

// A key that moves while it is listed is listed, once; of two records of a name the
// newer counts. The control asks in the other order, and misses the key.
func TestListingOfKeysThatMove(t *testing.T) {
	for _, c := range []struct {
		name   string
		to     []string
		misses bool
	}{
		{name: "former mountpaths first", to: []string{"1"}},
		{name: "control: the others first", to: []string{"0"}, misses: true},
	} {
		for _, limit := range []int{1, 2, 10} {
			t.Run(fmt.Sprint(c.name, " ", limit), func(t *testing.T) {
				log := logrus.New()
				log.SetOutput(io.Discard)
				system := actors.NewSystem(logrus.NewEntry(log))
				t.Cleanup(system.Shutdown)
				shelves := &movingShelves{names: [2]map[string]uint64{{"a": 1, "both": 2, "moving": 3}, {"both": 7, "z": 4}}}
				var views []messages.MountpathView
				for i := range 2 {
					pid, err := system.Spawn(system.Root(), actors.Spec{Name: fmt.Sprint("lane", i), New: func() actor.Actor { return &movingLane{shelves, i} }})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() {
						if err := system.Stop(pid); err != nil {
							t.Error(err)
						}
					})
					views = append(views, messages.MountpathView{ID: fmt.Sprint(i), Readers: []*actor.PID{pid}})
				}
				var roster atomic.Pointer[messages.Roster]
				roster.Store(messages.NewMovingRoster(views, &messages.Transition{From: []string{"0", "1"}, To: c.to}))
				found := make(map[string]uint64)
				request := &messages.ListObjects{Limit: limit}
				for {
					l := &objectLister{listing: listing{config: Config{System: system, Roster: &roster}}, request: request}
					page, err := l.page()
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range page.Entries {
						if _, twice := found[e.Name]; twice || e.Name <= request.After {
							t.Errorf("%s is listed twice, or out of order", e.Name)
						}
						found[e.Name] = e.Meta.Generation.Seq
					}
					if !page.More {
						break
					}
					request.After = page.Entries[len(page.Entries)-1].Name
				}
				_, there := found["moving"]
				if c.misses {
					if limit == 10 && there {
						t.Error("asked in the wrong order, the listing has the key all the same: the test proves nothing")
					}
					return
				}
				if !there || len(found) != 4 || found["both"] != 7 {
					t.Errorf("listed %v", found)
				}
			})
		}
	}
}
