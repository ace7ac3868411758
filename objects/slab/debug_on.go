//go:build slabdebug

package slab

import (
	"runtime/debug"
	"strings"
	"sync"
)

// The build tag changes no behaviour and no format: it only makes use after
// release visible, and names who leaked.
var stacks sync.Map // *Window → string, the stack of the Lease

func (p *Pool) leased(w *Window)   { stacks.Store(w, string(debug.Stack())) }
func (p *Pool) returned(w *Window) { stacks.Delete(w) }

func (p *Pool) poison(w *Window) {
	for i := range int(w.n) {
		b := p.slab(w.slabs[i])
		for j := range b {
			b[j] = 0xdb
		}
	}
}

func (p *Pool) holders() string {
	var s strings.Builder
	stacks.Range(func(w, stack any) bool {
		if w.(*Window).pool == p {
			s.WriteString("\nleased by:\n" + stack.(string))
		}
		return true
	})
	return s.String()
}
