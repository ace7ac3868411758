package faults

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Standing is one node that owns keys, or that has faults of links, as redundancy is
// judged.
type Standing struct {
	Node   string
	Owns   bool
	Away   string // why it does not serve as it is, without any fault; empty: it does
	Touch  Touch  // by its faults, the one that is judged among them
	Silent bool   // it has not said which faults it has
}

// Redundancy is what faults are judged by.
type Redundancy struct {
	// Copies is on how many nodes every object is at least: the least of all buckets,
	// and of the nodes that own keys. 1 where there is no bucket yet.
	Copies int
	Bucket string // one that has no more; empty: there is none
	Nodes  []Standing
}

// ErrRedundancy says that a fault would take more than there are copies.
var ErrRedundancy = errors.New("it may leave keys without a node that serves them")

// Judge fails with ErrRedundancy unless every key has an owner that no
// fault touches and that is not away, whatever nodes own it. A node whose links are
// broken costs one node, as it or another one may count as down, and so one more
// where it is touched itself. It is for a fault that touches something.
func (r Redundancy) Judge() error {
	var why []string
	gone := 0
	for _, n := range r.Nodes {
		switch {
		case !n.Owns:
		case n.Touch.Serves:
			gone++
			why = append(why, n.Node+" has faults that touch what it serves")
		case n.Away != "":
			gone++
			why = append(why, n.Node+" does not serve: "+n.Away)
		case n.Silent:
			gone++
			why = append(why, n.Node+" has not said which faults it has")
		}
		if n.Touch.Linked {
			gone++
			why = append(why, n.Node+" has faults of links, which cost it or another node")
		}
	}
	if gone < r.Copies {
		return nil
	}
	slices.Sort(why)
	spare := "no bucket exists, and one may be made, whose objects are on one node"
	if r.Bucket != "" {
		spare = fmt.Sprintf("objects of bucket %s are on %d of them", r.Bucket, r.Copies)
	}
	return fmt.Errorf("%w: %d of %d nodes may be out of service (%s), and %s", ErrRedundancy, gone, len(r.Nodes), strings.Join(why, "; "), spare)
}
