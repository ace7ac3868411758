package protocol

import "fmt"

// stepClient lets a client begin an operation, or lose patience with one.
func (w *world) stepClient(s uint64) {
	c, _ := pick(s, w.clients, func(c *client) string { return c.name })
	if c.pending >= 0 {
		if w.now-c.since > 25 {
			w.say("%s waits no longer for %v", c.name, w.history[c.pending].op)
			c.pending = -1
		}
		return
	}
	key := fmt.Sprintf("k%d", s>>20%uint64(w.profile.Keys)+1)
	h, _ := pick(s, w.hosts, hostName)
	op := Op{Do: [...]string{"get", "get", "get", "put", "put", "put", "delete", "create", "replace", "delete"}[s>>30%10]}
	if w.profile.Mood == moods()[3] && s>>40&3 == 0 {
		op.Do = "delete"
	}
	if op.Do == "replace" {
		if op.If = c.seen[key]; op.If == "" {
			op.Do = "create"
		}
	}
	w.begin(c, h, key, op)
}

// begin sends an operation to a host.
func (w *world) begin(c *client, h *host, key string, op Op) {
	w.ops++
	w.clock++
	op.ID = w.ops
	if op.Do == "put" || op.Do == "create" || op.Do == "replace" {
		op.Value = fmt.Sprintf("v%d", op.ID)
	}
	c.pending, c.since = len(w.history), w.now
	w.history = append(w.history, event{client: w.number(c), key: key, op: op, call: w.clock})
	w.say("%s sends %s %v to %s", c.name, key, op, h.node.id)
	w.send(Message{Kind: Request, To: h.node.id, Key: key, Op: op})
}

func (w *world) number(c *client) int {
	for i, other := range w.clients {
		if other == c {
			return i
		}
	}
	return -1
}

// answered notes an answer that a client still waits for.
func (w *world) answered(a Answer) {
	for _, c := range w.clients {
		if c.pending < 0 || w.history[c.pending].op.ID != a.Op {
			continue
		}
		e := &w.history[c.pending]
		w.clock++
		e.ended, e.answer = w.clock, a
		w.say("%s is told: %v is %s %q", c.name, e.op, a.Outcome, a.Value)
		if a.Outcome == Done && !e.op.writes() || a.Outcome == Failed {
			c.seen[e.key] = a.Value
		}
		c.pending = -1
	}
}
