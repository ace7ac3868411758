package mountpath

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
)

// tally counts what a mountpath has.
func tally(buckets []objects.Bucket, s *store.Store, wanted func(objects.Key) bool) (messages.Tally, error) {
	var all messages.Tally
	for _, b := range buckets {
		count, bytes, err := s.Tally(b, wanted)
		if err != nil {
			return all, err
		}
		all.Objects, all.Bytes = all.Objects+count, all.Bytes+bytes
	}
	return all, nil
}

func (s *mountpaths) onTallyTransition(ctx actor.Context, m *messages.TallyTransition) {
	roster := s.Published.Load()
	stores := make(map[string]*store.Store)
	for _, p := range s.places {
		if s.transition.IsSource(p.mount.ID) && p.mount.Store != nil {
			stores[p.mount.ID] = p.mount.Store
		}
	}
	s.work(ctx, func() any {
		var all messages.Tally
		var err error
		for id, source := range stores {
			var t messages.Tally
			t, err = tally(s.Set.Buckets(), source, func(key objects.Key) bool {
				former := roster.Former(key.Digest())
				return former != nil && former.ID == id
			})
			all.Objects, all.Bytes = all.Objects+t.Objects, all.Bytes+t.Bytes
			if err != nil {
				break
			}
		}
		return &tallied{reply: m.Reply, all: all, err: err}
	}, func(err error) any { return &tallied{reply: m.Reply, err: err} })
}

// tallied says what a count came to. Sent by a worker.
type tallied struct {
	reply messages.Reply[messages.Tally]
	all   messages.Tally
	err   error
}
