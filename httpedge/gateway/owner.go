package gateway

import (
	"errors"
	"io"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Charge is who is in charge of a key, under one map. The zero value is this node's,
// without a cluster.
type Charge struct {
	Set   *messages.NodeSet  // nil: the node is alone
	Node  *messages.NodeView // of Set
	Epoch smap.Epoch
	// AckSet are the nodes that must have a write, in the order of the key's owners.
	AckSet []smap.NodeID
	// Sends says why other nodes are sent what there is of the key.
	Sends messages.Sending
	// For is on whose behalf the key is written, and why.
	For objects.Origin
	// Within is how long a node may take for Show; zero: as long as for any question.
	Within time.Duration
	plural bool
	// placing is the key, by its bucket's document; owners how many owners it is to have now.
	placing smap.Key
	owners  int
}

// Ours reports whether this node is in charge.
func (c Charge) Ours() bool { return c.Set == nil || c.Node.ID == c.Set.Self }

// Peers asks other nodes. Every question carries the epoch of its key, or the version
// of the map where it is about many; a node at another one changes nothing, and the
// error is a *messages.MapDiffers. A node that cannot be asked is a
// *messages.NodeAway. Safe for concurrent use.
type Peers interface {
	// List asks for a page of the keys that the node is in charge of.
	List(set *messages.NodeSet, node *messages.NodeView, bucket *objects.BucketDoc, r ListRequest) (*NodePage, error)
	// ListUploads is List for uploads under way.
	ListUploads(set *messages.NodeSet, node *messages.NodeView, bucket *objects.BucketDoc, r UploadsRequest) (*NodeUploads, error)
	// Delete removes an object.
	Delete(c Charge, bucket *objects.BucketDoc, name, versionID string, conditions objects.Conditions) (messages.ObjectDeleted, error)
	// DeleteAll removes several objects that one node is in charge of, For one client: the
	// charges are the list's. It returns what became of each.
	DeleteAll(charges []Charge, bucket *objects.BucketDoc, list []Deletion) ([]Deleted, error)
	// Record returns an object's record.
	Record(c Charge, bucket *objects.BucketDoc, name, versionID string) (*objects.Meta, error)
	// Payload returns length bytes from offset of the payload that the record names;
	// another one is errs.Busy. The caller closes it. It fails rather than end early.
	Payload(c Charge, bucket *objects.BucketDoc, name string, record *objects.Meta, offset, length int64) (io.ReadCloser, error)

	// The rest asks nodes that have a key, too, whoever is in charge: c.Node is the one
	// that is asked.

	// Store is Gateway.Accept at the node, or AcceptEqual where the charge Sends for that. Of
	// payload Cut is not used, and its Body, if it is not nil, is read to the end of
	// record.Size bytes, or not at all.
	Store(c Charge, bucket *objects.BucketDoc, name string, record *objects.Meta, payload *Arrival) (messages.Stored, error)
	// Show is Gateway.Show at the node.
	Show(c Charge, bucket *objects.BucketDoc, name string, payload bool) (Kept, error)
	// Give returns bytes of the payload that the record names, as a node has it, whoever is
	// in charge; another one is errs.Busy. The caller closes it. It fails rather than end early.
	Give(node *messages.NodeView, bucket *objects.BucketDoc, name string, record *objects.Meta, wanted Wanted) (io.ReadCloser, error)
	// Confirm asks a node under a map whether its lanes still act on the epochs of keys;
	// it returns those keys that it does not say so of, by their place in the list.
	Confirm(set *messages.NodeSet, node *messages.NodeView, keys []Confirmation) (denied []int, err error)
	// Settled tells a node of records that all nodes have that must have them.
	Settled(node *messages.NodeView, bucket *objects.BucketDoc, list []messages.Settlement) error
	// Holdings is Gateway.Holdings at the node.
	Holdings(set *messages.NodeSet, node *messages.NodeView, bucket *objects.BucketDoc, r HoldingsRequest) (*HoldingsPage, error)
	// Drop is Gateway.DropHere at the node.
	Drop(c Charge, bucket *objects.BucketDoc, name string, generation objects.Generation) error

	// ShowUpload is Gateway.ShowUpload at the node.
	ShowUpload(c Charge, bucket *objects.BucketDoc, name, uploadID string) (KeptUpload, error)
	// KeepUpload is Gateway.KeepUpload at the node.
	KeepUpload(c Charge, bucket *objects.BucketDoc, upload *objects.Upload, parts []objects.Part, writes uint64) (missing []int, err error)
	// EndUpload is Gateway.EndUpload at the node.
	EndUpload(c Charge, bucket *objects.BucketDoc, name, uploadID string, writes uint64) error
	// StorePart is Gateway.AcceptPart at the node. Payload is read to the end of part.Size
	// bytes, or not at all.
	StorePart(c Charge, bucket *objects.BucketDoc, name, uploadID string, part *objects.Part, payload io.Reader) error
	// ShareUpload is Gateway.ShareUpload at the node in charge.
	ShareUpload(c Charge, bucket *objects.BucketDoc, name, uploadID string) error
	// History is Gateway.HistoryHere at the node.
	History(node *messages.NodeView, r HistoryRequest) (*History, error)
	// HeldUploads is Gateway.HeldUploads at the node.
	HeldUploads(set *messages.NodeSet, node *messages.NodeView, bucket *objects.BucketDoc, r HeldUploadsRequest) (*HeldUploads, error)

	// What follows is about slices, is not fenced (SliceKeeper), and asks nodes in any state.
	// One that knows no such questions is a *messages.NodeAway that says so.

	// StageSlice is SliceKeeper.StageSlice at the node. Cells is read to the end of s.Length
	// bytes, or not at all, or until the node has answered; nil: there are none. A
	// *messages.NodeAway is never an unknown outcome, but leaves open how much has come:
	// asked with neither cells nor a sealing, the node says where to go on.
	StageSlice(node *messages.NodeView, bucket *objects.BucketDoc, name string, s *SliceStage, cells io.Reader) (SliceStaged, error)
	// AbandonStage is SliceKeeper.AbandonStage at the node.
	AbandonStage(node *messages.NodeView, bucket *objects.BucketDoc, name string, payload objects.Generation) error
	// Slice is SliceKeeper.Slice at the node.
	Slice(node *messages.NodeView, bucket *objects.BucketDoc, name string, w *SliceWanted) (io.ReadCloser, error)
	// HaveSlices is SliceKeeper.HaveSlices at the node; there are at most MaxHaveSlices payloads.
	HaveSlices(node *messages.NodeView, bucket *objects.BucketDoc, name string, payloads []objects.Generation) (HeldSlices, error)
	// BuildSlice is SliceKeeper.BuildSlice at the node.
	BuildSlice(node *messages.NodeView, bucket *objects.BucketDoc, name string, b *SliceBuild) (Built, error)
}

// Confirmation asks whether a key is at an epoch.
type Confirmation struct {
	Bucket *objects.BucketDoc
	Name   string
	Epoch  smap.Epoch
}

// errNotJoined says that a node has no map to act on.
var errNotJoined = errors.New("this node has not joined its cluster yet")

// nodes returns the cluster's nodes as they are now; nil where the node is alone.
func (g *Gateway) nodes() *messages.NodeSet {
	if g.Config.Nodes == nil {
		return nil
	}
	return g.Config.Nodes.Load()
}

// Charge returns who is in charge of a key by the map as it is now. errs.Offline if
// nobody is.
func (g *Gateway) Charge(bucket *objects.BucketDoc, name string) (Charge, error) {
	set := g.nodes()
	if set == nil {
		return Charge{}, nil
	}
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	if set.Map == nil {
		return Charge{}, errs.E("gateway.Charge", key, errs.Offline, errNotJoined)
	}
	c, view := chargeUnder(set, bucket, key.Digest())
	if c.Node == nil {
		return Charge{}, errs.E("gateway.Charge", key, errs.Offline, ownersAway(set.Map, &view))
	}
	return c, nil
}

// chargeUnder returns who is in charge of a key under a map; Node is nil where nobody is.
func chargeUnder(set *messages.NodeSet, bucket *objects.BucketDoc, digest uint64) (Charge, smap.View) {
	placing := messages.Placing(bucket, digest)
	view := set.Map.View(placing)
	return Charge{
		Set: set, Node: set.Find(string(view.InCharge)), Epoch: view.Epoch, AckSet: view.AckSet, plural: isPlural(&view), placing: placing, owners: view.Count,
	}, view
}

// ownersAway tells in which states the owners of a key are of which none is in charge.
func ownersAway(m *smap.Smap, view *smap.View) *messages.OwnersAway {
	away := &messages.OwnersAway{}
	for _, id := range view.Owners {
		node, _ := m.Node(id)
		away.Owners = append(away.Owners, messages.OwnerState{Node: string(id), State: string(node.State)})
	}
	return away
}

// maxMaps bounds how often a request follows changes of the map that come while it is
// under way.
const maxMaps = 4

// elsewhere does something of a key: here, or at the node in charge of it. One that
// refused because of another map is asked again under the map as it is then.
func elsewhere[T any](g *Gateway, op errs.Op, bucket *objects.BucketDoc, name string, here func() (T, error), there func(Charge) (T, error)) (T, error) {
	var none T
	for look := 1; ; look++ {
		c, err := g.Charge(bucket, name)
		if err != nil {
			return none, err
		}
		var value T
		if c.Ours() {
			value, err = here()
		} else {
			value, err = there(c)
		}
		var differs *messages.MapDiffers
		if !errors.As(err, &differs) {
			return value, away(op, err)
		}
		if look == maxMaps {
			return none, errs.E(op, objects.Key{Bucket: bucket.Bucket, Name: name}, errs.Busy, err)
		}
		g.AwaitMap(c.Set, differs)
	}
}

// away gives the failure of a node that cannot be asked its kind.
func away(op errs.Op, err error) error {
	var node *messages.NodeAway
	if errors.As(err, &node) {
		return errs.E(op, errs.Offline, err)
	}
	return err
}

// AwaitMap waits for a map later than that of set, after a node has refused a request
// because of its own. Where that node has a later one, it is asked for it.
func (g *Gateway) AwaitMap(set *messages.NodeSet, differs *messages.MapDiffers) {
	wait := mapTime
	if differs.Version > set.Version() && g.Newer != nil {
		g.Newer(differs.Node)
		wait = newerTime
	}
	late, timer := g.System.Clock().NewTimer(wait)
	defer timer.Stop()
	select {
	case <-set.Replaced:
	case <-late: // it is the other node whose map is older
	}
}
