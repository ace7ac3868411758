package five

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/soak"
)

// Whatever breaks between five nodes, keys behave like one register each, with one copy
// and with several; and when all is whole again, all of them are served by every node.
func TestFive(t *testing.T) {
	play(t, 1, 1)
}

// The same with more accidents and other seeds each time.
func TestFiveSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "five-nodes", Unit: "schedules of accidents among five nodes in one process", Goal: 200})
	for slice.More() {
		seed := slice.Next()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { play(t, seed, 6) })
		slice.Add(1, seed+1)
	}
}

// play lets so many accidents happen, of kinds that the seed decides.
func play(t *testing.T, seed uint64, accidents int) {
	t.Logf("seed %d", seed)
	w := newWorld(t, seed)
	random := rand.New(rand.NewPCG(seed, 7))
	for _, copies := range []int{1, 2, 3} {
		w.bucket(copies, seed)
	}
	w.more(50)
	w.links.disturb(noise{delay: 4 * time.Millisecond, breaks: 20})
	for range accidents {
		kinds := w.kinds()
		kind := kinds[random.IntN(len(kinds))]
		order := random.Perm(count)
		t.Logf("%s: %v", kind.name, order)
		kind.play(order)
		w.more(60)
	}
	w.links.mend(count)
	w.await("all are up again", w.isState(smap.Up, 0, 1, 2, 3, 4))
	w.more(50)
	for _, l := range w.loads {
		l.Judge()
	}
	for _, l := range w.loads {
		if l.Trouble() == 0 {
			t.Errorf("%s: no request met any trouble: nothing was tried", l.Bucket)
		}
	}
}

// kind is a kind of accident. It happens to the nodes of an order, the first first, and is
// over at its end, though nodes may still be on their way back.
type kind struct {
	name string
	play func(order []int)
}

func (w *world) kinds() []kind {
	return []kind{
		{"a node stops and starts again", func(order []int) {
			w.stop(order[0])
			w.await("it is down", w.isState(smap.Down, order[0]))
			w.more(60)
			w.start(order[0])
			w.await("it is up", w.isState(smap.Up, order[0]))
		}},
		{"a node is cut off", func(order []int) {
			w.cut(order[:1], order[1:], true)
			w.nodes[order[0]].provider.Faults().Cut(true)
			w.await("it is down", w.isState(smap.Down, order[0]))
			w.more(60)
			w.nodes[order[0]].provider.Faults().Cut(false)
			w.cut(order[:1], order[1:], false)
		}},
		{"two and three nodes do not reach each other", func(order []int) {
			// With fewer up, the two may be half of them, hold the lock, and rightly stay.
			w.await("all are up", w.isState(smap.Up, order...))
			w.cut(order[:2], order[2:], true)
			w.await("the two are down", w.isState(smap.Down, order[:2]...))
			w.more(60)
			w.cut(order[:2], order[2:], false)
			w.await("the two are up", w.isState(smap.Up, order[:2]...))
		}},
		{"what a node sends another is lost", func(order []int) {
			w.links.lose(order[0], order[1], true)
			w.await("one of them is down", func() bool {
				return w.isState(smap.Down, order[0])() || w.isState(smap.Down, order[1])()
			})
			w.more(60)
			w.links.lose(order[0], order[1], false)
		}},
		{"a node flaps", func(order []int) {
			for range 4 {
				w.cut(order[:1], order[1:], true)
				w.more(20)
				w.cut(order[:1], order[1:], false)
				w.more(20)
			}
		}},
		{"nobody reaches what all agree on, and a node restarts", func(order []int) {
			for _, n := range w.nodes {
				n.provider.Faults().Cut(true)
			}
			w.more(60)
			for _, n := range w.nodes {
				n.provider.Faults().Cut(false)
			}
			w.stop(order[0])
			w.start(order[0]) // before anyone has missed it, perhaps
		}},
	}
}

// cut makes what nodes of one side send to the other get lost, both ways, or arrive.
func (w *world) cut(side, other []int, is bool) {
	for _, a := range side {
		for _, b := range other {
			w.links.lose(a, b, is)
			w.links.lose(b, a, is)
		}
	}
}

// Every kind of accident can be played: seeds decide which, and a kind that nobody ever
// played would be none.
func TestSeedsPlayAllKinds(t *testing.T) {
	kinds := (&world{}).kinds()
	played := make([]bool, len(kinds))
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 7))
		played[random.IntN(len(kinds))] = true
	}
	if slices.Contains(played, false) {
		t.Errorf("of 200 seeds, none begins with some kinds: %v", played)
	}
}
