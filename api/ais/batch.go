package ais

// BatchRequest is the body of a get-batch: what is wanted, in the order in which it comes.
type BatchRequest struct {
	Items       []BatchItem `json:"in"`
	Format      string      `json:"mime"` // extension of the archive that is answered; empty: .tar
	SkipAbsent  bool        `json:"coer"` // what is absent is told by its name below AbsentFolder
	OnlyObjects bool        `json:"onob"` // names of members without the bucket
	Streaming   bool        `json:"strm"` // the archive alone, without the list of what is in it
	Colocation  int         `json:"coloc"`
}

// BatchItem is an object, a member of a shard, or a range of one of them.
type BatchItem struct {
	Object   string `json:"objname"`
	Bucket   string `json:"bucket"` // empty: that of the path
	Provider string `json:"provider"`
	Uname    string `json:"uname"`    // in the place of the three: PROVIDER/@UUID#NAMESPACE/BUCKET/OBJECT
	Member   string `json:"archpath"` // empty: the object itself
	Start    int64  `json:"start"`
	Length   int64  `json:"length"` // -1: to the end; 0, with Start 0: all
}

// AbsentFolder begins the name of an empty member that stands for what is absent.
const AbsentFolder = "__404__"

// What a BatchRequest may have.
const (
	MaxBatchItems = 65_536
	MaxBatchBytes = 16 << 20
	MaxColocation = 2
)
