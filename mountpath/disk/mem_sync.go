package disk

import "slices"

// A sync takes a while, and what is done meanwhile is not in it. Replay (replay.go)
// does it in two steps: what begin… returns ends the sync, and only then is durable
// what there was when it began. ok false: the sync failed, and what it was to make
// durable is lost, as dropUnsynced says.

// beginSync begins a sync of a file, of its attributes too or not.
func (m *Mem) beginSync(n *node, withAttributes bool) (end func(ok bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sync := n.file.begin(withAttributes)
	return func(ok bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if ok {
			n.file.end(sync)
			return
		}
		n.file.abandon(sync)
		n.file.drop()
	}
}

// beginSyncDir begins a sync of a directory. One that fails changes nothing.
func (m *Mem) beginSyncDir(n *node) (end func(ok bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	made, pending := n.directory.made, slices.Clone(n.directory.pending)
	return func(ok bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if ok {
			m.names.makeDurable(made, pending)
			n.directory.compact()
		}
	}
}

// beginSyncAll begins a sync of everything.
func (m *Mem) beginSyncAll() (end func(ok bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var pending []*nameOperation
	for op := m.names.first; op != nil; op = op.next {
		pending = append(pending, op)
	}
	syncs := make(map[*node]*fileSync)
	m.root.beginSyncs(syncs)
	return func(ok bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for file, sync := range syncs {
			if ok {
				file.file.end(sync)
			} else {
				file.file.abandon(sync)
				file.file.drop()
			}
		}
		if ok {
			m.names.makeDurable(nil, pending)
		}
	}
}

// beginSyncs begins a sync of every file below a directory of which something is not
// synced.
func (n *node) beginSyncs(syncs map[*node]*fileSync) {
	for _, child := range n.directory.names {
		switch {
		case child.directory != nil:
			child.beginSyncs(syncs)
		case syncs[child] == nil && child.file.unsynced():
			syncs[child] = child.file.begin(true)
		}
	}
}
