package mountpath

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// storeImport asks a lane to make a payload of another node the object here, unless
// what is here is as new. Sent by the importer.
type storeImport struct {
	offer
	fence messages.Fence
	sent  messages.Sending
	Reply messages.Reply[messages.Stored]
}

// Fail implements messages.Failer.
func (m *storeImport) Fail(err error) {
	m.refuse()
	m.Reply.Fail(err)
}

// storePayload takes a payload of another node in, and has it committed in the key's
// turn.
func (i *importer) storePayload(m *messages.StorePayload) {
	m.Reply.Send(i.arrive("importer.StorePayload", m.Key, m.Payload, m.Fence, m.Sent, m.Window, func(payload messages.PayloadFile, room [][]byte) (*store.Import, error) {
		return i.store.Receive(m.Key, m.Record, m.Parts, payload, room)
	}))
}

// storePart is storePayload for a part of an upload.
func (i *importer) storePart(m *messages.StorePart) {
	m.Reply.Send(i.arrive("importer.StorePart", m.Key, m.Payload, m.Fence, messages.ToSettle, m.Window, func(payload messages.PayloadFile, room [][]byte) (*store.Import, error) {
		return i.store.ReceivePart(m.Key, m.UploadID, &m.Part, payload, room)
	}))
}

// arrive takes something of another node in, to its end, and has it committed in the
// key's turn.
func (i *importer) arrive(op errs.Op, key objects.Key, payload io.Reader, fence messages.Fence, sent messages.Sending, window *slab.Window, receive func(messages.PayloadFile, [][]byte) (*store.Import, error)) (answer messages.Stored, err error) {
	err = pinned(op, key, window, func(room [][]byte) error {
		copied, err := receive(&arriving{from: payload}, room)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, payload); err != nil { // of what was here already
			return errors.Join(errs.E(op, key, errs.Canceled, err), copied.Abandon())
		}
		// What took long to come is under the mount epoch of now: the lane is asked whether it
		// still is this mountpath's to have.
		fence = i.roster.Load().Fenced(fence, fence.Holders, key.Digest())
		s := &storeImport{offer: offer{key: key, copied: copied}, fence: fence, sent: sent, Reply: messages.NewReply[messages.Stored]()}
		i.system.Root().Send(i.lane, s)
		answer, err = s.Reply.WaitOn(i.system.Clock(), op, commitTime)
		if err != nil && s.refuse() {
			return errors.Join(err, copied.Abandon())
		}
		return err
	})
	return answer, err
}

// arriving is a payload on its way here, as a file that is read once from its beginning;
// what is not wanted is left out.
type arriving struct {
	from io.Reader
	at   int64
}

var _ messages.PayloadFile = (*arriving)(nil)

// ReadAt implements io.ReaderAt for offsets that follow one another.
func (a *arriving) ReadAt(room []byte, offset int64) (int, error) {
	if offset < a.at {
		return 0, errs.E("importer.arriving", errs.Internal, fmt.Errorf("byte %d is read after byte %d", offset, a.at))
	}
	if offset > a.at {
		skipped, err := io.CopyN(io.Discard, a.from, offset-a.at)
		if a.at += skipped; err != nil {
			return 0, errs.E("importer.arriving", errs.Canceled, fmt.Errorf("it ended after %d bytes: %w", a.at, err))
		}
	}
	n, err := io.ReadFull(a.from, room)
	a.at += int64(n)
	if err != nil {
		err = errs.E("importer.arriving", errs.Canceled, fmt.Errorf("it ended after %d bytes: %w", a.at, err))
	}
	return n, err
}

// Close implements io.Closer: the payload is its sender's.
func (*arriving) Close() error { return nil }

// Sent implements messages.PayloadFile.
func (*arriving) Sent(int64) {}

// OS implements messages.PayloadFile.
func (*arriving) OS() *os.File { return nil }

func (l *writeLane) onStoreRecord(m *messages.StoreRecord) (messages.Stored, error) {
	const op errs.Op = "lane.StoreRecord"
	if _, err := l.fenced(op, m.Key, &m.Fence); err != nil {
		return messages.Stored{}, err
	}
	var payload []byte
	if m.Window != nil {
		slab, ok := m.Window.Pin(0)
		if !ok {
			return messages.Stored{}, errs.E(op, m.Key, errs.Canceled, errors.New("the sender has gone"))
		}
		defer m.Window.Unpin()
		payload = slab[:m.Record.Size]
	}
	if payload == nil && len(m.Parts) > 0 {
		return l.store.Assemble(m.Key, m.Record, m.Parts, m.Sent, m.Fence.For)
	}
	return l.store.Store(m.Key, m.Record, payload, m.Sent, m.Fence.For)
}

func (l *writeLane) onStoreImport(m *storeImport) (messages.Stored, error) {
	if _, err := l.fenced("lane.StoreImport", m.key, &m.fence); err != nil {
		return messages.Stored{}, errors.Join(err, m.copied.Abandon())
	}
	return l.store.StoreImport(m.copied, m.sent, m.fence.For)
}

func (l *writeLane) onSettleRecords(m *messages.SettleRecords) error {
	if l.custody.laneBusy(l.number) {
		return errs.E("lane.SettleRecords", l.id, errs.Busy, errHung)
	}
	return l.store.NoteSettled(m.List)
}
