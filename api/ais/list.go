package ais

// ListMessage is the value of ActionList on a bucket.
type ListMessage struct {
	UUID              string            `json:"uuid"`
	Props             string            `json:"props"` // names separated by commas
	Prefix            string            `json:"prefix"`
	PageSize          int64             `json:"pagesize"` // 0: the node's maximum
	ContinuationToken string            `json:"continuation_token"`
	StartAfter        string            `json:"start_after"`
	Flags             uint64            `json:"flags,string"`
	TimeFormat        string            `json:"time_format"` // Go layout; empty: RFC 822
	Target            string            `json:"target"`
	Header            map[string]string `json:"hdr"`
}

// Flags of a ListMessage. Of a bucket without a backend those that are marked so ask nothing.
const (
	ListCached        = 1 << 0  // only objects in the cluster; without a backend all are, and only the default of Props differs
	ListMissing       = 1 << 1  // misplaced objects and copies too (nothing)
	ListDeleted       = 1 << 2  // what is marked as deleted too (nothing)
	ListArchives      = 1 << 3  // the content of archives too
	ListNameOnly      = 1 << 4  // names, whatever Props are
	ListNameSize      = 1 << 5  // names and sizes, whatever Props are
	ListBucketPresent = 1 << 6  // only if the cluster knows the bucket (nothing)
	ListDontHead      = 1 << 7  // without HEAD of the remote bucket (nothing)
	ListDontAdd       = 1 << 8  // without making the remote bucket known (nothing)
	ListNotCached     = 1 << 9  // only objects that are not in the cluster
	ListInternal      = 1 << 10 // of AIStore's nodes; to the Python package: only what the backend tells (nothing)
	ListNoRecursion   = 1 << 11 // one level
	ListDiff          = 1 << 12 // compared with the backend (nothing)
	ListNoDirs        = 1 << 13 // without directories of a backend (nothing)
	ListS3            = 1 << 14 // asked by S3 (nothing)
	ListInventory     = 1 << 15 // through an inventory of a remote bucket
)

// ListFlags is how many bits the flags of a ListMessage have.
const ListFlags = 16

// List is one page of a listing.
type List struct {
	UUID              string  `json:"uuid"`
	ContinuationToken string  `json:"continuation_token"` // empty: the last page
	Entries           []Entry `json:"entries"`
	Flags             uint32  `json:"flags"`
}

// Entry is one object, or one directory, of a page. What is empty was not asked.
type Entry struct {
	Name     string `json:"name"`
	Checksum string `json:"checksum,omitempty"` // the value alone
	Atime    string `json:"atime,omitempty"`
	Version  string `json:"version,omitempty"`
	Location string `json:"location,omitempty"`
	Custom   string `json:"custom-md,omitempty"` // "[k:v k2:v2]"
	Size     int64  `json:"size,omitempty,string"`
	Copies   int    `json:"copies,omitempty"`
	Flags    uint16 `json:"flags,omitempty"`
}

// Flags of an Entry, beside the status in its low five bits (0: all is well).
const (
	EntryCached    = 1 << 6  // in the cluster
	EntryInArchive = 1 << 7  // inside an archive
	EntryDirectory = 1 << 8  // a virtual directory; its name ends in "/"
	EntryArchive   = 1 << 9  // an archive
	EntryChunked   = 1 << 13 // stored in chunks
)
