package gateway

import (
	"errors"
	"fmt"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// A mountpath that was taken from the node with what was on it leaves keys behind that
// other nodes have and this one has not. Until it has caught up with them, what it lacks
// of them is unknown, and not absent:
//
//   - it answers 503 to whoever asks for such a key, client or node, never 404;
//   - it is no source of lists, holdings and plans, unless nobody can need it as one;
//   - while it is up, it does not take part in writes of them: the map is about to say
//     that it is not.

// errUnknown says why a key that this node has no record of is not absent.
var errUnknown = errors.New("it was on a mountpath that was lost, and this node has not fetched what other nodes have of it yet")

// IsUnknown reports whether a failure is that of a key that was on a lost mountpath.
func IsUnknown(err error) bool { return errors.Is(err, errUnknown) }

// absent is the failure of who found nothing of a key, here where several nodes keep it:
// that there is nothing, or that it is not known. Before is the roster as it was when the
// search began.
func (g *Gateway) absent(op errs.Op, key objects.Key, before *messages.Roster, err error) error {
	if !errs.Is(errs.NotFound, err) || !g.isUnknown(key, before) {
		return err
	}
	return errs.E(op, key, errs.Offline, errUnknown)
}

// isUnknown reports whether a key that this node has no record of may be at others, by the
// roster as it was and as it is.
func (g *Gateway) isUnknown(key objects.Key, before *messages.Roster) bool {
	now := g.Roster.Load()
	if len(before.Lost)+len(now.Lost) == 0 {
		return false
	}
	digest := key.Digest()
	if !before.IsUnknown(digest) && !now.IsUnknown(digest) {
		return false
	}
	view := g.Config.Buckets.Load().Find(key.Bucket.Name)
	if view == nil || view.Doc.Props.Owners() > 1 {
		return true
	}
	set := g.lanes() // whose plan may have given the key a second owner
	return set != nil && set.Map != nil && len(set.View(view.Doc, digest).Owners) > 1
}

// ownersOf is how many nodes own a key of a bucket, at least.
func ownersOf(set *messages.NodeSet, bucket *objects.BucketDoc) int {
	owners := min(set.Least(bucket), len(set.Map.Placement()))
	if next, planned := set.Map.Next(); planned {
		owners = min(owners, len(next.Placement))
	}
	return owners
}

// mayBeLast reports whether this node, which does not serve, may be the last that left of
// the owners of a key, so that it is the only source. Asker is another owner that has to
// ask for it; empty: anybody.
func mayBeLast(set *messages.NodeSet, bucket *objects.BucketDoc, asker string) bool {
	self, _ := set.Map.Node(smap.NodeID(set.Self))
	earlier := 0
	for _, node := range set.Map.Nodes() {
		if node.ID != self.ID && !node.State.Serves() && node.Left <= self.Left {
			earlier++
		}
	}
	if who, in := set.Map.Node(smap.NodeID(asker)); asker != "" && (!in || who.State.Serves() || who.Left > self.Left) {
		return false
	}
	return earlier >= ownersOf(set, bucket)-1
}

// isNoSource reports whether a node is in charge of no key of a bucket that the asker
// owns; empty: that anybody does.
func isNoSource(set *messages.NodeSet, bucket *objects.BucketDoc, asker string) bool {
	self, in := set.Map.Node(smap.NodeID(set.Self))
	return in && !self.State.Serves() && !mayBeLast(set, bucket, asker)
}

// whole fails if what this node lacks of a bucket may be unknown, and who asks takes it for
// absent; see isNoSource. Before is the roster as it was before the node looked.
func (g *Gateway) whole(op errs.Op, set *messages.NodeSet, bucket *objects.BucketDoc, asker string, before *messages.Roster) error {
	if set.Most(bucket) == 1 || len(before.Lost)+len(g.Roster.Load().Lost) == 0 || isNoSource(set, bucket, asker) {
		return nil
	}
	return errs.E(op, bucket.Bucket, errs.Offline, fmt.Errorf("node %s: what it lacks may be unknown: %w", set.Self, errUnknown))
}

// mayCatchUp says why this node cannot catch up now: a mountpath is away, so that what is
// fetched could not be kept, or what a lost one had may be known to nobody. It returns the
// ids of those that are lost, with which it is to catch up.
func (g *Gateway) mayCatchUp(set *messages.NodeSet) (lost []string, err error) {
	const op errs.Op = "gateway.CatchUp"
	roster := g.Roster.Load()
	for _, l := range roster.Lost {
		lost = append(lost, l.ID)
	}
	for _, bucket := range g.Buckets() {
		if set.Most(bucket) == 1 {
			continue
		}
		for i := range roster.Mountpaths {
			if err := roster.Mountpaths[i].Away(); err != nil {
				return nil, errs.E(op, bucket.Bucket, errs.Offline, err, errors.New("mend the disk and enable it, or remove it by force: then what other nodes have of it is fetched"))
			}
		}
		if len(lost) > 0 && set.Least(bucket) > 1 && mayBeLast(set, bucket, "") {
			return nil, errs.E(op, bucket.Bucket, errs.Offline, errors.New("what it had on a mountpath that is lost may be on no node that serves: start those that are down"))
		}
	}
	return lost, nil
}
