// Package embedded is the cluster of one node: its identity, its start counter
// and its buckets, kept as small JSON documents on every mountpath.
//
// A document is written to all mountpaths present before it counts. At start the
// newest version that a majority of the mountpaths present has, or has a newer
// one of, is in force, and those that differ are brought up to it: a change that
// a crash interrupted half way either happened or did not.
//
// Beside it, Memory is what many nodes of one process agree on, behind the interface of
// package cluster, for tests: it can be made to fail in every way that matters.
//
// Start with Open; for many nodes, with memory.go.
package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Shelf keeps documents on one mountpath. Write is durable and whole when it
// returns; Read answers errs.NotFound for what is not there. Safe for concurrent
// use of different names.
type Shelf interface {
	Read(name string) ([]byte, error)
	Write(name string, content []byte) error
	// List returns the names below a directory, in no order.
	List(dir string) ([]string, error)
	// Remove removes a document durably; one that is not there is no failure.
	Remove(name string) error
	// ID is the id of the mountpath.
	ID() string
	// String names the mountpath for people.
	fmt.Stringer
}

// Mountpath is a mountpath that belongs to the node.
type Mountpath struct {
	ID   string `json:"id"`
	Path string `json:"path"`
	// Disabled says why an operator has taken it out of use; empty: nobody has.
	Disabled string `json:"disabled,omitempty"`
	// Away says why its documents are not up to date; empty: they are. Documents on
	// a mountpath that is disabled or away do not count.
	Away string `json:"away,omitempty"`
}

// Node is the document of the node itself.
type Node struct {
	Version    uint64      `json:"version"` // counts the changes of this document, from 1
	ClusterID  string      `json:"cluster"`
	NodeID     string      `json:"node"`
	Start      uint64      `json:"start"` // the start counter: part of every generation taken since
	Mountpaths []Mountpath `json:"mountpaths"`
	// Transition is the change of the set of mountpaths that is under way; nil: none.
	Transition *Transition `json:"transition,omitempty"`
	// Removed are the ids of mountpaths that were the node's: directories that still
	// have their format are not taken for new ones.
	Removed []string `json:"removed,omitempty"`
	// GivenUp are those of Removed that were taken away with what was on them, because
	// they could not be read: what they still have is left alone.
	GivenUp []string `json:"given_up,omitempty"`
	// Lost are those of GivenUp of which other nodes have copies that this one has not
	// caught up with.
	Lost []Lost `json:"lost,omitempty"`
	// Mounts is the version of the mount map that was published last; nil: none has been.
	Mounts *MountMap `json:"mounts,omitempty"`
	// Coming is a version that follows it, directly or not, and that may have been published
	// since; nil: there is none.
	Coming *MountMap `json:"mounts_coming,omitempty"`
	// Blank are the ids of mountpaths whose copy of the document could not be read at a start
	// since which the mount map has not been served: they do not know what was published.
	Blank []string `json:"mounts_unknown_to,omitempty"`
}

// Documents is the node's documents. Safe for concurrent use.
type Documents struct {
	mu          sync.Mutex
	shelves     []Shelf
	shown       atomic.Pointer[[]Shelf] // shelves, for who does not wait for mu
	folders     sync.RWMutex            // held to read while a document of a Folder is written, to write while a shelf joins; after mu
	node        Node
	buckets     map[objects.BucketID]*objects.BucketDoc
	cluster     *clusterCopy // nil: the node has never been in one
	outstanding outstanding
	clock       clock.Clock
	// counted are the shelves, by id, whose documents counted when the node's were read: not
	// those that had been out of use, or are new. nil: all do. Not changed after Open.
	counted map[string]bool

	// claimed says that this start may serve the mount map, and make versions of it.
	claimed bool
	// witnesses are the mountpaths, by id, whose copies of the node's document have been
	// weighed for what mount map is in force.
	witnesses map[string]bool
	// founders are the mountpaths that the document named, and did not call out of use, when
	// it was read: half and more than half of a node without a mount map are of them.
	founders []string
	lax      lax
}

