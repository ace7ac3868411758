package gateway

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Pages merged from several nodes are the pages of one sorted list, whoever has which
// names, whatever nodes leave out of theirs, and with names that several have once.
func TestMergeIsOneSortedList(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	for range 2000 {
		set := &messages.NodeSet{}
		has := make(map[string][]string)
		var all []string
		for i := range 1 + random.IntN(4) {
			id := fmt.Sprint("n", i)
			set.Nodes = append(set.Nodes, messages.NodeView{ID: id, Owns: true})
			for range random.IntN(30) {
				has[id] = append(has[id], fmt.Sprintf("%03d", random.IntN(200)))
			}
			slices.Sort(has[id])
			has[id] = slices.Compact(has[id])
			all = append(all, has[id]...)
		}
		slices.Sort(all)
		all = slices.Compact(all)
		begin, limit, page := fmt.Sprintf("%03d", random.IntN(200)), 1+random.IntN(20), 1+random.IntN(5)
		all = slices.DeleteFunc(all, func(name string) bool { return name <= begin })

		var mu sync.Mutex
		ask := func(node *messages.NodeView, after string) ([]string, string, bool, error) {
			mu.Lock()
			defer mu.Unlock()
			rest := slices.DeleteFunc(slices.Clone(has[node.ID]), func(name string) bool { return name <= after })
			if len(rest) <= page {
				return rest, "", false, nil
			}
			rest = rest[:page]
			upto := rest[len(rest)-1]
			if random.IntN(3) == 0 && !slices.ContainsFunc(set.Nodes, func(n messages.NodeView) bool { return n.ID != node.ID && slices.Contains(has[n.ID], upto) }) {
				// Left over from an earlier map: not told, and nobody else's either.
				rest = rest[:len(rest)-1]
				all = slices.DeleteFunc(all, func(name string) bool { return name == upto })
				has[node.ID] = slices.DeleteFunc(has[node.ID], func(name string) bool { return name == upto })
			}
			return rest, upto, true, nil
		}
		var nodes []*messages.NodeView
		for i := range set.Nodes {
			nodes = append(nodes, &set.Nodes[i])
		}
		got, more, err := merge(nodes, limit, begin, ask, func(a, b *string) int { return strings.Compare(*a, *b) })
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		want := all[:min(limit, len(all))]
		if !slices.Equal(got, want) || more != (len(all) > limit) {
			t.Fatalf("seed %d: %v more=%v, want %v of %d", seed, got, more, want, len(all))
		}
	}
}

// A node that is away, or fails, is named rather than left out; one that owns nothing
// is not asked, and one that is down only if too many are.
func TestMergeLeavesNobodyOut(t *testing.T) {
	single := &objects.BucketDoc{Props: objects.BucketProps{Copies: 1}}
	double := &objects.BucketDoc{Props: objects.BucketProps{Copies: 2}}
	m, err := smap.New("lineage", smap.Node{ID: "a", Digest: 1}, smap.Node{ID: "b", Digest: 2}, smap.Node{ID: "c", Digest: 3})
	if err != nil {
		t.Fatal(err)
	}
	set := &messages.NodeSet{Map: m, Nodes: []messages.NodeView{{ID: "a", Owns: true}, {ID: "b", Away: "it is silent"}, {ID: "c", Owns: true}}}
	names := func(bucket *objects.BucketDoc) string {
		t.Helper()
		nodes, err := needed(set, bucket)
		var away *messages.NodeAway
		if errors.As(err, &away) {
			return "without " + away.Node
		}
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, n := range nodes {
			ids = append(ids, n.ID)
		}
		return strings.Join(ids, " ")
	}
	if got := names(double); got != "a c" {
		t.Errorf("a node that owns nothing: %s", got)
	}
	set.Nodes[1].Owns = true
	if got := names(double); got != "without b" {
		t.Errorf("a node that is up and silent: %s", got)
	}
	down := func(id smap.NodeID) {
		node, _ := set.Map.Node(id)
		if set.Map, err = set.Map.Change().SetState(id, node.Since, smap.Down).Done(); err != nil {
			t.Fatal(err)
		}
	}
	down("b")
	if got := names(double); got != "a c" {
		t.Errorf("one of two copies is down: %s", got)
	}
	if got := names(single); got != "without b" {
		t.Errorf("the only copy is down: %s", got)
	}
	down("c")
	if got := names(double); got != "without c" {
		t.Errorf("two copies are down: %s", got)
	}
	fail := errors.New("it fails")
	_, _, err = merge([]*messages.NodeView{{ID: "a"}, {ID: "b"}}, 5, "", func(node *messages.NodeView, _ string) ([]string, string, bool, error) {
		if node.ID == "b" {
			return nil, "", false, fail
		}
		return nil, "", false, nil
	}, func(a, b *string) int { return strings.Compare(*a, *b) })
	if !errors.Is(err, fail) {
		t.Errorf("a node that fails: %v", err)
	}
}
