package together

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/history"
	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/s3client"
	"github.com/troupe-storage/troupe/test/soak"
)

// Five nodes, each in a process and a network of its own, are parted in every shape there
// is, and paused and killed meanwhile, under clients that reach all of them: keys of one,
// two and three copies go on to be registers, so that whoever is cut off answers with an
// error and never with anything old; and when all is whole, every node serves all of it.
// Links are those of network namespaces: root.
func TestPartitions(t *testing.T) {
	t.Parallel()
	p := newParting(t, rand.Uint64(), 6)
	for _, s := range p.shapes() {
		p.play(s, 800)
	}
	p.judge()
}

// The same, shapes by chance, for longer each.
func TestPartitionsSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "partitions", Unit: "schedules of partitions, pauses and kills of five nodes", Goal: 200})
	for slice.More() {
		seed := slice.Next()
		const schedules = 5
		right := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			p := newParting(t, seed, 9)
			for range schedules {
				shapes := p.shapes()
				p.play(shapes[p.random.IntN(len(shapes))], 2000+p.random.IntN(4000))
			}
			p.judge()
			for _, l := range p.loads {
				slice.Count("operations", int64(l.History.Len()))
				slice.Count("operations not served", int64(l.Trouble()))
			}
		})
		if right {
			slice.Add(schedules, seed+1)
		}
	}
}

// Negative control: nodes whose fences are off, which take silence for consent, are found
// out by the same judge.
func TestPartitionsFindNodesWithoutFences(t *testing.T) {
	t.Parallel()
	network := nodes.NetworkForTest(t, 3)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nodes.Config{Network: network, Mountpaths: 1, Binary: program, Env: []string{unfencedVariable + "=1"}})
	l := w.startLoad(twice, 4, 24)
	l.More(200)
	w.must(w.Nodes[0].Signal(syscall.SIGUSR1))
	w.must(errors.Join(each([]int{0}, []int{1, 2}, network.CutWay), network.CutConsul(0)))
	w.must(w.AwaitStates(t.Context(), "down up up"))
	l.More(400)
	l.End()
	if v := l.History.Judge(); v.Wrong == "" {
		t.Errorf("nothing is wrong: %d calls, %d not served", l.History.Len(), l.Trouble())
	}
}

// parting is five nodes that are parted.
type parting struct {
	*world
	network *nodes.Network
	random  *rand.Rand
	loads   []*history.Load
}

// parted is how many nodes there are.
const parted = 5

func newParting(t *testing.T, seed uint64, clients int) *parting {
	t.Helper()
	t.Logf("seed %d", seed)
	p := &parting{network: nodes.NetworkForTest(t, parted), random: rand.New(rand.NewPCG(seed, 0))}
	p.world = newWorld(t, nodes.Config{Network: p.network, Count: parted, Mountpaths: 1})
	p.must(p.CreateBucket(t.Context(), "thrice", 3))
	for copies, name := range []string{bucket, twice, "thrice"} {
		p.loads = append(p.loads, history.StartLoad(t, history.LoadConfig{
			Bucket: name, Clients: clients / 3, Keys: 40, Nodes: parted, Node: func(at int) *s3client.Client { return p.s3[at] },
			Large: 20 << 10, Seed: seed + uint64(copies)<<32, Within: 2 * time.Second, // a node that is paused answers nothing
		}))
	}
	p.more(100)
	return p
}

// more waits until so many requests more have been made in all.
func (p *parting) more(requests int) {
	p.t.Helper()
	for _, l := range p.loads {
		l.More(requests / len(p.loads))
	}
}

// shape is a way in which nodes are parted: it begins, lasts for some requests, and ends.
// What happens meanwhile is up to it.
type shape struct {
	name  string
	begin func(order []int) error
	// meanwhile happens in the middle; nil: nothing does.
	meanwhile func(order []int) error
	end       func(order []int) error
	// whole: it begins with all nodes up. With few of them up, one that is paused may be the
	// last that has its keys, and is rightly waited for.
	whole bool
}

// each does something with every pair of two sides.
func each(a, b []int, do func(x, y int) error) error {
	var failures []error
	for _, x := range a {
		for _, y := range b {
			failures = append(failures, do(x, y))
		}
	}
	return errors.Join(failures...)
}