// lax switches rules of the mount map off. For tests, which find out then what the rules are
// for.
type lax struct {
	start   bool // it is served whoever is there
	publish bool // it is published wherever it could be written
	here    bool // it goes to those alone that it calls up or recovering
}

const (
	nodeDocument  = "node.json"
	bucketsFolder = "buckets"
)

// NewID makes a random id of 16 hexadecimal digits, for nodes, clusters and
// mountpaths.
func NewID() (string, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", errs.E("embedded.NewID", errs.Internal, err)
	}
	return hex.EncodeToString(b[:]), nil
}

// Open reads the documents from the shelves that existed before this start. With
// none, it makes the documents of a new node.
func Open(shelves []Shelf) (*Documents, error) {
	const op errs.Op = "embedded.Open"
	d := &Documents{clock: clock.NewSystem(), buckets: make(map[objects.BucketID]*objects.BucketDoc), witnesses: make(map[string]bool)}
	d.setShelves(shelves)
	node, err := nodeInForce(shelves)
	if err != nil {
		return nil, errs.E(op, err)
	}
	if node == nil {
		node = &Node{}
		if node.ClusterID, err = NewID(); err != nil {
			return nil, errs.E(op, err)
		}
		if node.NodeID, err = NewID(); err != nil {
			return nil, errs.E(op, err)
		}
	}
	d.node = *node
	d.node.Start = greatestStart(shelves, d.node.Start)
	d.weighMounts(readNodes(shelves))
	for _, m := range d.node.Mountpaths {
		if m.Disabled == "" && m.Away == "" {
			d.founders = append(d.founders, m.ID)
		}
	}
	if d.cluster, err = readCluster(shelves); err != nil {
		return nil, errs.E(op, err)
	}
	names := make(map[string]struct{})
	for _, s := range shelves {
		list, err := s.List(bucketsFolder)
		if err != nil && !errs.Is(errs.NotFound, err) {
			return nil, errs.E(op, s, err)
		}
		for _, name := range list {
			if strings.HasSuffix(name, ".json") {
				names[name] = struct{}{}
			}
		}
	}
	voters := d.node.voters(shelves)
	if len(voters) > 0 {
		d.counted = make(map[string]bool)
		for _, s := range voters {
			d.counted[s.ID()] = true
		}
	}
	for name := range names {
		doc, err := inForce[objects.BucketDoc](voters, bucketsFolder+"/"+name, func(b *objects.BucketDoc) uint64 { return b.Version })
		if err != nil {
			return nil, errs.E(op, err)
		}
		if doc != nil {
			d.buckets[doc.ID] = doc
		}
	}
	return d, nil
}

// Adopt makes the node the one that the formats of its mountpaths name, if no
// document says who it is: a first start that was interrupted had formatted them and
// had not written the documents everywhere. Before Begin.
func (d *Documents) Adopt(clusterID, nodeID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.node.Version == 0 {
		d.node.ClusterID, d.node.NodeID = clusterID, nodeID
	}
}

// startJump is added to the start counter for a copy that cannot be read: more
// starts than that mountpath can have had by itself.
const startJump = 1 << 20

// greatestStart returns the greatest start counter on any shelf: a generation of
// that start may be on any mountpath, whatever the majority says.
func greatestStart(shelves []Shelf, start uint64) uint64 {
	jump := uint64(0)
	for _, s := range shelves {
		n, err := read[Node](s, nodeDocument)
		switch {
		case err != nil:
			jump = startJump
		case n != nil:
			start = max(start, n.Start)
		}
	}
	return start + jump
}

// read reads one copy; nil if there is none.
func read[T any](s Shelf, name string) (*T, error) {
	content, err := s.Read(name)
	if errs.Is(errs.NotFound, err) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.E("embedded.read", fmt.Sprintf("%s on %s", name, s), err)
	}
	doc := new(T)
	if err := json.Unmarshal(content, doc); err != nil {
		return nil, errs.E("embedded.read", fmt.Sprintf("%s on %s", name, s), errs.Corrupt, err)
	}
	return doc, nil
}

