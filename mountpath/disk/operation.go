package disk

import "strconv"

// Operation is one call of an FS, a File or a Dir, as observers and faults see
// it. Mem and Faulty tell of it before it takes effect.
type Operation struct {
	Number    uint64 // from 1, in the order in which the calls began
	Call      Call
	Path      string // relative to the root, as the caller gave it
	NewPath   string // of CallLink, CallRename and CallReceive
	Attribute string // of CallSetAttr and CallGetAttr
	Offset    int64  // of reads, writes, CallPreallocate and CallWriteback
	Length    int64  // bytes; of CallTruncate: the new size
}

// Call says which method an Operation calls.
type Call uint8

const (
	CallOpen   Call = iota + 1 // OpenFile without O_CREATE and O_TRUNC
	CallCreate                 // OpenFile with O_CREATE or O_TRUNC
	CallOpenDir
	CallLink
	CallRename
	CallRemove
	CallRemoveDir
	CallMkdir
	CallStat // FS.Stat and File.Stat
	CallReadDir
	CallGetAttr // FS.GetAttr and File.GetAttr
	CallSpace
	CallLock
	CallRead
	CallWrite
	CallTruncate
	CallSync
	CallSyncData
	CallPreallocate
	CallWriteback
	CallAdvise
	CallSetAttr
	CallClose // of a File, a Dir or a lock
	CallReceive
	CallSyncDir // FS.SyncDir and Dir.Sync
	CallSyncAll
	callCount
)

// callNames are indexed by Call.
var callNames = [callCount]string{
	CallOpen: "open", CallCreate: "create", CallOpenDir: "opendir", CallLink: "link",
	CallRename: "rename", CallRemove: "remove", CallRemoveDir: "rmdir", CallMkdir: "mkdir",
	CallStat: "stat", CallReadDir: "readdir", CallGetAttr: "getattr", CallSpace: "space",
	CallLock: "lock", CallRead: "read", CallWrite: "write", CallTruncate: "truncate",
	CallSync: "sync", CallSyncData: "syncdata", CallPreallocate: "preallocate",
	CallWriteback: "writeback", CallAdvise: "advise", CallSetAttr: "setattr",
	CallClose: "close", CallReceive: "receive", CallSyncDir: "syncdir", CallSyncAll: "syncall",
}

// String returns the call in a word: open, create, read, …
func (c Call) String() string {
	if c == 0 || c >= callCount {
		return "unknown"
	}
	return callNames[c]
}

// Changes reports whether the call may change what a power cut leaves: crashing
// before each of these sees every state there is.
func (c Call) Changes() bool {
	switch c {
	case CallCreate, CallLink, CallRename, CallRemove, CallRemoveDir, CallMkdir, CallLock, CallWrite,
		CallTruncate, CallSync, CallSyncData, CallSetAttr, CallReceive, CallSyncDir, CallSyncAll:
		return true
	}
	return false
}

// ParseCall returns the call that String names, and false for other words.
func ParseCall(word string) (Call, bool) {
	for call, name := range callNames {
		if call > 0 && name == word {
			return Call(call), true
		}
	}
	return 0, false
}

// String tells the operation as a line of a script: "rename a -> b",
// "write a 0+4096".
func (o Operation) String() string {
	line := o.Call.String()
	if o.Path != "" {
		line += " " + o.Path
	}
	switch o.Call {
	case CallLink, CallRename, CallReceive:
		line += " -> " + o.NewPath
	case CallSetAttr, CallGetAttr:
		line += " " + o.Attribute
	case CallRead, CallWrite, CallPreallocate, CallWriteback:
		line += " " + strconv.FormatInt(o.Offset, 10) + "+" + strconv.FormatInt(o.Length, 10)
	case CallTruncate:
		line += " " + strconv.FormatInt(o.Length, 10)
	}
	return line
}
