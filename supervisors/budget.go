package supervisors

import (
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/mountpath"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/objects/slab"
)

// budget is a node's memory, a line per consumer.
type budget struct {
	slabs      int   // number of slabs
	blockCache int64 // bytes of index blocks
	heap       int64 // limit of Go's heap
	members    int64 // bytes of indexes of members of shards, which are of the heap
}

// budgetOf divides the memory: three eighths for payloads on their way, an
// eighth for blocks of the indexes, a quarter at most for their memtables (two of
// each index), and the rest for the heap, of which a sixty-fourth of all may be indexes of
// members of shards, and as much, 4 MiB at most, the text of the log (keptLog).
func budgetOf(memory int64, mountpaths int) budget {
	return budget{
		slabs: int(memory * 3 / 8 / slab.Bytes), blockCache: memory / 8, members: memory / 64,
		heap: heapOf(memory, memtablesOf(mountpaths, index.MemTableBytes(memory, mountpaths))),
	}
}

// memtablesOf is what the memtables of so many indexes take, in bytes.
func memtablesOf(mountpaths, memTableBytes int) int64 {
	return index.MemTables * int64(mountpaths) * int64(memTableBytes)
}

// heapOf is what the heap may take beside memtables of so many bytes.
func heapOf(memory, memtables int64) int64 {
	return max(memory-memory*3/8-memory/8-memtables, memory/4)
}

// memTableBytes is the size of the memtables of an index that is opened now, when the
// node has so many mountpaths. Those that are open keep theirs, since Pebble does not
// change it, until they are opened anew.
func (o *opener) memTableBytes(mountpaths int) int {
	return index.MemTableBytes(o.config.MemoryBytes, mountpaths)
}

// divide divides the memory anew after the node got a mountpath or lost one: what
// memtables take more than before, or less, is the heap's. Slabs and the room for blocks
// stay as they are.
func (o *opener) divide() {
	o.dividing.Lock()
	defer o.dividing.Unlock()
	mountpaths := len(o.documents.Node().Mountpaths)
	memtables, open := int64(0), 0
	for _, m := range o.mounts.all() {
		if s := m.current.Load(); s != nil {
			memtables += memtablesOf(1, s.MemTableBytes())
			open++
		}
	}
	memtables += memtablesOf(max(mountpaths-open, 0), o.memTableBytes(mountpaths))
	o.config.LimitHeap(heapOf(o.config.MemoryBytes, memtables))
}

// checkDescriptors says why another mountpath has no room within the limit of open
// files. Listeners keep the number of connections that they began with: if it is too
// large from now on, the log says so.
func (o *opener) checkDescriptors(path string, mountpaths int) error {
	now, err := fitConnections(o.config.MaxConnections, mountpaths, mountpath.DefaultTransfers)
	if err != nil {
		return err
	}
	began, err := fitConnections(o.config.MaxConnections, o.planned, mountpath.DefaultTransfers)
	if err != nil {
		return err
	}
	if now < began {
		o.options.Log.WithFields(logrus.Fields{"mountpath": path, "max-connections": began, "fit": now}).
			Warn("the limit of open files leaves room for fewer connections with another mountpath: restart the node, so that it takes so many, or raise the limit (ulimit -n)")
	}
	return nil
}
