package archive

import (
	"fmt"
	"hash/crc32"
	"io"

	"github.com/troupe-storage/troupe/objects/errs"
)

// content is what a member holds: exactly as many bytes as it is said to have. Of a zip's
// member the last of them are given only if all of them have its checksum, so that who gets
// them all gets the right ones.
type content struct {
	from   io.Reader
	member Member
	zipped bool
	left   int64
	sum    uint32
	meter  *meter
	fault  *fault
	err    error
}

func newContent(from io.Reader, m Member, zipped bool, limit *meter, f *fault) *content {
	return &content{from: from, member: m, zipped: zipped, left: m.Size, meter: limit, fault: f}
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.left == 0 {
		if c.zipped && c.member.Size == 0 {
			c.err = c.check()
		}
		if c.err == nil {
			c.err = io.EOF
		}
		return 0, c.err
	}
	n, err := c.from.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	switch {
	case err != nil && c.left > 0:
		c.err = c.explain(noEOF(err))
		return n, c.err
	case !c.zipped:
		return n, nil
	}
	c.sum = crc32.Update(c.sum, crc32.IEEETable, p[:n])
	if c.member.Method == MethodDeflated {
		if c.err = c.meter.take(n); c.err != nil {
			return 0, c.err
		}
	}
	if c.left == 0 {
		if c.err = c.check(); c.err != nil {
			return 0, c.err
		}
	}
	return n, nil
}

// check looks, after the last byte of a zip's member, whether it was the last and all were
// right.
func (c *content) check() error {
	var more [1]byte
	for range maxNothing {
		n, err := c.from.Read(more[:])
		if n > 0 {
			return c.explain(fmt.Errorf("%.100q has more than its %d bytes", c.member.Name, c.member.Size))
		}
		if err == io.EOF {
			if c.sum != c.member.CRC {
				return c.explain(fmt.Errorf("%.100q has CRC-32 %08x, want %08x", c.member.Name, c.sum, c.member.CRC))
			}
			return nil
		}
		if err != nil {
			return c.explain(err)
		}
	}
	return c.explain(io.ErrNoProgress)
}

func (c *content) explain(err error) error {
	return explain("archive.Read", c.fault, err)
}

// explain says whether an error is the caller's reader's, a limit's, or means that this is no
// archive.
func explain(op errs.Op, f *fault, err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case f.err != nil:
		return f.err
	case errs.KindOf(err) != errs.Internal:
		return err
	}
	return malformed(op, "%w", err)
}
