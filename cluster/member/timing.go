package member

import (
	"time"

	"github.com/troupe-storage/troupe/cluster"
)

// Times of membership. They are the same on every node: what one has concluded by
// them, others must be able to rely on.
const (
	// Heartbeat is how long a beat to the catalogue is good for: the least that Consul's
	// elections leave room for.
	Heartbeat = 10 * time.Second
	// ProbeEvery is the pause between two probes of a node.
	ProbeEvery = 500 * time.Millisecond
	// ProbeTime is how long a probe may take: a node that needs longer for an answer
	// from memory serves nobody.
	ProbeTime = time.Second
	// SilentAfter is for how long probes of a node must have failed until it may be
	// written down. (cluster.md, The Smap)
	SilentAfter = 3 * time.Second
	// SteadyAfter is for how long a node must have been reached by all, without a break,
	// until it returns. (likewise)
	SteadyAfter = 10 * time.Second
)

const (
	tickEvery   = 250 * time.Millisecond   // between two looks at what is known
	callTime    = 10 * time.Second         // of a task that asks the provider
	resignTime  = 3 * time.Second          // of giving the lead up: who stops the node waits ten, and the session expires by itself
	saveTime    = 30 * time.Second         // of a task that writes to the disks
	standAside  = 10 * time.Second         // for how long who resigned does not want to lead
	retryAfter  = time.Second              // after a task that failed
	mendPause   = time.Minute              // the longest, where only people can mend what failed
	triedAgain  = 2*ProbeEvery + ProbeTime // within it each node has probed each other one once more
	settleAfter = 2 * time.Second          // how long a leader asks before its first change
	// foundAfter is how long a leader waits before it founds a cluster. A provider that
	// lost its data looks like one that never had any, until the nodes that it forgot have
	// registered again: with their next beat, within a third of Heartbeat.
	foundAfter = 5 * time.Second
)

// session is the session that the lead goes with.
func session(name string) cluster.Session {
	return cluster.Session{Name: "troupe/" + name, TTL: cluster.MinSessionTTL, LockDelay: time.Second}
}
