package planning

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/placement"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Simulation is a cluster, its keys, and a change of its members.
type Simulation struct {
	Nodes  int   // before the change, 1 to MaxNodes
	Keys   int64 // from 1
	Copies int   // of each key, 1 to MaxCopies; fewer where there are fewer nodes
	Join   int   // nodes that are added
	Leave  int   // nodes that are drained; fewer than Nodes
	// Seed names the keys: equal seeds give equal results.
	Seed uint64
	// Progress, if not nil, is told how many keys are done; from several goroutines.
	Progress func(keys int64)
}

// Bounds of a simulation.
const (
	MaxNodes  = 10_000
	MaxCopies = 16
)

// Validate says what is wrong with a simulation (Invalid).
func (s Simulation) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if s.Nodes < 1 || s.Nodes > MaxNodes {
		fault("nodes is %d; it takes 1 to %d", s.Nodes, MaxNodes)
	}
	if s.Keys < 1 {
		fault("keys is %d; it takes 1 and more", s.Keys)
	}
	if s.Copies < 1 || s.Copies > MaxCopies {
		fault("copies is %d; it takes 1 to %d", s.Copies, MaxCopies)
	}
	if s.Join < 0 || s.Nodes+s.Join > MaxNodes {
		fault("join is %d; with the nodes that there are it takes 0 to %d", s.Join, MaxNodes-s.Nodes)
	}
	if s.Leave < 0 || s.Leave >= s.Nodes && s.Nodes > 0 {
		fault("drain is %d; it takes 0 to %d, so that a node stays", s.Leave, s.Nodes-1)
	}
	if len(faults) > 0 {
		return errs.E("planning.Validate", errs.Invalid, errors.Join(faults...))
	}
	return nil
}

// Result is what a simulation found.
type Result struct {
	Nodes  int   `json:"nodes"`
	Keys   int64 `json:"keys"`
	Copies int   `json:"copies"`
	Join   int   `json:"join"`
	Leave  int   `json:"drain"`

	Before Balance `json:"before"`
	After  Balance `json:"after"`
	Moves  Moves   `json:"moves"`

	// What the plan is as a map of the cluster.
	MapBytes     int     `json:"map_bytes"`      // of the largest map on the way
	NodeBytes    float64 `json:"bytes_per_node"` // of that
	SwitchTime   float64 `json:"switch_ms"`      // to make the maps that switch all slots, some at a time
	PlacedPerSec float64 `json:"keys_per_second"`
	Seconds      float64 `json:"seconds"`
	HeapBytes    uint64  `json:"heap_bytes"` // in use at the end
}

// Balance is how evenly copies lie.
type Balance struct {
	Nodes int     `json:"nodes"`
	Mean  float64 `json:"mean"`  // copies on a node
	Least int64   `json:"least"` // on the node with the fewest
	Most  int64   `json:"most"`  // on the node with the most
	// Off is how far the worst node is from the mean, in percent of it.
	Off float64 `json:"off_percent"`
}

// Moves is what the change moves.
type Moves struct {
	Copies  int64   `json:"copies"`  // that a node gets which had none of the key
	Minimum float64 `json:"minimum"` // fewer no placement that is even afterwards can do with; HRW needs more where nodes join and leave at once
	Excess  float64 `json:"excess_percent"`
}

// batch is how many keys a worker takes at a time.
const batch = 1 << 14

