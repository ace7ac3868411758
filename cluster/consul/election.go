package consul

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects/errs"
)

// OpenSession implements cluster.Election. The session goes with its TTL only: a
// check of the machine that turns critical for a moment must not end it.
func (p *Provider) OpenSession(ctx context.Context, s cluster.Session) (string, error) {
	const op errs.Op = "consul.OpenSession"
	if err := s.Validate(); err != nil {
		return "", errs.E(op, s.Name, errs.Invalid, err)
	}
	entry := &api.SessionEntry{Name: s.Name, TTL: s.TTL.String(), LockDelay: s.LockDelay, Behavior: api.SessionBehaviorRelease}
	ctx, _, done := p.call(ctx, op, s.Name, 0)
	var id string
	var err error
	if s.LockDelay == 0 {
		id, err = p.openWithoutDelay(ctx, entry)
	} else {
		id, _, err = p.client.Session().CreateNoChecks(entry, new(api.WriteOptions).WithContext(ctx))
	}
	// A session of which nobody knows expires: the outcome need not be known.
	return id, done(false, err)
}

// openWithoutDelay opens a session whose LockDelay is 0, which the client's own call
// takes for "not said", and Consul for 15 s.
func (p *Provider) openWithoutDelay(ctx context.Context, entry *api.SessionEntry) (string, error) {
	body := map[string]any{"Name": entry.Name, "TTL": entry.TTL, "LockDelay": "0s", "Behavior": entry.Behavior, "NodeChecks": []string{}}
	var answered struct{ ID string }
	_, err := p.client.Raw().Write("/v1/session/create", body, &answered, new(api.WriteOptions).WithContext(ctx))
	return answered.ID, err
}

// errSession is that a session is over.
var errSession = errors.New("the session is over")

// RenewSession implements cluster.Election.
func (p *Provider) RenewSession(ctx context.Context, id string) error {
	const op errs.Op = "consul.RenewSession"
	ctx, _, done := p.call(ctx, op, id, 0)
	entry, _, err := p.client.Session().Renew(id, new(api.WriteOptions).WithContext(ctx))
	if err = done(false, err); err == nil && entry == nil {
		return errs.E(op, id, errs.NotFound, errSession)
	}
	return err
}

// CloseSession implements cluster.Election.
func (p *Provider) CloseSession(ctx context.Context, id string) error {
	ctx, _, done := p.call(ctx, "consul.CloseSession", id, 0)
	_, err := p.client.Session().Destroy(id, new(api.WriteOptions).WithContext(ctx))
	return done(true, err)
}

// Acquire implements cluster.Election.
func (p *Provider) Acquire(ctx context.Context, l cluster.Lock) error {
	const op errs.Op = "consul.Acquire"
	ctx, result, done := p.call(ctx, op, l.Key, 0)
	_, _, err := p.client.KV().Acquire(&api.KVPair{Key: l.Key, Value: l.Value, Session: l.Session}, new(api.WriteOptions).WithContext(ctx))
	if err != nil && result.status == http.StatusInternalServerError && strings.Contains(result.text, "invalid session") {
		return errs.E(op, l.Key, errs.NotFound, errors.Join(errSession, done(false, err)))
	}
	return done(true, err)
}

// Release implements cluster.Election.
func (p *Provider) Release(ctx context.Context, l cluster.Lock) error {
	ctx, _, done := p.call(ctx, "consul.Release", l.Key, 0)
	_, _, err := p.client.KV().Release(&api.KVPair{Key: l.Key, Value: l.Value, Session: l.Session}, new(api.WriteOptions).WithContext(ctx))
	return done(true, err)
}

// Holder implements cluster.Election.
func (p *Provider) Holder(ctx context.Context, key string, q cluster.Query) (cluster.Holder, uint64, error) {
	const op errs.Op = "consul.Holder"
	ctx, _, done := p.call(ctx, op, key, wait(q))
	pair, meta, err := p.client.KV().Get(key, options(ctx, q))
	if err = done(false, err); err != nil {
		return cluster.Holder{}, 0, err
	}
	if pair == nil {
		return cluster.Holder{}, meta.LastIndex, nil
	}
	return cluster.Holder{Session: pair.Session, Value: pair.Value, Fence: pair.ModifyIndex}, meta.LastIndex, nil
}
