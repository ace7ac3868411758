package consul

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Read implements cluster.Documents.
func (p *Provider) Read(ctx context.Context, key string, q cluster.Query) (cluster.Document, uint64, error) {
	const op errs.Op = "consul.Read"
	ctx, _, done := p.call(ctx, op, key, wait(q))
	pair, meta, err := p.client.KV().Get(key, options(ctx, q))
	if err = done(false, err); err != nil {
		return cluster.Document{}, 0, err
	}
	if pair == nil {
		return cluster.Document{Key: key}, meta.LastIndex, nil
	}
	return documentOf(pair), meta.LastIndex, nil
}

func documentOf(pair *api.KVPair) cluster.Document {
	return cluster.Document{Key: pair.Key, Value: pair.Value, Index: pair.ModifyIndex, Stamp: pair.Flags}
}

// List implements cluster.Documents.
func (p *Provider) List(ctx context.Context, prefix string, q cluster.Query) ([]cluster.Document, uint64, error) {
	const op errs.Op = "consul.List"
	ctx, _, done := p.call(ctx, op, prefix, wait(q))
	pairs, meta, err := p.client.KV().List(prefix, options(ctx, q))
	if err = done(false, err); err != nil {
		return nil, 0, err
	}
	if err := p.whole(meta, len(pairs)); err != nil {
		return nil, 0, errs.E(op, prefix, err)
	}
	docs := make([]cluster.Document, len(pairs))
	for i, pair := range pairs {
		docs[i] = documentOf(pair)
	}
	slices.SortFunc(docs, func(a, b cluster.Document) int { return strings.Compare(a.Key, b.Key) })
	return docs, meta.LastIndex, nil
}

// Commit implements cluster.Documents, as one transaction.
func (p *Provider) Commit(ctx context.Context, stamp uint64, writes []cluster.Write) error {
	const op errs.Op = "consul.Commit"
	if err := cluster.CheckWrites(op, writes); err != nil {
		return err
	}
	operations := make(api.TxnOps, len(writes))
	for i, w := range writes {
		operations[i] = &api.TxnOp{KV: operation(stamp, w)}
	}
	ctx, _, done := p.call(ctx, op, writes[0].Key, 0)
	ok, response, _, err := p.client.Txn().Txn(operations, options(ctx, cluster.Query{Consistency: cluster.Default}))
	if err = done(true, err); err != nil || ok {
		return err
	}
	return errs.E(op, writes[0].Key, refusal(response))
}

func operation(stamp uint64, w cluster.Write) *api.KVTxnOp {
	o := &api.KVTxnOp{Key: w.Key, Index: w.Index}
	switch {
	case w.Change == cluster.Replace:
		o.Verb, o.Value, o.Flags = api.KVCAS, w.Value, stamp // with the index 0, Consul creates only
	case w.Change == cluster.Remove:
		o.Verb = api.KVDeleteCAS
	case w.Index == 0:
		o.Verb = api.KVCheckNotExists
	default:
		o.Verb = api.KVCheckIndex
	}
	return o
}

// refusal makes an error of why a transaction was not carried out. Consul says it in
// words only (agent/consul/state/txn.go, acl/errors.go): what is not known to be a
// condition that does not hold is not taken for one.
func refusal(response *api.TxnResponse) error {
	var said []error
	kind := errs.Conflict
	for _, e := range response.Errors {
		said = append(said, fmt.Errorf("change %d: %s", e.OpIndex+1, e.What))
		switch {
		case strings.Contains(e.What, "index is stale"), strings.HasSuffix(e.What, " exists"), strings.HasSuffix(e.What, "doesn't exist"),
			strings.Contains(e.What, "current modify index"):
		case strings.Contains(e.What, "Permission denied"), strings.Contains(e.What, "ACL not found"):
			return errs.E("", errs.Denied, errors.New(e.What))
		default:
			kind = errs.Busy
		}
	}
	if kind == errs.Busy || len(said) == 0 {
		return errs.E("", errs.Busy, errors.Join(append(said, objects.ErrOutcomeUnknown)...))
	}
	return errs.E("", kind, errors.Join(said...))
}
