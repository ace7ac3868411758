package native

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/history"
	"github.com/troupe-storage/troupe/httpedge/gateway"
)

// HistoryRoute tells what became of a name, to who signs with the root pair; see
// api/history.
func HistoryRoute(g *gateway.Gateway) Route {
	show := func(r *Request) error {
		bucket, key, ok := strings.Cut(r.Rest(), "/")
		bucket, bucketErr := decode(bucket)
		key, keyErr := decode(key)
		if !ok || bucketErr != nil || keyErr != nil || bucket == "" || key == "" {
			return Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: it is %s/BUCKET/KEY", r.path, history.Path)
		}
		limit := history.DefaultLimit
		if text := r.Query(history.LimitParameter); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > history.MaxLimit {
				return Refuse(fasthttp.StatusBadRequest, "", "query parameter %s=%q is not a number from 1 to %d", history.LimitParameter, text, history.MaxLimit)
			}
			limit = n
		}
		all, err := g.History(r.Context(), bucket, key, limit)
		if err != nil {
			return err
		}
		return r.JSON(historyOf(bucket, key, all))
	}
	return Route{Path: history.Path, Guard: Control, Handle: Verbs{get: show}.Handle}
}

func historyOf(bucket, key string, all *gateway.History) history.Answer {
	answer := history.Answer{Bucket: bucket, Key: key, Entries: make([]history.Entry, len(all.Entries)), More: all.More}
	for i := range all.Entries {
		e := &all.Entries[i]
		entry := history.Entry{
			Time: e.At, What: e.Kind.String(), Cause: e.Cause.String(), Generation: e.Generation.String(), Size: e.Size,
			Principal: e.Principal, Request: e.Request, Asked: e.Asked, Other: e.Other, Node: e.Node, Mountpath: e.Mountpath, Path: e.Path,
			BucketID: e.Bucket.String(),
		}
		if e.XXHash != 0 {
			entry.XXHash = fmt.Sprintf("%016x", e.XXHash)
		}
		answer.Entries[i] = entry
	}
	for _, u := range all.Unanswered {
		answer.Unanswered = append(answer.Unanswered, history.Unanswered(u))
	}
	return answer
}
