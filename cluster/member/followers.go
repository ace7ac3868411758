package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// What the lasting workers tell the coordinator. An error says nothing of what is
// watched: what was seen last is still what is known.
type (
	versionSeen struct {
		doc cluster.Document
		err error
	}
	membersSeen struct {
		members []cluster.Member
		err     error
	}
	recordsSeen struct {
		records map[smap.NodeID]Record
		err     error
	}
	holderSeen struct {
		holder cluster.Holder
		err    error
	}
	leadWon  struct{ lead *cluster.Lead }
	leadLost struct {
		lead *cluster.Lead
		why  string
	}
	candidateFailed struct{ err error }
	probed          struct {
		id     smap.NodeID
		began  time.Duration
		asked  time.Duration // on Awake
		status Status
		err    error
	}
)

// follow sends all that a watch shows, until the context ends.
func follow[T any](ctx context.Context, w *cluster.Watch[T], send func(T, error)) {
	for {
		state, err := w.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		send(state, err)
	}
}

// recordsOf reads the documents of nodes. One that cannot be read is left out: a newer
// program may write others.
func recordsOf(docs []cluster.Document) (map[smap.NodeID]Record, error) {
	records := make(map[smap.NodeID]Record, len(docs))
	var faults []error
	for _, doc := range docs {
		var r Record
		if err := json.Unmarshal(doc.Value, &r); err != nil || r.ID == "" {
			faults = append(faults, errs.E("member.recordsOf", doc.Key, errs.Corrupt, fmt.Errorf("it is no node's: %w", err)))
			continue
		}
		records[r.ID] = r
	}
	return records, errors.Join(faults...)
}

// campaign wants to lead, again and again, until the context ends. Who leads resigns
// then.
func (m *member) campaign(ctx context.Context, c *cluster.Candidate, send func(any)) {
	for ctx.Err() == nil {
		lead, err := c.Win(ctx)
		if err != nil {
			if ctx.Err() == nil {
				send(&candidateFailed{err})
				cluster.Pause(ctx, m.System.Clock(), m.Pace.RetryMax)
			}
			continue
		}
		send(&leadWon{lead})
		select {
		case <-lead.Context().Done():
		case <-ctx.Done():
		}
		why := "it was given up"
		if lead.Context().Err() != nil {
			why = context.Cause(lead.Context()).Error()
		}
		resigned, done := cluster.Within(context.WithoutCancel(ctx), m.System.Clock(), resignTime)
		if err := lead.Resign(resigned); err != nil {
			why += "; its session expires by itself: " + err.Error()
		}
		done()
		send(&leadLost{lead, why})
	}
}

// probe asks one node again and again, until the context ends.
func (m *member) probe(ctx context.Context, id smap.NodeID, send func(any)) {
	clock := m.System.Clock()
	for ctx.Err() == nil {
		out := m.held.out.Load()
		began, asked := clock.Elapsed(), m.Awake()
		limited, done := cluster.Within(ctx, clock, ProbeTime)
		status, err := m.Peers.Probe(limited, out.records[id], out.probe)
		done()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && (status.Node != id || status.ClusterID != m.ClusterID):
			err = errs.E("member.probe", string(id), errs.Conflict, fmt.Errorf("node %q of cluster %q answers in its place", status.Node, status.ClusterID))
		}
		send(&probed{id, began, asked, status, err})
		cluster.Pause(ctx, clock, ProbeEvery)
	}
}
