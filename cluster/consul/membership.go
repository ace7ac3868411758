package consul

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects/errs"
)

// serviceID is the id of a node's instance, over restarts.
func (p *Provider) serviceID(nodeID string) string { return p.config.Service + "-" + nodeID }

// heartbeatID is the id of its TTL check.
func (p *Provider) heartbeatID(nodeID string) string { return p.serviceID(nodeID) + ":heartbeat" }

// Register implements cluster.Membership.
func (p *Provider) Register(ctx context.Context, r cluster.Registration) error {
	const op errs.Op = "consul.Register"
	if err := r.Validate(); err != nil {
		return errs.E(op, err)
	}
	forget := ""
	if r.ForgetAfter > 0 {
		forget = r.ForgetAfter.String()
	}
	checks := api.AgentServiceChecks{{
		CheckID: p.heartbeatID(r.NodeID), Name: "what the node says of itself", TTL: r.Heartbeat.String(),
		DeregisterCriticalServiceAfter: forget,
	}}
	if r.HealthURL != "" {
		checks = append(checks, &api.AgentServiceCheck{
			CheckID: p.serviceID(r.NodeID) + ":health", Name: "the node answers " + r.HealthURL,
			HTTP: r.HealthURL, Interval: r.HealthInterval.String(), Timeout: r.HealthInterval.String(),
			// The agent is asked on the same machine, and need not know our authority.
			TLSSkipVerify:                  strings.HasPrefix(r.HealthURL, "https://"),
			DeregisterCriticalServiceAfter: forget,
		})
	}
	service := &api.AgentServiceRegistration{
		ID: p.serviceID(r.NodeID), Name: p.config.Service, Address: r.Address, Port: r.Port,
		Tags: r.Tags(), Meta: r.Meta(), Checks: checks,
	}
	ctx, _, done := p.call(ctx, op, r.NodeID, 0)
	// Checks that are no more part of it go.
	err := p.client.Agent().ServiceRegisterOpts(service, api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(ctx))
	return done(true, err)
}

// Beat implements cluster.Membership.
func (p *Provider) Beat(ctx context.Context, nodeID string, h cluster.Health) error {
	ctx, _, done := p.call(ctx, "consul.Beat", nodeID, 0)
	err := p.client.Agent().UpdateTTLOpts(p.heartbeatID(nodeID), h.Reason, string(h.Status), new(api.QueryOptions).WithContext(ctx))
	return done(true, err)
}

// Deregister implements cluster.Membership.
func (p *Provider) Deregister(ctx context.Context, nodeID string) error {
	ctx, result, done := p.call(ctx, "consul.Deregister", nodeID, 0)
	err := p.client.Agent().ServiceDeregisterOpts(p.serviceID(nodeID), new(api.QueryOptions).WithContext(ctx))
	if err != nil && result.status == http.StatusNotFound {
		err = nil
	}
	return done(true, err)
}

// Members implements cluster.Membership.
func (p *Provider) Members(ctx context.Context, q cluster.Query) ([]cluster.Member, uint64, error) {
	const op errs.Op = "consul.Members"
	ctx, _, done := p.call(ctx, op, p.config.Service, wait(q))
	entries, meta, err := p.client.Health().Service(p.config.Service, "", false, options(ctx, q))
	if err = done(false, err); err != nil {
		return nil, 0, err
	}
	if err := p.whole(meta, len(entries)); err != nil {
		return nil, 0, errs.E(op, p.config.Service, err)
	}
	members := make([]cluster.Member, 0, len(entries))
	for _, entry := range entries {
		if entry.Service != nil && entry.Service.Meta[cluster.MetaNode] != "" {
			members = append(members, memberOf(entry))
		}
	}
	slices.SortFunc(members, func(a, b cluster.Member) int { return strings.Compare(a.NodeID, b.NodeID) })
	return members, meta.LastIndex, nil
}

// memberOf reads what Register wrote, and the checks of the instance and its machine.
func memberOf(entry *api.ServiceEntry) cluster.Member {
	service := entry.Service
	m := cluster.Member{
		ClusterID: service.Meta[cluster.MetaCluster], NodeID: service.Meta[cluster.MetaNode], Version: service.Meta[cluster.MetaVersion],
		Address: service.Address, Port: service.Port, Tags: service.Tags, Listeners: make(map[string]string),
		Status: cluster.Status(entry.Checks.AggregatedStatus()),
	}
	for name, value := range service.Meta {
		if listener, ok := strings.CutPrefix(name, cluster.MetaListener); ok {
			m.Listeners[listener] = value
		}
	}
	var reasons []error
	for _, check := range entry.Checks {
		if check.Status != api.HealthPassing {
			said := strings.TrimSpace(check.Notes + " " + check.Output) // of maintenance, the notes tell
			reasons = append(reasons, errors.New(check.Name+": "+said))
		}
	}
	if err := errors.Join(reasons...); err != nil {
		m.Reason = err.Error()
	}
	return m
}