// Run plays the simulation on all cores. It ends early, with the context's error, when
// that ends.
func (s Simulation) Run(ctx context.Context) (*Result, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	began := time.Now()
	digests := s.digests()
	workers := runtime.GOMAXPROCS(0)
	counts := make([]count, workers)
	var next atomic.Int64
	var work sync.WaitGroup
	for i := range counts {
		c := &counts[i]
		c.before, c.after = make([]int64, len(digests)), make([]int64, len(digests))
		work.Go(func() {
			for ctx.Err() == nil {
				from := next.Add(batch) - batch
				if from >= s.Keys {
					return
				}
				to := min(from+batch, s.Keys)
				for key := from; key < to; key++ {
					c.add(&s, digests, s.digest(key))
				}
				if s.Progress != nil {
					s.Progress(to - from)
				}
			}
		})
	}
	work.Wait()
	if err := ctx.Err(); err != nil {
		return nil, errs.E("planning.Run", errs.Canceled, err)
	}
	took := time.Since(began).Seconds()
	result := s.sum(counts)
	result.Seconds, result.PlacedPerSec = took, float64(s.Keys)/took
	if err := s.plan(result); err != nil {
		return nil, err
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	result.HeapBytes = memory.HeapInuse
	return result, nil
}

// digests are those of the nodes: first those that leave, then those that stay, then
// those that join.
func (s Simulation) digests() []uint64 {
	all := make([]uint64, s.Nodes+s.Join)
	for i := range all {
		all[i] = objects.DigestID(nodeID(i))
	}
	return all
}

func nodeID(i int) string { return fmt.Sprintf("node%06d", i) }

// digest is that of a key by its number, named as objects are.
func (s Simulation) digest(key int64) uint64 {
	name := strconv.AppendUint(strconv.AppendUint(make([]byte, 0, 48), s.Seed, 16), uint64(key), 10)
	return objects.Key{Bucket: objects.Bucket{Provider: objects.ProviderAIS, Name: "simulation"}, Name: string(name)}.Digest()
}

// count is what one worker counted: copies by node.
type count struct {
	before, after []int64
	moved         int64
	// Room for the owners of a key: of those that leave, stay and join, and of all.
	leave, stay, join, was, is []int
	digests                    []uint64
}

// add counts a key. The best of a union are among the best of its parts, so that each
// node is weighed once for both lists.
func (c *count) add(s *Simulation, digests []uint64, digest uint64) {
	c.leave = place(c.leave, digests, 0, s.Leave, digest, s.Copies)
	c.stay = place(c.stay, digests, s.Leave, s.Nodes, digest, s.Copies)
	c.join = place(c.join, digests, s.Nodes, len(digests), digest, s.Copies)
	c.was = c.best(c.was, digests, c.leave, c.stay, digest, s.Copies)
	c.is = c.best(c.is, digests, c.stay, c.join, digest, s.Copies)
	for _, i := range c.was {
		c.before[i]++
	}
	for _, i := range c.is {
		c.after[i]++
		if !slices.Contains(c.was, i) {
			c.moved++
		}
	}
}

// place returns the owners of a key among the nodes from one to before another.
func place(room []int, digests []uint64, from, to int, digest uint64, copies int) []int {
	owners := placement.AppendOrder(room[:0], digests[from:to], digest, copies)
	for i := range owners {
		owners[i] += from
	}
	return owners
}

// best returns the owners of a key among two lists of nodes.
func (c *count) best(room []int, digests []uint64, a, b []int, digest uint64, copies int) []int {
	c.digests = c.digests[:0]
	for _, list := range [][]int{a, b} {
		for _, i := range list {
			c.digests = append(c.digests, digests[i])
		}
	}
	owners := placement.AppendOrder(room[:0], c.digests, digest, copies)
	for at, i := range owners {
		if i < len(a) {
			owners[at] = a[i]
		} else {
			owners[at] = b[i-len(a)]
		}
	}
	return owners
}

// sum adds the workers' counts up.
func (s Simulation) sum(counts []count) *Result {
	r := &Result{Nodes: s.Nodes, Keys: s.Keys, Copies: s.Copies, Join: s.Join, Leave: s.Leave}
	before, after := make([]int64, s.Nodes+s.Join), make([]int64, s.Nodes+s.Join)
	for _, c := range counts {
		for i := range before {
			before[i] += c.before[i]
			after[i] += c.after[i]
		}
		r.Moves.Copies += c.moved
	}
	r.Before, r.After = balance(before[:s.Nodes]), balance(after[s.Leave:])
	// What lay on those that leave must go; those that join need their share of all.
	copies := min(s.Copies, s.Nodes)
	kept, rest := s.Nodes-s.Leave, s.Nodes-s.Leave+s.Join
	all := float64(s.Keys) * float64(min(s.Copies, rest))
	stay := float64(s.Keys) * float64(copies) * float64(kept) / float64(s.Nodes)
	r.Moves.Minimum = max(0, all-min(stay, all*float64(kept)/float64(rest)))
	if r.Moves.Minimum > 0 {
		r.Moves.Excess = 100 * (float64(r.Moves.Copies) - r.Moves.Minimum) / r.Moves.Minimum
	}
	return r
}

func balance(counts []int64) Balance {
	b := Balance{Nodes: len(counts), Least: counts[0], Most: counts[0]}
	total := int64(0)
	for _, n := range counts {
		total += n
		b.Least, b.Most = min(b.Least, n), max(b.Most, n)
	}
	b.Mean = float64(total) / float64(len(counts))
	if b.Mean > 0 {
		b.Off = 100 * max(float64(b.Most)-b.Mean, b.Mean-float64(b.Least)) / b.Mean
	}
	return b
}

// switched is how many slots switch in one map of the simulation.
const switched = 32

// plan makes the maps that the change goes through: begun, every slot switched, ended.
func (s Simulation) plan(r *Result) error {
	nodes := make([]smap.Node, s.Nodes)
	for i := range nodes {
		nodes[i] = smap.Node{ID: smap.NodeID(nodeID(i)), Digest: smap.Digest(objects.DigestID(nodeID(i)))}
	}
	m, err := smap.New("00000000-0000-0000-0000-000000000000", nodes...)
	if err != nil {
		return err
	}
	change := m.Change()
	for i := s.Nodes; i < s.Nodes+s.Join; i++ {
		change.Join(smap.NodeID(nodeID(i)), smap.Digest(objects.DigestID(nodeID(i))))
	}
	for i := range s.Leave {
		change.SetState(smap.NodeID(nodeID(i)), 1, smap.Draining)
	}
	if s.Join+s.Leave > 0 {
		var to []smap.NodeID
		for i := s.Leave; i < s.Nodes+s.Join; i++ {
			to = append(to, smap.NodeID(nodeID(i)))
		}
		change.Begin(to)
	}
	if m, err = change.Done(); err != nil {
		return err
	}
	if s.Join+s.Leave > 0 {
		began := time.Now()
		for _, first := range []uint16{0, 1} { // every second slot first: the longest list of runs
			for from := first; from < smap.Slots; from += 2 * switched {
				change := m.Change()
				for slot := from; slot < min(from+2*switched, smap.Slots); slot += 2 {
					change.Switch(slot)
				}
				if m, err = change.Done(); err != nil {
					return err
				}
			}
			if err := r.measure(m); err != nil {
				return err
			}
		}
		r.SwitchTime = float64(time.Since(began).Microseconds()) / 1000
		if m, err = m.Change().Finish().Done(); err != nil {
			return err
		}
	}
	return r.measure(m)
}

// measure notes the size of a map, if it is the largest yet.
func (r *Result) measure(m *smap.Smap) error {
	text, err := m.MarshalJSON()
	if err == nil && len(text) > r.MapBytes {
		r.MapBytes, r.NodeBytes = len(text), float64(len(text))/float64(len(m.Nodes()))
	}
	return err
}
