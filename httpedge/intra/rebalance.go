package intra

import (
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// What nodes ask each other while keys go over to other nodes, or a node catches up.

// holdingsQuestion is asked at pathHoldings, and answered by a gateway.HoldingsPage.
type holdingsQuestion struct {
	About   about
	Map     uint64 // version of the map that the asker's lanes act on
	Request gateway.HoldingsRequest
}

// dropQuestion is asked at pathDrop. Its answer says nothing.
type dropQuestion struct {
	About      about
	Epoch      smap.Epoch
	Name       string
	Generation objects.Generation
}

// Holdings implements gateway.Peers.
func (r *Road) Holdings(set *messages.NodeSet, node *messages.NodeView, bucket *objects.BucketDoc, request gateway.HoldingsRequest) (*gateway.HoldingsPage, error) {
	page := new(gateway.HoldingsPage)
	return page, r.ask(node, pathHoldings, reads, &holdingsQuestion{aboutKept(bucket), set.Version(), request}, page)
}

// Drop implements gateway.Peers.
func (r *Road) Drop(c gateway.Charge, bucket *objects.BucketDoc, name string, generation objects.Generation) error {
	var nothing bool
	return r.ask(c.Node, pathDrop, writes, &dropQuestion{aboutKept(bucket), c.Epoch, name, generation}, &nothing)
}

func (s *Server) onHoldings(ctx *fasthttp.RequestCtx) error {
	var q holdingsQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	set := s.Gateway.LaneMap()
	if set == nil || set.Version() != q.Map {
		return &messages.MapDiffers{Version: set.Version()}
	}
	if q.Request.From > q.Request.To || q.Request.To >= smap.Slots {
		return errs.E("intra.onHoldings", errs.Invalid)
	}
	page, err := s.Gateway.Holdings(set, bucket, q.Request)
	if err != nil {
		return err
	}
	return give(ctx, page)
}

func (s *Server) onDrop(ctx *fasthttp.RequestCtx) error {
	var q dropQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	if err := s.Gateway.DropHere(bucket, q.Name, q.Epoch, q.Generation, nil); err != nil {
		return err
	}
	return give(ctx, true)
}
