package member

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

const (
	// ProbePath is where the intra listener takes probes: POST, with a Probe as JSON,
	// answered by a Status as JSON.
	ProbePath = "/v1/cluster/probe"
	// maxProbeBytes bounds a probe; maxStatusBytes an answer: a map of 1,000 nodes and
	// what is told of them.
	maxProbeBytes  = 4 << 10
	maxStatusBytes = 1 << 20
)

// HTTPPeers asks other nodes over their intra listeners. Safe for concurrent use.
type HTTPPeers struct {
	client func(node string) *tls.Config
	dial   Dial

	mu    sync.Mutex
	nodes map[smap.NodeID]*http.Client
}

// Dial makes a connection to an address, below TLS.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// NewHTTPPeers makes them. Client says how a connection to a node is made, so that
// nobody else answers in its place; dial, if not nil, makes what is below it.
func NewHTTPPeers(client func(node string) *tls.Config, dial Dial) *HTTPPeers {
	return &HTTPPeers{client: client, dial: dial, nodes: make(map[smap.NodeID]*http.Client)}
}

// of returns the client for one node.
func (p *HTTPPeers) of(id smap.NodeID) *http.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.nodes[id]
	if c == nil {
		c = &http.Client{Transport: &http.Transport{
			DialContext: p.dial, TLSClientConfig: p.client(string(id)), MaxConnsPerHost: 2 + maxAsked, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
		}}
		p.nodes[id] = c
	}
	return c
}

// Probe implements Peers.
func (p *HTTPPeers) Probe(ctx context.Context, to Record, probe Probe) (Status, error) {
	const op errs.Op = "member.Probe"
	text, err := json.Marshal(probe)
	if err != nil {
		return Status{}, errs.E(op, string(to.ID), err)
	}
	body, err := p.post(ctx, op, to, ProbePath, bytes.NewReader(text))
	if err != nil {
		return Status{}, err
	}
	var status Status
	if err := json.Unmarshal(body, &status); err != nil {
		return Status{}, errs.E(op, string(to.ID), errs.Corrupt, err)
	}
	return status, nil
}

// Question asks a node at a path of its intra listener that is none of this package's: it
// posts a text and returns the answer's.
func (p *HTTPPeers) Question(ctx context.Context, to Record, path string, text []byte) ([]byte, error) {
	return p.post(ctx, "member.Question", to, path, bytes.NewReader(text))
}

// post asks a node at a path, and returns the body of its answer.
func (p *HTTPPeers) post(ctx context.Context, op errs.Op, to Record, path string, text io.Reader) ([]byte, error) {
	if to.Addresses.Intra == "" {
		return nil, errs.E(op, string(to.ID), errs.Offline, errors.New("it has not told where it is"))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+to.Addresses.Intra+path, text)
	if err != nil {
		return nil, errs.E(op, string(to.ID), errs.Invalid, err)
	}
	answer, err := p.of(to.ID).Do(request)
	if err != nil {
		return nil, errs.E(op, string(to.ID), errs.Offline, err)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxStatusBytes))
	if closed := answer.Body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, errs.E(op, string(to.ID), errs.Offline, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, errs.E(op, string(to.ID), errs.Conflict, fmt.Errorf("it answers %s: %.200s", answer.Status, body))
	}
	return body, nil
}

// Close gives back the connections.
func (p *HTTPPeers) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.nodes {
		c.CloseIdleConnections()
	}
}

// AnswerProbe answers the body of a probe that a node sent, which its certificate
// names. Errors: Invalid, Denied.
func (s *Membership) AnswerProbe(from string, body []byte) ([]byte, error) {
	const op errs.Op = "member.AnswerProbe"
	var p Probe
	if len(body) > maxProbeBytes {
		return nil, errs.E(op, from, errs.Invalid, fmt.Errorf("a probe has at most %d bytes", maxProbeBytes))
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, errs.E(op, from, errs.Invalid, err)
	}
	if string(p.From) != from {
		return nil, errs.E(op, from, errs.Denied, fmt.Errorf("it says that it is %q", p.From))
	}
	status, err := s.Answer(p)
	if err != nil {
		return nil, errs.Wrap(op, err)
	}
	return json.Marshal(status)
}
