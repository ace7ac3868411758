package embedded

import (
	"encoding/json"
	"fmt"

	"github.com/troupe-storage/troupe/objects/errs"
)

// clusterDocument is what the node knows of its cluster: cluster.json.
const clusterDocument = "cluster.json"

// clusterCopy is one copy of it. What is in it is the business of who puts it.
type clusterCopy struct {
	// Version grows from one to the next.
	Version uint64          `json:"version"`
	Content json.RawMessage `json:"content"`
}

// readCluster returns the newest copy on any shelf; nil if there is none. A majority is
// not asked: what is in a document of the cluster was agreed on elsewhere before it was
// written here, and a node must not go back behind what it has acted on. A copy that
// cannot be read counts as absent unless no copy can.
func readCluster(shelves []Shelf) (newest *clusterCopy, err error) {
	var failed error
	for _, s := range shelves {
		doc, err := read[clusterCopy](s, clusterDocument)
		switch {
		case err != nil:
			failed = err
		case doc != nil && (newest == nil || doc.Version > newest.Version):
			newest = doc
		}
	}
	if newest != nil {
		failed = nil
	}
	return newest, failed
}

// Cluster returns what PutCluster kept last; nil: nothing.
func (d *Documents) Cluster() json.RawMessage {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cluster == nil {
		return nil
	}
	return d.cluster.Content
}

// PutCluster keeps what the node knows of its cluster on every mountpath in use; it is
// durable when PutCluster returns without an error. If a mountpath fails, so does
// PutCluster, and a start takes the new content if any mountpath present has it. Blocks
// on the disks.
func (d *Documents) PutCluster(content json.RawMessage) error {
	const op errs.Op = "embedded.PutCluster"
	d.mu.Lock()
	defer d.mu.Unlock()
	next := &clusterCopy{Version: 1, Content: content}
	if d.cluster != nil {
		next.Version = d.cluster.Version + 1
	}
	// What is tried again gets a version of its own: the failed attempt's may be on a shelf.
	d.cluster = &clusterCopy{Version: next.Version, Content: d.content()}
	if err := d.write(clusterDocument, next); err != nil {
		return errs.E(op, err)
	}
	d.cluster = next
	return nil
}

func (d *Documents) content() json.RawMessage {
	if d.cluster == nil {
		return nil
	}
	return d.cluster.Content
}

// giveCluster brings one shelf up to date.
func (d *Documents) giveCluster(s Shelf) error {
	if d.cluster == nil || d.cluster.Content == nil {
		return nil
	}
	content, err := encode(d.cluster)
	if err != nil {
		return err
	}
	if have, err := s.Read(clusterDocument); err == nil && string(have) == string(content) {
		return nil
	}
	if err := s.Write(clusterDocument, content); err != nil {
		return errs.E("embedded.giveCluster", fmt.Sprintf("%s on %s", clusterDocument, s), err)
	}
	return nil
}
