package messages

import "github.com/troupe-storage/troupe/objects"

// GetHistory asks one mountpath for what is recorded of a name. Sent by the gateway to a
// read lane. Answered by HistoryPage.
type GetHistory struct {
	// IDs are the buckets in which the name is looked for.
	IDs    []objects.BucketID
	Bucket string // name of them; destroyed buckets that had it are looked at, too
	Name   string
	Limit  int // entries at most, at least 1
	Reply  Reply[*HistoryPage]
}

// Fail implements Failer.
func (m *GetHistory) Fail(err error) { m.Reply.Fail(err) }

// HistoryPage is what is recorded of a name. More says that there are older entries.
type HistoryPage struct {
	Entries []objects.HistoryEntry
	More    bool
}
