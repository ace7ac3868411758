package protocol

import "github.com/troupe-storage/troupe/objects/smap"

// Tick tells the time, by a clock that counts while the node is paused.
func (n *Node) Tick(now int64) { n.now = now }

// alone reports whether the node could not confirm its map for so long that it
// may have been given up.
func (n *Node) alone() bool {
	return n.setting.AloneAfter > 0 && n.on(Alone) && n.now-n.confirmed >= n.setting.AloneAfter
}

// Inquire asks the other nodes of the map whether they know a newer one.
func (n *Node) Inquire() {
	n.hellos[n.now] = map[smap.NodeID]bool{n.id: true}
	for _, node := range n.smap.Nodes() {
		if node.ID != n.id {
			n.out = append(n.out, Message{Kind: Hello, From: n.id, To: node.ID, Asked: n.now})
		}
	}
}

// onHelloBack confirms the map when a majority of its nodes knew no newer one.
func (n *Node) onHelloBack(m Message) {
	who := n.hellos[m.Asked]
	if who == nil || m.Version > n.smap.Version() {
		return
	}
	who[m.From] = true
	if len(who)*2 > len(n.smap.Nodes()) {
		n.confirm(m.Asked)
	}
}

// onMap adopts a map. Consul's answer confirms it, as of the moment of asking.
func (n *Node) onMap(m Message) {
	n.Adopt(m.Map)
	if m.From == "" && m.Map.Version() == n.smap.Version() {
		n.confirm(m.Asked)
	}
}

func (n *Node) confirm(asked int64) {
	if !n.on(FromAsking) {
		asked = n.now
	}
	n.confirmed = max(n.confirmed, asked)
}