// inForce returns the newest version of a document that more than half of the
// shelves have, or have a newer one of; nil if there is none. A copy that cannot
// be read counts as absent unless no copy can.
func inForce[T any](shelves []Shelf, name string, version func(*T) uint64) (*T, error) {
	var copies []*T
	var failures []error
	for _, s := range shelves {
		doc, err := read[T](s, name)
		if err != nil {
			failures = append(failures, err)
		} else if doc != nil {
			copies = append(copies, doc)
		}
	}
	if len(copies) == 0 {
		return nil, errors.Join(failures...)
	}
	sort.Slice(copies, func(i, j int) bool { return version(copies[i]) > version(copies[j]) })
	voters := len(shelves) - len(failures)
	if need := voters/2 + 1; len(copies) >= need {
		return copies[need-1], nil
	}
	return nil, nil // a minority's: it was never in force
}

// Begin attaches the shelves that are present, gives the node the mountpaths
// named, takes the next start counter and brings every shelf up to date. It
// returns once all of that is durable: generations may be taken from then on. From
// then on the mount map is served as well, if the start rule allows it and it can be
// published: see Mounts and ClaimMounts.
func (d *Documents) Begin(present []Shelf, mountpaths []Mountpath) (Node, error) {
	const op errs.Op = "embedded.Begin"
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setShelves(present)
	next := d.node
	next.Version++
	next.Start++
	next.Mountpaths = slices.Clone(mountpaths)
	next.Blank = nil
	if d.node.Version == 0 { // a new node's: there is nothing that anybody could know
		for _, m := range mountpaths {
			d.founders = append(d.founders, m.ID)
			d.witnesses[m.ID] = true
		}
	}
	for _, s := range present {
		if !d.witnesses[s.ID()] {
			next.Blank = append(next.Blank, s.ID())
		}
	}
	for i, m := range next.Mountpaths { // those present are brought up to date
		if slices.ContainsFunc(present, func(s Shelf) bool { return s.ID() == m.ID }) {
			next.Mountpaths[i].Disabled, next.Mountpaths[i].Away = "", ""
		}
	}
	if err := d.acquaint(present); err != nil {
		return Node{}, errs.E(op, err)
	}
	if err := d.write(nodeDocument, &next); err != nil {
		return Node{}, errs.E(op, err)
	}
	d.node = next
	for _, doc := range d.buckets {
		if err := d.writeWhereStale(doc); err != nil {
			return Node{}, errs.E(op, doc.Bucket, err)
		}
	}
	for _, s := range d.shelves {
		if err := d.bounded(s, func() error { return d.giveCluster(s) }); err != nil {
			return Node{}, errs.E(op, err)
		}
	}
	// A mount map that cannot be served yet is no reason not to start: ClaimMounts tries
	// again, and tells why.
	_ = d.claim()
	return d.node, nil
}

// setShelves changes where documents are kept.
func (d *Documents) setShelves(shelves []Shelf) {
	d.shelves = shelves
	d.shown.Store(&shelves)
}

// present returns where documents are kept; only to be read.
func (d *Documents) present() []Shelf { return *d.shown.Load() }

// acquaint writes the document that is in force to shelves that have none, before the
// next one is written: a crash in the middle of that leaves a copy that counts.
func (d *Documents) acquaint(shelves []Shelf) error {
	if d.node.Version == 0 {
		return nil // a new node's: none is in force
	}
	content, err := encode(&d.node)
	if err != nil {
		return err
	}
	for _, s := range shelves {
		if _, err := s.Read(nodeDocument); !errs.Is(errs.NotFound, err) {
			continue
		}
		if err := d.bounded(s, func() error { return s.Write(nodeDocument, content) }); err != nil {
			return errs.E("embedded.acquaint", s, err)
		}
	}
	return nil
}

// writeWhereStale writes a bucket's document to the shelves that have another.
func (d *Documents) writeWhereStale(doc *objects.BucketDoc) error {
	for _, s := range d.shelves {
		if err := d.bounded(s, func() error { return writeIfStale(s, doc) }); err != nil {
			return err
		}
	}
	return nil
}

