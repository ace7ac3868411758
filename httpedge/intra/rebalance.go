package intra

import (
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/messages/wire"
	"github.com/troupe-storage/troupe/objects"
)

// What nodes ask each other while keys go over to other nodes, or a node catches up.

// Holdings implements gateway.Peers.
func (r *Road) Holdings(set *messages.NodeSet, node *messages.NodeView, bucket *objects.BucketDoc, request gateway.HoldingsRequest) (*gateway.HoldingsPage, error) {
	var answer wire.HoldingsAnswer
	if err := r.ask(node, pathHoldings, reads, holdingsQuestion(wire.AboutOf(bucket, true), set.Version(), &request), &answer); err != nil {
		return nil, err
	}
	return holdingsPage(&answer), nil
}

// Drop implements gateway.Peers.
func (r *Road) Drop(c gateway.Charge, bucket *objects.BucketDoc, name string, generation objects.Generation) error {
	q := &wire.DropQuestion{About: wire.AboutOf(bucket, true), Epoch: wire.EpochOf(c.Epoch), Name: []byte(name), Generation: wire.GenerationOf(generation), Origin: wire.OriginOf(&c.For)}
	return r.ask(c.Node, pathDrop, writes, q, new(wire.Nothing))
}

// laneMap returns the map that the lanes act on, which is to be of that version. A
// *messages.MapDiffers: it is another one, or there is none yet.
func (s *Server) laneMap(version uint64) (*messages.NodeSet, error) {
	set := s.Gateway.LaneMap()
	if set == nil || set.Version() != version {
		return nil, &messages.MapDiffers{Version: set.Version()}
	}
	return set, nil
}

func (s *Server) onHoldings(ctx *fasthttp.RequestCtx) error {
	var q wire.HoldingsQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	set, err := s.laneMap(q.Map)
	if err != nil {
		return err
	}
	request, err := holdingsRequest(&q)
	if err != nil {
		return invalid(q.About, err)
	}
	page, err := s.Gateway.Holdings(set, bucket, request)
	if err != nil {
		return err
	}
	return give(ctx, holdingsAnswer(page))
}

func (s *Server) onDrop(ctx *fasthttp.RequestCtx) error {
	var q wire.DropQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	if err := s.Gateway.DropHere(bucket, string(q.Name), q.Epoch.Value(), q.Generation.Value(), nil, q.Origin.Value()); err != nil {
		return err
	}
	return give(ctx, new(wire.Nothing))
}
