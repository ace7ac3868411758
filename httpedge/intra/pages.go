package intra

import (
	"fmt"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/messages/wire"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Values of package gateway as they go between nodes, and back.

func listQuestion(about *wire.About, version uint64, r *gateway.ListRequest) *wire.ListQuestion {
	return &wire.ListQuestion{
		About: about, Map: version, Prefix: []byte(r.Prefix), After: []byte(r.After), Delimiter: []byte(r.Delimiter), Limit: int64(r.Limit),
		Whole: r.Whole, Markers: uint32(r.Markers),
	}
}

func listRequest(q *wire.ListQuestion) (gateway.ListRequest, error) {
	r := gateway.ListRequest{
		Prefix: string(q.Prefix), After: string(q.After), Delimiter: string(q.Delimiter), Limit: int(q.Limit), Whole: q.Whole, Markers: messages.Markers(q.Markers),
	}
	if q.Markers > uint32(messages.AllMarkers) || q.Limit < 0 {
		return r, fmt.Errorf("a list of at most %d keys, with delete markers of kind %d", q.Limit, q.Markers)
	}
	return r, nil
}

func listAnswer(page *gateway.NodePage) *wire.ListAnswer {
	a := &wire.ListAnswer{Entries: make([]*wire.Entry, len(page.Entries)), Upto: []byte(page.Upto)}
	for i := range page.Entries {
		a.Entries[i] = &wire.Entry{Name: []byte(page.Entries[i].Name), Record: wire.RecordOf(page.Entries[i].Meta)}
	}
	return a
}

func nodePage(a *wire.ListAnswer) (*gateway.NodePage, error) {
	page := &gateway.NodePage{Entries: make([]messages.ObjectEntry, len(a.Entries)), Upto: string(a.Upto)}
	for i, e := range a.Entries {
		meta, err := e.Record.Meta()
		if err != nil {
			return nil, err
		}
		page.Entries[i] = messages.ObjectEntry{Name: string(e.Name), Meta: meta}
	}
	return page, nil
}

func uploadsQuestion(about *wire.About, version uint64, r *gateway.UploadsRequest) *wire.UploadsQuestion {
	return &wire.UploadsQuestion{
		About: about, Map: version, Prefix: []byte(r.Prefix), AfterName: []byte(r.AfterName), AfterId: []byte(r.AfterID), Limit: int64(r.Limit),
	}
}

func uploadsRequest(q *wire.UploadsQuestion) (gateway.UploadsRequest, error) {
	r := gateway.UploadsRequest{Prefix: string(q.Prefix), AfterName: string(q.AfterName), AfterID: string(q.AfterId), Limit: int(q.Limit)}
	if q.Limit < 0 {
		return r, fmt.Errorf("a list of at most %d uploads", q.Limit)
	}
	return r, nil
}

func uploadsAnswer(page *gateway.NodeUploads) *wire.UploadsAnswer {
	a := &wire.UploadsAnswer{
		Uploads: make([]*wire.Upload, len(page.Uploads)), More: page.More, UptoName: []byte(page.UptoName), UptoId: []byte(page.UptoID),
	}
	for i := range page.Uploads {
		a.Uploads[i] = wire.UploadOf(&page.Uploads[i])
	}
	return a
}

func nodeUploads(a *wire.UploadsAnswer) (*gateway.NodeUploads, error) {
	page := &gateway.NodeUploads{More: a.More, UptoName: string(a.UptoName), UptoID: string(a.UptoId)}
	for _, u := range a.Uploads {
		upload, err := u.Value()
		if err != nil {
			return nil, err
		}
		page.Uploads = append(page.Uploads, upload)
	}
	return page, nil
}

func deletedAnswer(d *messages.ObjectDeleted) *wire.DeletedAnswer {
	return &wire.DeletedAnswer{Existed: d.Existed, Generation: wire.GenerationOf(d.Generation), Marker: wire.RecordOf(d.Marker)}
}

func objectDeleted(a *wire.DeletedAnswer) (messages.ObjectDeleted, error) {
	marker, err := a.Marker.Meta()
	return messages.ObjectDeleted{Existed: a.Existed, Generation: a.Generation.Value(), Marker: marker}, err
}

func storeAnswer(s *messages.Stored) *wire.StoreAnswer {
	return &wire.StoreAnswer{Has: s.Has, Here: wire.RecordOf(s.Here), NeedsPayload: s.NeedsPayload, Missing: numbersOf(s.Missing), Covered: s.Covered}
}

func stored(a *wire.StoreAnswer) (messages.Stored, error) {
	here, err := a.Here.Meta()
	return messages.Stored{Has: a.Has, Here: here, NeedsPayload: a.NeedsPayload, Missing: numbers(a.Missing), Covered: a.Covered}, err
}

// numbersOf is numbers of parts as they go between nodes.
func numbersOf(list []int) []uint32 {
	var all []uint32
	for _, n := range list {
		all = append(all, uint32(n))
	}
	return all
}

// numbers returns numbers of parts that came from a node.
func numbers(list []uint32) []int {
	var all []int
	for _, n := range list {
		all = append(all, int(n))
	}
	return all
}

func holdingsQuestion(about *wire.About, version uint64, r *gateway.HoldingsRequest) *wire.HoldingsQuestion {
	return &wire.HoldingsQuestion{
		About: about, Map: version, Asker: r.Asker, Next: r.Next, After: []byte(r.After), Upto: []byte(r.Upto), From: uint32(r.From), To: uint32(r.To),
	}
}

func holdingsRequest(q *wire.HoldingsQuestion) (gateway.HoldingsRequest, error) {
	r := gateway.HoldingsRequest{
		Asker: q.Asker, Next: q.Next, After: string(q.After), Upto: string(q.Upto), From: uint16(q.From), To: uint16(q.To),
	}
	if q.From > q.To || q.To >= smap.Slots {
		return r, fmt.Errorf("slots %d to %d", q.From, q.To)
	}
	return r, nil
}

func holdingsAnswer(page *gateway.HoldingsPage) *wire.HoldingsAnswer {
	a := &wire.HoldingsAnswer{Holdings: make([]*wire.Holding, len(page.Holdings)), Told: []byte(page.Told)}
	for i, h := range page.Holdings {
		a.Holdings[i] = &wire.Holding{Name: []byte(h.Name), Generation: wire.GenerationOf(h.Generation), Unsettled: h.Unsettled}
	}
	return a
}

func holdingsPage(a *wire.HoldingsAnswer) *gateway.HoldingsPage {
	page := &gateway.HoldingsPage{Told: string(a.Told)}
	for _, h := range a.Holdings {
		page.Holdings = append(page.Holdings, gateway.Holding{Name: string(h.Name), Generation: h.Generation.Value(), Unsettled: h.Unsettled})
	}
	return page
}
