package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// HistoryRequest asks what is recorded of a name.
type HistoryRequest struct {
	Bucket string             // name of the bucket, and of destroyed ones
	IDs    []objects.BucketID // of buckets in which the name is looked for
	Name   string
	Limit  int // entries at most, at least 1
}

// History is what is recorded of a name, the newest first.
type History struct {
	Entries []HistoryEntry
	More    bool // there are older entries
	// Unanswered are those that could not be asked: they may have more.
	Unanswered []Unanswered
}

// HistoryEntry is one entry of a history.
type HistoryEntry struct {
	objects.HistoryEntry
	Path string // of its mountpath
}

// Unanswered is a node, or a mountpath of one, that could not be asked.
type Unanswered struct {
	Node      string // id; empty: this node, which is alone
	Mountpath string // path; empty: the node as a whole
	Reason    string
}

// newest leaves the newest entries, so many at the most, in their order.
func (h *History) newest(limit int) {
	slices.SortFunc(h.Entries, func(a, b HistoryEntry) int { return a.Compare(&b.HistoryEntry) })
	if len(h.Entries) > limit {
		h.Entries, h.More = h.Entries[:limit], true
	}
}

// History returns what all mountpaths of all nodes have recorded of a name, at most so
// many entries. Bucket is the name of one, also of a destroyed one that is remembered, or
// the id of one. What cannot be asked is named in the answer, and is no failure.
func (g *Gateway) History(_ context.Context, bucket, name string, limit int) (*History, error) {
	const op errs.Op = "gateway.History"
	if err := objects.CheckName(name); err != nil {
		return nil, errs.E(op, name, errs.Invalid, err)
	}
	r := HistoryRequest{Bucket: bucket, Name: name, Limit: limit}
	doc, err := g.Bucket(bucket)
	switch {
	case err == nil:
		r.IDs = append(r.IDs, doc.ID)
	case !errors.Is(err, objects.ErrNoSuchBucket):
		return nil, errs.E(op, bucket, err)
	}
	if id, err := objects.ParseBucketID(bucket); err == nil && doc == nil {
		r.IDs = append(r.IDs, id)
	}
	all := g.HistoryHere(r)
	if set := g.nodes(); set != nil && set.Map != nil {
		g.historyElsewhere(op, set, r, all)
	}
	all.newest(limit)
	return all, nil
}

// historyElsewhere adds what the other nodes of the map have recorded.
func (g *Gateway) historyElsewhere(op errs.Op, set *messages.NodeSet, r HistoryRequest, all *History) {
	nodes := set.Map.Nodes()
	answers, failures := make([]*History, len(nodes)), make([]error, len(nodes))
	var asked sync.WaitGroup
	for i := range nodes {
		id := string(nodes[i].ID)
		if id == set.Self {
			continue
		}
		asked.Go(func() {
			defer recovered(op, objects.Key{Name: r.Name}, &failures[i])
			node := set.Find(id)
			if node == nil {
				failures[i] = errors.New("it has not told where it is")
				return
			}
			answers[i], failures[i] = g.Peers.History(node, r)
		})
	}
	asked.Wait()
	for i, answer := range answers {
		if failures[i] != nil {
			all.Unanswered = append(all.Unanswered, Unanswered{Node: string(nodes[i].ID), Reason: failures[i].Error()})
		}
		if answer != nil {
			all.Entries, all.More = append(all.Entries, answer.Entries...), all.More || answer.More
			all.Unanswered = append(all.Unanswered, answer.Unanswered...)
		}
	}
}

// HistoryHere returns what this node's mountpaths have recorded of a name, also of keys
// that belong elsewhere by now: the newest first.
func (g *Gateway) HistoryHere(r HistoryRequest) *History {
	const op errs.Op = "gateway.History"
	self := ""
	if set := g.nodes(); set != nil {
		self = set.Self
	}
	here := new(History)
	clock := g.System.Clock()
	began := clock.Elapsed()
	roster := g.Roster.Load()
	questions := make([]*messages.GetHistory, len(roster.Mountpaths))
	for i := range roster.Mountpaths {
		view := &roster.Mountpaths[i]
		if err := view.Away(); err != nil {
			here.Unanswered = append(here.Unanswered, Unanswered{self, view.Path, err.Error()})
			continue
		}
		questions[i] = &messages.GetHistory{IDs: r.IDs, Bucket: r.Bucket, Name: r.Name, Limit: r.Limit, Reply: messages.NewReply[*messages.HistoryPage]()}
		g.System.Root().Send(view.Reader(objects.DigestID(r.Name)), questions[i])
	}
	for i, question := range questions {
		if question == nil {
			continue
		}
		path := roster.Mountpaths[i].Path
		// All of them were asked at once: several that hang take no longer than one.
		page, err := question.Reply.WaitOn(clock, op, max(0, Deadline-(clock.Elapsed()-began)))
		if err != nil {
			here.Unanswered = append(here.Unanswered, Unanswered{self, path, err.Error()})
			continue
		}
		here.More = here.More || page.More
		for _, e := range page.Entries {
			here.Entries = append(here.Entries, HistoryEntry{e, path})
		}
	}
	here.newest(r.Limit)
	return here
}
