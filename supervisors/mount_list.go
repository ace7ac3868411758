package supervisors

import (
	"slices"
	"sync"
	"sync/atomic"
)

// mountList is the mounts of a node, which come and go while it runs. Safe for
// concurrent use; the zero value is empty.
type mountList struct {
	mu   sync.Mutex // of changes
	list atomic.Pointer[[]*mount]
}

// all returns the mounts as they are now; only to be read.
func (l *mountList) all() []*mount {
	if list := l.list.Load(); list != nil {
		return *list
	}
	return nil
}

func (l *mountList) change(how func([]*mount) []*mount) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := how(slices.Clone(l.all()))
	l.list.Store(&next)
}

func (l *mountList) add(mounts ...*mount) {
	l.change(func(list []*mount) []*mount { return append(list, mounts...) })
}

func (l *mountList) remove(m *mount) {
	l.change(func(list []*mount) []*mount {
		return slices.DeleteFunc(list, func(other *mount) bool { return other == m })
	})
}
