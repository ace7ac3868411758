package erasure

import (
	"context"
	"io"
)

// maxNothing is how often in a row a reader may give neither bytes nor an error.
const maxNothing = 100

// readFull fills room, asking the context before each read. It returns io.EOF only when
// r has ended, with what came before it, which may be all.
func readFull(ctx context.Context, r io.Reader, room []byte) (n int, err error) {
	for nothing := 0; n < len(room); {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		read, err := r.Read(room[n:])
		n += read
		if err != nil {
			return n, err
		}
		if nothing++; read > 0 {
			nothing = 0
		}
		if nothing == maxNothing {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}
