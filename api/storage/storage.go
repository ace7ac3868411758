// Package storage is the part of the native API that is about mountpaths: their
// states, and disabling and enabling them. It has the JSON that edges and clients
// share, and the client.
//
// Start with Mountpath.
package storage

import (
	"context"
	"time"

	"github.com/troupe-storage/troupe/api/client"
)

// Path is where the API is on the native listener. GET answers Mountpaths; POST
// takes an Action and answers the Mountpath as it is afterwards. Both need the root
// pair.
const Path = "/v1/mountpaths"

// The actions.
const (
	Disable = "disable"
	Enable  = "enable"
	// Add makes a directory a mountpath; it gets its share of the objects.
	Add = "add"
	// Remove takes a mountpath away; what it has moves to the others first.
	Remove = "remove"
)

// Action asks for a change of one mountpath.
type Action struct {
	Action string `json:"action"` // Disable, Enable, Add or Remove
	Path   string `json:"path"`   // of the mountpath, or its id; to be added: of the directory
	// Force removes a mountpath that cannot be read: what only it has is lost.
	Force bool `json:"force,omitempty"`
}

// Mountpaths answers a list.
type Mountpaths struct {
	Mountpaths []Mountpath `json:"mountpaths"`
}

// Mountpath is one mountpath as it is now. Numbers of one that is not open are 0.
type Mountpath struct {
	ID       string    `json:"id"`
	Path     string    `json:"path"`
	State    string    `json:"state"` // ok, full, slow, read-only, failing, disabled, missing; for ok: joining or leaving while objects move, suspended while actors of it are
	Reason   string    `json:"reason,omitempty"`
	Since    time.Time `json:"since"`
	Readable bool      `json:"readable"`
	Writable bool      `json:"writable"`

	CapacityBytes uint64 `json:"capacity_bytes"`
	UsedBytes     uint64 `json:"used_bytes"`
	FreeBytes     uint64 `json:"free_bytes"`
	ReservedBytes uint64 `json:"reserved_bytes"` // kept free: below it writes fail, below half of it deletes too
	Inodes        uint64 `json:"inodes,omitempty"`
	FreeInodes    uint64 `json:"free_inodes,omitempty"`

	ReclaimableFiles int   `json:"reclaimable_files"` // deleted, not yet reclaimed
	ReclaimableBytes int64 `json:"reclaimable_bytes"`
	Leases           int   `json:"leases"`         // payloads that readers keep from being reclaimed
	UnsettledKeys    int   `json:"unsettled_keys"` // busy until a write that failed is settled

	Errors       uint64   `json:"errors"`            // of the disk, since the node started
	ProbeSeconds float64  `json:"probe_seconds"`     // how long the last probe took; 0: it was never under suspicion
	Reopenings   int      `json:"reopenings"`        // how often an index that dies can still be opened again
	Changes      []Change `json:"changes,omitempty"` // the last ones, oldest first

	Job string `json:"job,omitempty"` // id of the job that moves its objects, or objects to it

	SuspendedActors int `json:"suspended_actors,omitempty"` // of its actors, by control; in a list only

	// MountState is its state in the mount map of the node, up, down or recovering, and
	// MountVersion the version of that. Absent: no map is served, or it is not in it.
	MountState   string `json:"mount_state,omitempty"`
	MountVersion uint64 `json:"mount_version,omitempty"`
}

// Change is one change of a mountpath's state.
type Change struct {
	At     time.Time `json:"at"`
	State  string    `json:"state"`
	Reason string    `json:"reason,omitempty"`
}

// Client asks a node about its mountpaths. As safe for concurrent use as its
// Control.
type Client struct{ Control client.Control }

// List returns every mountpath.
func (c Client) List(ctx context.Context) ([]Mountpath, error) {
	var all Mountpaths
	err := c.Control.Get(ctx, Path, nil, &all)
	return all.Mountpaths, err
}

// Do carries out an action and returns the mountpath as it is afterwards.
func (c Client) Do(ctx context.Context, a Action) (Mountpath, error) {
	var m Mountpath
	err := c.Control.Post(ctx, Path, nil, a, &m)
	return m, err
}
