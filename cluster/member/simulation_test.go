package member_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects/smap"
)

// Whatever happens to five nodes and to what they agree on, in an order and at times that
// a seed decides: nobody goes back in the line of maps, the maps of one version are one
// map, and no version takes two nodes out of sync together. When all is whole
// again, all nodes are up, in bounded time. Time is virtual. A seed that fails is played
// again alone by its name:
//
//	go test ./cluster/member -run TestSimulation$ -member.seed=17 -member.seeds=1
func TestSimulation(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+uint64(*seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { simulate(t, seed, 10) })
	}
}

// Which seeds are played; the race detector, which takes many times as long, gets fewer.
var (
	firstSeed = flag.Uint64("member.seed", 0, "first seed of the simulation")
	seeds     = flag.Int("member.seeds", 200/raceFactor, "how many seeds of the simulation")
)

// A seed decides the same, in the same order and at the same times, whenever it is played.
func TestSimulationIsDecidedBySeed(t *testing.T) {
	first, second := simulate(t, 3, 10), simulate(t, 3, 10)
	if len(first) == 0 || !slices.Equal(first, second) {
		t.Errorf("seed 3 is\n%s\nand then\n%s", strings.Join(first, "\n"), strings.Join(second, "\n"))
	}
	if slices.Equal(first, simulate(t, 4, 10)) { // negative control
		t.Error("another seed decides the same")
	}
}

// simulation is a world to which things happen.
type simulation struct {
	*world
	random *rand.Rand
	ids    []smap.NodeID
	line   *line
	began  time.Time
	// happened is what was done, and when; seen is what the map was then. That depends on the
	// order, too, in which goroutines run that are woken at the same moment.
	happened, seen []string
}

// line is the line of maps, as all nodes have ever seen it.
type line struct {
	mu   sync.Mutex
	maps map[uint64]*smap.Smap
}

// see notes a map that a node acts on, and says what is wrong with it.
func (l *line) see(m *smap.Smap) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, known := l.maps[m.Version()]
	l.maps[m.Version()] = m
	switch {
	case known && was.Hash() != m.Hash():
		return fmt.Errorf("there are two maps of version %d", m.Version())
	case known:
		return nil
	}
	before, known := l.maps[m.Version()-1]
	if !known {
		return nil
	}
	left := 0
	for _, n := range m.Nodes() {
		if old, in := before.Node(n.ID); in && old.State.Serves() && !n.State.Serves() {
			left++
		}
	}
	if left > 1 {
		return fmt.Errorf("%d nodes left in version %d", left, m.Version())
	}
	return nil
}

// note writes down what is done.
func (s *simulation) note(format string, args ...any) {
	s.happened = append(s.happened, fmt.Sprintf("%7.3f s: %s", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...)))
	s.seen = append(s.seen, s.state())
}

// simulate plays a seed: so many accidents, and then the end of all of them. It returns
// what was done.
func simulate(t *testing.T, seed uint64, accidents int) (happened []string) {
	run(t, func(w *world) {
		s := &simulation{
			world: w, random: rand.New(rand.NewPCG(seed, 0)), ids: []smap.NodeID{"a", "b", "c", "d", "e"},
			line: &line{maps: make(map[uint64]*smap.Smap)},
		}
		defer func() {
			if t.Failed() {
				for i, what := range s.happened {
					t.Logf("seed %d, %s; %s", seed, what, s.seen[i])
				}
			}
			happened = s.happened
		}()
		w.found(s.ids...)
		s.began = time.Now()
		for range accidents {
			kinds := s.accidents()
			kind := kinds[s.random.IntN(len(kinds))]
			a, b := s.ids[s.random.IntN(len(s.ids))], s.ids[s.random.IntN(len(s.ids))]
			s.note("%s: %s, %s", kind.name, a, b)
			kind.happen(a, b)
			s.pass(time.Duration(s.random.Int64N(int64(20 * time.Second))))
		}
		s.note("all is whole")
		for _, id := range s.ids {
			w.isolate(id, false)
			if w.nodes[id].system == nil {
				w.start(id)
			}
			f := w.nodes[id].provider.Faults()
			f.Cut(false)
			f.Hang(false)
			f.Delay(0)
			f.Arrive()
		}
		w.wait("all are up", func() bool { s.look(); return w.agree("a up, b up, c up, d up, e up") })
	})
	return happened
}

// pass lets time pass, and looks at what nodes know all the while.
func (s *simulation) pass(span time.Duration) {
	for end := time.Now().Add(span); time.Now().Before(end); {
		s.let(250 * time.Millisecond)
		s.look()
	}
}

// look compares what nodes act on.
func (s *simulation) look() {
	for _, id := range s.ids {
		n := s.nodes[id]
		if v := n.view.Load(); n.system != nil && v != nil && v.Map != nil {
			if err := s.line.see(v.Map); err != nil {
				s.t.Fatalf("%s: %v", id, err)
			}
		}
	}
}

