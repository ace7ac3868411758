package intra

import (
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/messages/wire"
	"github.com/troupe-storage/troupe/objects/errs"
)

// History implements gateway.Peers.
func (r *Road) History(node *messages.NodeView, request gateway.HistoryRequest) (*gateway.History, error) {
	q := &wire.HistoryQuestion{Bucket: []byte(request.Bucket), Name: []byte(request.Name), Limit: int64(request.Limit)}
	for _, id := range request.IDs {
		q.Ids = append(q.Ids, id[:])
	}
	var answer wire.HistoryAnswer
	if err := r.ask(node, pathHistory, reads, q, &answer); err != nil {
		return nil, err
	}
	history, err := historyOf(&answer)
	return history, unreadable(node, reads, err)
}

func historyOf(a *wire.HistoryAnswer) (*gateway.History, error) {
	history := &gateway.History{More: a.More}
	for _, m := range a.Entries {
		entry, err := m.Entry()
		if err != nil {
			return nil, err
		}
		history.Entries = append(history.Entries, gateway.HistoryEntry{HistoryEntry: entry, Path: string(m.Path)})
	}
	for _, u := range a.Unanswered {
		history.Unanswered = append(history.Unanswered, gateway.Unanswered{Node: string(u.Node), Mountpath: string(u.Mountpath), Reason: string(u.Reason)})
	}
	return history, nil
}

// maxHistory bounds the entries that one question asks each mountpath for.
const maxHistory = 10_000

func (s *Server) onHistory(ctx *fasthttp.RequestCtx) error {
	var q wire.HistoryQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	request := gateway.HistoryRequest{Bucket: string(q.Bucket), Name: string(q.Name), Limit: int(max(1, min(q.Limit, maxHistory)))}
	for _, b := range q.Ids {
		id, err := (&wire.About{Id: b}).BucketID()
		if err != nil {
			return errs.E("intra.question", pathHistory, errs.Invalid, err)
		}
		request.IDs = append(request.IDs, id)
	}
	here := s.Gateway.HistoryHere(request)
	answer := &wire.HistoryAnswer{More: here.More}
	for i := range here.Entries {
		answer.Entries = append(answer.Entries, wire.MutationOf(&here.Entries[i].HistoryEntry, here.Entries[i].Path))
	}
	for _, u := range here.Unanswered {
		answer.Unanswered = append(answer.Unanswered, &wire.Unanswered{Node: []byte(u.Node), Mountpath: []byte(u.Mountpath), Reason: []byte(u.Reason)})
	}
	return give(ctx, answer)
}
