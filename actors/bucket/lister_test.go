package bucket

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
)

// shelfLane is the read lane of a mountpath that has these entries, in order.
type shelfLane struct{ entries []messages.ObjectEntry }

func (l *shelfLane) Receive(ctx actor.Context) {
	m, ok := ctx.Message().(*messages.ListObjects)
	if !ok {
		return
	}
	page := &messages.ObjectPage{}
	for _, e := range l.entries {
		if e.Name <= m.After {
			continue
		}
		if len(page.Entries) == m.Limit {
			page.More = true
			break
		}
		page.Entries = append(page.Entries, e)
	}
	m.Reply.Send(page, nil)
}

// An object that is on its way from one mountpath to another, and so on both, is
// listed once, by its later record; pages have as many names as were asked for, and
// say there is more only if there is.
func TestListingTakesAMovingObjectOnce(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	system := actors.NewSystem(logrus.NewEntry(log))
	object := func(name string, generation uint64) messages.ObjectEntry {
		return messages.ObjectEntry{Name: name, Meta: &objects.Meta{Generation: objects.Generation{Map: 1, Start: 1, Seq: generation}}}
	}
	var views []messages.MountpathView
	for i, entries := range [][]messages.ObjectEntry{
		{object("a", 1), object("c", 3), object("e", 9), {Name: "p/"}, object("z", 1)},
		{object("b", 2), object("c", 3), object("e", 5), {Name: "p/"}, object("z", 1)},
	} {
		pid, err := system.Spawn(system.Root(), actors.Spec{Name: fmt.Sprint("lane", i), New: func() actor.Actor { return &shelfLane{entries} }})
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
	roster.Store(messages.NewRoster(views))
	for _, limit := range []int{1, 2, 3, 6, 7, 100} {
		var got []string
		request := &messages.ListObjects{Limit: limit}
		for pages := 0; ; pages++ {
			l := &objectLister{listing: listing{config: Config{System: system, Roster: &roster}}, request: request}
			page, err := l.page()
			if err != nil || pages > 10 {
				t.Fatalf("limit %d: page %d: %v", limit, pages, err)
			}
			if page.More && len(page.Entries) != limit {
				t.Errorf("limit %d: a page of %d says that there is more", limit, len(page.Entries))
			}
			for _, e := range page.Entries {
				text := e.Name
				if e.Meta != nil {
					text += fmt.Sprint(e.Meta.Generation.Seq)
				}
				got = append(got, text)
				request.After = e.Name
			}
			if !page.More {
				break
			}
		}
		if want := strings.Fields("a1 b2 c3 e9 p/ z1"); !slices.Equal(got, want) {
			t.Errorf("limit %d: %q, want %q", limit, got, want)
		}
	}
}