// state is the newest map that any node acts on, in short.
func (s *simulation) state() string {
	var newest smap.NodeID
	for _, id := range s.ids {
		if v := s.nodes[id].view.Load(); newest == "" || v.Map.Version() > s.smapOf(newest).Version() {
			newest = id
		}
	}
	return fmt.Sprintf("version %d, %s", s.smapOf(newest).Version(), s.states(newest))
}

// accident is something that happens, to one node or between two.
type accident struct {
	name   string
	happen func(a, b smap.NodeID)
}

func (s *simulation) accidents() []accident {
	one := func(from, to smap.NodeID, is bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cuts[[2]smap.NodeID{from, to}] = is
	}
	other := func(a, b smap.NodeID) smap.NodeID { // than the first
		for _, id := range s.ids {
			if a == b && id != a {
				return id
			}
		}
		return b
	}
	provider := func(id smap.NodeID) (f interface {
		Cut(bool)
		Hang(bool)
		Delay(time.Duration)
		LoseAnswers(int)
		LoseRequests(int)
		HoldRequests(int)
	}) {
		return s.nodes[id].provider.Faults()
	}
	return []accident{
		{"it is killed", func(a, _ smap.NodeID) { s.nodes[a].kill() }},
		{"it is killed, and is back at once", func(a, _ smap.NodeID) { s.nodes[a].kill(); s.nodes[a].start() }},
		{"who was killed is back", func(_, _ smap.NodeID) {
			for _, id := range s.ids {
				if s.nodes[id].system == nil {
					s.nodes[id].start()
					return
				}
			}
		}},
		{"two do not reach each other", func(a, b smap.NodeID) { s.cut(a, other(a, b), true) }},
		{"one does not reach another one", func(a, b smap.NodeID) { one(a, other(a, b), true) }},
		{"it is cut off", func(a, _ smap.NodeID) { s.isolate(a, true) }},
		{"it is cut off, and does not reach the provider", func(a, _ smap.NodeID) { s.isolate(a, true); provider(a).Cut(true) }},
		{"it is reached again", func(a, _ smap.NodeID) { s.isolate(a, false) }},
		{"all reach each other", func(_, _ smap.NodeID) {
			for _, id := range s.ids {
				s.isolate(id, false)
				provider(id).Cut(false)
				provider(id).Hang(false)
				provider(id).Delay(0)
			}
		}},
		{"it does not reach the provider", func(a, _ smap.NodeID) { provider(a).Cut(true) }},
		{"the provider does not answer it", func(a, _ smap.NodeID) { provider(a).Hang(true) }},
		{"the provider is slow for it", func(a, _ smap.NodeID) { provider(a).Delay(3 * time.Second) }},
		{"answers of the provider are lost", func(a, _ smap.NodeID) { provider(a).LoseAnswers(2) }},
		{"changes do not get to the provider", func(a, _ smap.NodeID) { provider(a).LoseRequests(2) }},
		{"changes get to the provider late", func(a, b smap.NodeID) {
			s.nodes[a].provider.Faults().HoldRequests(2)
			s.nodes[b].provider.Faults().Arrive()
		}},
		{"the provider ends all sessions", func(_, _ smap.NodeID) { s.memory.ExpireSessions() }},
		{"the provider counts anew", func(_, _ smap.NodeID) { s.memory.ResetIndexes() }},
		{"the provider loses all", func(_, _ smap.NodeID) { s.memory.Wipe() }},
		{"its disks fail for a while", func(a, _ smap.NodeID) {
			s.nodes[a].archive.setFail(fmt.Errorf("the disk is full"))
			s.pass(5 * time.Second)
			s.nodes[a].archive.setFail(nil)
		}},
	}
}

// Negative control: what goes on in a line of maps that may not is seen.
func TestSimulationSeesBrokenLines(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		first := w.smapOf("a")
		down := func(id smap.NodeID) *smap.Smap {
			n, _ := first.Node(id)
			next, err := first.Change().SetState(id, n.Since, smap.Down).Done()
			must(t, err)
			return next
		}
		// No change makes such a map, so that it is made of its text.
		text, err := down("a").MarshalJSON()
		must(t, err)
		left := regexp.MustCompile(`"state":"up","since":\d+`)
		two, err := smap.Parse(left.ReplaceAll(text, []byte(fmt.Sprintf(`"state":"down","since":%d,"left":%[1]d`, first.Version()+1))))
		must(t, err)
		for what, c := range map[string]struct {
			maps  []*smap.Smap
			wrong bool
		}{
			"one leaves":      {[]*smap.Smap{first, down("a"), down("a")}, false},
			"all in one":      {[]*smap.Smap{first, two}, true},
			"two of a number": {[]*smap.Smap{first, down("a"), down("b")}, true},
		} {
			l := &line{maps: make(map[uint64]*smap.Smap)}
			var err error
			for _, m := range c.maps {
				if err == nil {
					err = l.see(m)
				}
			}
			if (err != nil) != c.wrong {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}