func writeIfStale(s Shelf, doc *objects.BucketDoc) error {
	content, err := encode(doc)
	if err != nil {
		return err
	}
	if have, err := s.Read(bucketName(doc.ID)); err == nil && string(have) == string(content) {
		return nil
	}
	return s.Write(bucketName(doc.ID), content)
}

func bucketName(id objects.BucketID) string { return bucketsFolder + "/" + id.String() + ".json" }

func encode(doc any) ([]byte, error) {
	content, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, errs.E("embedded.encode", errs.Internal, err)
	}
	return append(content, '\n'), nil
}

// write writes a document to every shelf, and fails if one of them fails.
func (d *Documents) write(name string, doc any) error {
	_, err := d.writeEach(name, doc)
	return err
}

// writeEach writes a document to every shelf, and returns the ids of those that took it,
// with what the others failed by.
func (d *Documents) writeEach(name string, doc any) (took []string, err error) {
	content, err := encode(doc)
	if err != nil {
		return nil, err
	}
	var failures []error
	for _, s := range d.shelves {
		if err := d.bounded(s, func() error { return s.Write(name, content) }); err != nil {
			failures = append(failures, errs.E("embedded.write", fmt.Sprintf("%s on %s", name, s), err))
			continue
		}
		took = append(took, s.ID())
	}
	return took, errors.Join(failures...)
}

// Node returns the node's document.
func (d *Documents) Node() Node {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.node
}

// Buckets returns the documents of all buckets, those being deleted and
// destroyed ones included, in no order.
func (d *Documents) Buckets() []*objects.BucketDoc {
	d.mu.Lock()
	defer d.mu.Unlock()
	docs := make([]*objects.BucketDoc, 0, len(d.buckets))
	for _, doc := range d.buckets {
		docs = append(docs, doc)
	}
	return docs
}

// PutBucket stores a bucket's document on every mountpath present in place of
// its predecessor, whose Version is one less; errs.Conflict if another change
// came first. If a mountpath fails, so does PutBucket, and the next start decides
// by majority whether the change happened. Blocks on the disks.
func (d *Documents) PutBucket(doc *objects.BucketDoc) error {
	const op errs.Op = "embedded.PutBucket"
	d.mu.Lock()
	defer d.mu.Unlock()
	have := uint64(0)
	if was := d.buckets[doc.ID]; was != nil {
		have = was.Version
	}
	if doc.Version != have+1 {
		return errs.E(op, doc.Bucket, errs.Conflict, fmt.Errorf("version %d follows %d", doc.Version, have))
	}
	if err := d.write(bucketName(doc.ID), doc); err != nil {
		return errs.E(op, doc.Bucket, err)
	}
	d.buckets[doc.ID] = doc
	return nil
}

// AdoptBucket stores a bucket's document that all nodes agreed on, on every mountpath
// present, whatever version it follows; one that is not newer changes nothing. Blocks on
// the disks.
func (d *Documents) AdoptBucket(doc *objects.BucketDoc) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if was := d.buckets[doc.ID]; was != nil && was.Version >= doc.Version {
		return nil
	}
	if err := d.write(bucketName(doc.ID), doc); err != nil {
		return errs.E("embedded.AdoptBucket", doc.Bucket, err)
	}
	d.buckets[doc.ID] = doc
	return nil
}

// Forget removes the document of a destroyed bucket once no mountpath has data
// of it any more.
func (d *Documents) Forget(id objects.BucketID) error {
	const op errs.Op = "embedded.Forget"
	d.mu.Lock()
	defer d.mu.Unlock()
	if doc := d.buckets[id]; doc != nil && doc.State != objects.BucketDestroyed {
		return errs.E(op, doc.Bucket, errs.Conflict, errors.New("the bucket is not destroyed"))
	}
	var failures []error
	for _, s := range d.shelves {
		failures = append(failures, d.bounded(s, func() error { return s.Remove(bucketName(id)) }))
	}
	if err := errors.Join(failures...); err != nil {
		return errs.E(op, id, err)
	}
	delete(d.buckets, id)
	return nil
}
