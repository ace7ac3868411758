package cli

import (
	"io"
	"sync/atomic"
)

// meter counts the bytes of one transfer as they pass; bytes that have to pass
// again are taken back. Safe for concurrent use.
type meter struct {
	bytes atomic.Int64
	// moved is told of every change, also of negative ones; may be nil.
	moved func(n int64)
}

func (m *meter) add(n int64) {
	m.bytes.Add(n)
	if m.moved != nil {
		m.moved(n)
	}
}

// bodies makes the bodies of the attempts of one request, which never overlap:
// what an earlier attempt counted is taken back when the next begins.
type bodies struct {
	open  func() (io.ReadCloser, error)
	meter *meter
	sent  atomic.Int64
}

// next opens the body again.
func (b *bodies) next() (io.ReadCloser, error) {
	b.meter.add(-b.sent.Swap(0))
	body, err := b.open()
	if err != nil {
		return nil, err
	}
	return &meteredBody{body, b}, nil
}

// meteredBody counts what is read of it.
type meteredBody struct {
	io.ReadCloser
	bodies *bodies
}

// Read implements io.Reader.
func (m *meteredBody) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.bodies.sent.Add(int64(n))
	m.bodies.meter.add(int64(n))
	return n, err
}
