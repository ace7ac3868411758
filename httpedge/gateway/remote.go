package gateway

import (
	"io"

	"github.com/troupe-storage/troupe/objects"
)

// remote is the payload of an object at another node. Not safe for concurrent use.
type remote struct {
	peers  Peers
	at     Charge
	bucket *objects.BucketDoc
	name   string
	record *objects.Meta
	bodies []io.Closer // of what was read
}

// read returns length bytes from offset; the node is asked at the first Read.
func (r *remote) read(offset, length int64) io.Reader {
	return &remoteReader{remote: r, offset: offset, length: length}
}

func (r *remote) close() {
	for _, b := range r.bodies {
		_ = b.Close() // it was only read
	}
	r.bodies = nil
}

// remoteReader reads a run of bytes of an object at another node. That node verifies
// what it sends where the bucket wants it; who writes a copy counts the bytes.
type remoteReader struct {
	remote         *remote
	offset, length int64
	body           io.ReadCloser
}

// Read implements io.Reader.
func (r *remoteReader) Read(p []byte) (int, error) {
	if r.length == 0 {
		return 0, io.EOF
	}
	if r.body == nil {
		body, err := r.remote.peers.Payload(r.remote.at, r.remote.bucket, r.remote.name, r.remote.record, r.offset, r.length)
		if err != nil {
			return 0, away("gateway.remoteReader", err)
		}
		r.body = body
		r.remote.bodies = append(r.remote.bodies, body)
	}
	return r.body.Read(p)
}

// remoteBody is the body of an answer that comes from another node. It closes the
// object.
type remoteBody struct {
	io.Reader
	object *Object
}

// Close implements io.Closer.
func (b *remoteBody) Close() error {
	b.object.Close()
	return nil
}