func (p *parting) shapes() []shape {
	n, ctx := p.network, p.t.Context()
	consul := func(do func(int) error, of []int) error {
		return each(of, []int{0}, func(x, _ int) error { return do(x) })
	}
	return []shape{
		{
			"one is there and gone again and again, and another one is paused",
			func(o []int) error { return n.CutOff(o[0]) },
			func(o []int) error {
				if err := p.Nodes[o[1]].Pause(ctx); err != nil {
					return err
				}
				// Few requests: nearly all wait for who is paused.
				for range 4 {
					if err := n.Join(o[0]); err != nil {
						return err
					}
					p.more(3)
					if err := n.CutOff(o[0]); err != nil {
						return err
					}
					p.more(3)
				}
				down := func(m *smap.Smap) bool { entry, _ := m.Node(p.Nodes[o[1]].ID); return entry.State == smap.Down }
				if err := p.AwaitMap(ctx, "who is paused is down", down); err != nil {
					return err
				}
				p.more(30)
				return p.Nodes[o[1]].Continue() // it does not know, and is asked
			},
			func(o []int) error { return n.Join(o[0]) },
			true,
		},
		{
			"two and three, and the two do not reach Consul",
			func(o []int) error { return errors.Join(each(o[:2], o[2:], n.Cut), consul(n.CutConsul, o[:2])) },
			nil,
			func(o []int) error { return errors.Join(each(o[:2], o[2:], n.Mend), consul(n.MendConsul, o[:2])) },
			false,
		},
		{
			"what one sends to two others is lost, and another one is killed",
			func(o []int) error { return each(o[:1], o[1:3], n.CutWay) },
			func(o []int) error { return p.Nodes[o[3]].Kill() },
			func(o []int) error {
				return errors.Join(each(o[:1], o[1:3], n.MendWay), p.Nodes[o[3]].Launch())
			},
			false,
		},
		{
			"two and two that reach each other over the fifth only",
			func(o []int) error { return each(o[:2], o[2:4], n.Cut) },
			nil,
			func(o []int) error { return each(o[:2], o[2:4], n.Mend) },
			false,
		},
		{
			"the leader alone",
			func(o []int) error { return n.CutOff(o[0]) },
			nil,
			func(o []int) error { return n.Join(o[0]) },
			false,
		},
	}
}

// play parts nodes in a shape for so many requests. At the pace of the clients these take
// longer than it takes to miss a node, so that the cluster goes on without it.
func (p *parting) play(s shape, requests int) {
	p.t.Helper()
	if s.whole {
		p.allUp()
	}
	order := p.random.Perm(parted)
	if leader := p.leader(); leader >= 0 { // the first of all
		for i, at := range order {
			if at == leader {
				order[0], order[i] = order[i], order[0]
			}
		}
	}
	begun := time.Now()
	p.must(s.begin(order))
	p.more(requests / 2)
	if s.meanwhile != nil {
		p.must(s.meanwhile(order))
	}
	p.more(requests / 2)
	p.must(s.end(order))
	p.more(requests / 4)
	p.t.Logf("%s: %v; %.1f s", s.name, order, time.Since(begun).Seconds())
}

// leader is the number of the node that leads as others see it; -1: nobody knows.
func (p *parting) leader() int {
	for _, n := range p.Nodes {
		connection, err := client.New(client.Config{Endpoint: n.URL(n.Native), Credentials: p.Keys()})
		p.must(err)
		c, err := client.Control{Connection: connection}.Cluster(p.t.Context())
		connection.Close()
		if err != nil {
			continue
		}
		for at, other := range p.Nodes {
			if string(other.ID) == c.Leader {
				return at
			}
		}
	}
	return -1
}

// allUp waits until all nodes are up.
func (p *parting) allUp() {
	p.t.Helper()
	p.must(p.AwaitStates(p.t.Context(), strings.TrimSpace(strings.Repeat("up ", parted))))
}

// judge waits until all is whole, and judges.
func (p *parting) judge() {
	p.t.Helper()
	p.allUp()
	p.more(100)
	for _, l := range p.loads {
		l.Judge()
		if l.Trouble() == 0 {
			p.t.Errorf("%s: no request met any trouble: nothing was tried", l.Bucket)
		}
	}
}
