package mountpath

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// storeImport asks a lane to make a payload of another node the object here, unless
// what is here is as new. Sent by the importer.
type storeImport struct {
	offer
	fence messages.Fence
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
	const op errs.Op = "importer.StorePayload"
	var answer messages.Stored
	err := pinned(op, m.Key, m.Window, func(room [][]byte) error {
		copied, err := i.store.Receive(m.Key, m.Record, m.Parts, &arriving{from: m.Payload}, room)
		if err != nil {
			return err
		}
		s := &storeImport{offer: offer{key: m.Key, copied: copied}, fence: m.Fence, Reply: messages.NewReply[messages.Stored]()}
		i.system.Root().Send(i.lane, s)
		answer, err = s.Reply.WaitOn(i.system.Clock(), op, commitTime)
		if err != nil && s.refuse() {
			return errors.Join(err, copied.Abandon())
		}
		return err
	})
	m.Reply.Send(answer, err)
}

// arriving is a payload on its way here, as a file that is read once from its beginning.
type arriving struct {
	from io.Reader
	at   int64
}

var _ messages.PayloadFile = (*arriving)(nil)

// ReadAt implements io.ReaderAt for offsets that follow one another.
func (a *arriving) ReadAt(room []byte, offset int64) (int, error) {
	if offset != a.at {
		return 0, errs.E("importer.arriving", errs.Internal, fmt.Errorf("byte %d is read after byte %d", offset, a.at))
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
	return l.store.Store(m.Key, m.Record, payload)
}

func (l *writeLane) onStoreImport(m *storeImport) (messages.Stored, error) {
	if _, err := l.fenced("lane.StoreImport", m.key, &m.fence); err != nil {
		return messages.Stored{}, errors.Join(err, m.copied.Abandon())
	}
	return l.store.StoreImport(m.copied)
}

func (l *writeLane) onSettleRecords(m *messages.SettleRecords) error {
	if l.custody.laneBusy(l.number) {
		return errs.E("lane.SettleRecords", l.id, errs.Busy, errHung)
	}
	return l.store.NoteSettled(m.List)
}
