package offline

import (
	"errors"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects/errs"
)

// builder writes a new index, batch by batch. Reads see what was put.
type builder struct {
	shared  *index.Shared
	index   *index.Index
	batch   *index.Batch
	pending map[string][]byte // what is in the batch; nil: deleted
}

// batchBytes is how much is put before it is committed.
const batchBytes = 1 << 20

// newBuilder makes an empty index in RebuiltDir, in place of what an interrupted
// rebuild may have left there.
func (m *Mount) newBuilder(log *logrus.Entry) (*builder, error) {
	const op errs.Op = "offline.newBuilder"
	if err := m.removeTree(layout.RebuiltDir); err != nil {
		return nil, errs.E(op, m.Name, errs.IO, err)
	}
	shared := index.NewShared(catalogCacheBytes, 1)
	x, err := index.Open(index.Options{FS: m.FS, Dir: layout.RebuiltDir, Node: shared, Log: log})
	if err != nil {
		shared.Close()
		return nil, errs.E(op, m.Name, err)
	}
	return &builder{shared: shared, index: x, pending: make(map[string][]byte)}, nil
}

func (b *builder) put(key, value []byte) error {
	b.open()
	b.batch.Set(key, value)
	b.pending[string(key)] = append([]byte{}, value...)
	return b.flush(batchBytes)
}

func (b *builder) drop(key []byte) error {
	b.open()
	b.batch.Delete(key)
	b.pending[string(key)] = nil
	return b.flush(batchBytes)
}

func (b *builder) open() {
	if b.batch == nil {
		b.batch = b.index.NewBatch()
	}
}

// get returns a value, nil if there is none.
func (b *builder) get(key []byte) ([]byte, error) {
	if value, ok := b.pending[string(key)]; ok {
		return value, nil
	}
	value, err := b.index.Get(key)
	if errs.Is(errs.NotFound, err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer value.Close()
	return append([]byte{}, value.Bytes...), nil
}

// flush commits the batch if it has at least so many bytes.
func (b *builder) flush(bytes int) error {
	if b.batch == nil || b.batch.Bytes() < bytes {
		return nil
	}
	batch := b.batch
	b.batch = nil
	clear(b.pending)
	return b.index.Commit(batch)
}

// finish commits what is left and closes the index: it is whole then.
func (b *builder) finish() error {
	err := b.flush(0)
	if err == nil {
		err = b.index.Flush()
	}
	return errors.Join(err, b.close())
}

func (b *builder) close() error {
	if b.batch != nil {
		b.batch.Close()
		b.batch = nil
	}
	err := b.index.Close()
	b.shared.Close()
	return err
}
