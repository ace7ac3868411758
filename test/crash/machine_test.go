package crash

import (
	"fmt"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
)

// machine is one mountpath: a filesystem, and the store that is open on it. Its
// store is replaced by restart; whoever restarts it sees to it that nobody else
// is using it.
type machine struct {
	fs     disk.FS
	shared *index.Shared
	inline int
	boot   string // of the operating system: another one after each cut
	start  uint64 // the start counter: greater with every opening
	store  *store.Store

	readOnly bool // the filesystem takes no writes, and the store is only read

	onEvent func(store.Event) // nil: nobody is told
	now     func() time.Time  // nil: it is always epoch
}

// epoch is when the clock of every history begins.
const epoch = 1_700_000_000

// format makes an empty filesystem a mountpath.
func format(fs disk.FS) error {
	return store.Format(fs, layout.Format{
		Version: layout.FormatVersion, ClusterID: "c", NodeID: "n", MountpathID: "m",
		IndexFormat: fmt.Sprintf("pebble %d", index.FormatVersion), Created: time.Unix(epoch, 0).UTC(),
	})
}

// open opens the store under the next start counter.
func (m *machine) open() (err error) {
	m.start++
	now := m.now
	if now == nil {
		now = func() time.Time { return time.Unix(epoch, 0) }
	}
	m.store, err = store.Open(store.Options{
		FS: m.fs, Shared: m.shared, Generations: objects.NewSequencer(1, m.start),
		MemTableBytes: index.MinMemTableBytes, BootID: m.boot, ReadOnly: m.readOnly, InlineLimit: m.inline, Now: now,
		OnEvent: m.onEvent,
	})
	return err
}

func (m *machine) restart() error {
	if err := m.store.Close(); err != nil {
		return err
	}
	return m.open()
}
