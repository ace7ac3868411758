package faults

import (
	"path"
	"slices"
	"time"
)

// Link is a fault of the connections between this node and others, as this node has
// them: what it does not send and does not take. The others see a node that does not
// answer, or does not ask.
type Link struct {
	// Peers are patterns, as path.Match has them, over ids of nodes. None: all others.
	// A connection that another node makes is known by its certificate: until it has
	// shown that, only faults about all others hit it.
	Peers []string
	// Direction says whose conversations are hit, by who asks; empty: Both.
	Direction Direction
	Do        LinkEffect

	Delay  time.Duration // of LinkDelay: so long at least
	Jitter time.Duration // of LinkDelay: and by chance up to so much more
}

// Direction says which connections between nodes are meant.
type Direction string

const (
	// Both are all connections.
	Both Direction = "both"
	// Out are those that this node makes: what it asks of others.
	Out Direction = "out"
	// In are those that others make: what they ask of it.
	In Direction = "in"
)

// LinkEffect is what becomes of connections that are hit: when one is made, and
// whenever bytes are written or have come.
type LinkEffect string

const (
	// LinkCut ends a connection at once, and lets none be made: both sides know.
	LinkCut LinkEffect = "cut"
	// LinkDrop loses what is sent, in both directions, and tells nobody, as a cable that
	// is pulled: who asks gives up at its deadline. A connection that has lost bytes
	// loses all that follows, and ends with the fault.
	LinkDrop LinkEffect = "drop"
	// LinkDropReply loses what the side that was asked answers: it does what it was asked
	// for, and nobody hears of it.
	LinkDropReply LinkEffect = "drop-reply"
	// LinkDelay lets bytes, and a connection that is made, take longer.
	LinkDelay LinkEffect = "delay"
)

func (l *Link) validate(bad func(string, ...any)) {
	for _, pattern := range l.Peers {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			bad("peers: %q is no pattern of ids of nodes", pattern)
		}
	}
	switch l.Direction {
	case "", Both, Out, In:
	default:
		bad("direction: %q; one of both, out, in", l.Direction)
	}
	switch l.Do {
	case LinkCut, LinkDrop, LinkDropReply:
	case LinkDelay:
		checkDelay(l.Delay, l.Jitter, bad)
	default:
		bad("do: %q; one of cut, drop, drop-reply, delay", l.Do)
		return
	}
	idle(l.Do, bad, idleField{"delay, jitter", l.Delay|l.Jitter != 0 && l.Do != LinkDelay})
}

// about reports whether the fault is about connections with a node. Empty: nobody
// knows yet with whom.
func (l *Link) about(peer string) bool {
	return len(l.Peers) == 0 || slices.ContainsFunc(l.Peers, func(pattern string) bool {
		ok, err := path.Match(pattern, peer)
		return ok && err == nil && peer != ""
	})
}

// way reports whether the fault is about connections that this node made, or others.
func (l *Link) way(made bool) bool {
	return l.Direction == "" || l.Direction == Both || (l.Direction == Out) == made
}
