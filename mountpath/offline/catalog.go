package offline

import (
	"bytes"
	"errors"
	"math/big"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// catalog is an index that is looked at and not changed. What can be read of a
// damaged one is read; what cannot is told.
type catalog struct {
	shared  *index.Shared
	index   *index.Index
	damaged func(lower, upper []byte, err error)
}

// catalogCacheBytes is what the blocks of one index may take in memory.
const catalogCacheBytes = 64 << 20

// openCatalog opens the index in a directory of the mountpath. NotFound: there is
// none. Damaged is told of ranges of keys that cannot be read.
func (m *Mount) openCatalog(dir string, log *logrus.Entry, damaged func(lower, upper []byte, err error)) (*catalog, error) {
	shared := index.NewShared(catalogCacheBytes, 1)
	x, err := index.Open(index.Options{FS: m.FS, Dir: dir, ReadOnly: true, MustExist: false, Node: shared, Log: log})
	if err != nil {
		shared.Close()
		return nil, errs.E("offline.openCatalog", m.Name, err)
	}
	return &catalog{shared: shared, index: x, damaged: damaged}, nil
}

func (c *catalog) close() error {
	err := c.index.Close()
	c.shared.Close()
	return err
}

// get returns a value: nil if there is none.
func (c *catalog) get(key []byte) ([]byte, error) {
	value, err := c.index.Get(key)
	if errs.Is(errs.NotFound, err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer value.Close()
	return append([]byte{}, value.Bytes...), nil // not nil, though it may be empty
}

// record returns the record of a key: nil if there is none.
func (c *catalog) record(key objects.Key) (*objects.Meta, error) {
	value, err := c.get(layout.ObjectKey(nil, key.Bucket.ID, key.Name))
	if err != nil || value == nil {
		return nil, err
	}
	return layout.DecodeRecord(value)
}

// each calls visit for every key of a range that can be read, in order. Value is
// valid during the call; it is nil with the reason if it cannot be read. Where a
// block is damaged the walk goes on behind it.
func (c *catalog) each(lower, upper []byte, visit func(key, value []byte, err error) error) error {
	for lower != nil {
		next, damage, err := c.walk(lower, upper, visit)
		if err != nil || damage == nil {
			return err
		}
		from, found := c.behind(next, upper)
		c.damaged(next, from, damage)
		if !found {
			return nil
		}
		lower = from
	}
	return nil
}

// walk is each up to the first damage; next is where that may begin.
func (c *catalog) walk(lower, upper []byte, visit func(key, value []byte, err error) error) (next []byte, damage, err error) {
	next = lower
	scan, err := c.index.Scan(lower, upper)
	if err != nil {
		return next, err, nil // an iterator that cannot be made meets damage at once
	}
	for scan.Next() {
		value, err := scan.Value()
		if err := visit(scan.Key(), value, err); err != nil {
			return next, nil, errors.Join(err, scan.Close())
		}
		next = append(append(next[:0:0], scan.Key()...), 0)
	}
	damage = scan.Err()
	_ = scan.Close() // tells the same
	return next, damage, nil
}

// behindSteps bounds the search for the end of a damaged block: enough for the
// bits in which two long names may differ.
const behindSteps = 512

// behind returns a key from which the index can be read again, as close behind a
// damaged one as bisection finds it.
func (c *catalog) behind(damaged, upper []byte) (from []byte, found bool) {
	for n := len(damaged) - 1; n > 0 && !found; n-- {
		from = layout.PrefixEnd(damaged[:n])
		if from == nil || upper != nil && bytes.Compare(from, upper) >= 0 {
			break
		}
		found = c.readable(from, upper)
	}
	if !found {
		return upper, false
	}
	bad := damaged
	for range behindSteps {
		middle := between(bad, from)
		if middle == nil {
			break
		}
		if c.readable(middle, upper) {
			from = middle
		} else {
			bad = middle
		}
	}
	return from, true
}

// readable reports whether the first key at or after one can be read, or that
// there is none.
func (c *catalog) readable(from, upper []byte) bool {
	scan, err := c.index.Scan(from, upper)
	if err != nil {
		return false
	}
	scan.Next()
	return scan.Close() == nil
}

// between returns a key in the middle of two, nil if there is none that is not
// much longer than both.
func between(a, b []byte) []byte {
	n := max(len(a), len(b)) + 1
	x, y := new(big.Int).SetBytes(padded(a, n)), new(big.Int).SetBytes(padded(b, n))
	middle := x.Add(x, y).Rsh(x, 1).FillBytes(make([]byte, n))
	middle = bytes.TrimRight(middle, "\x00")
	if bytes.Compare(middle, a) <= 0 || bytes.Compare(middle, b) >= 0 || len(middle) > objects.MaxNameBytes+64 {
		return nil
	}
	return middle
}

func padded(b []byte, n int) []byte {
	return append(append(make([]byte, 0, n), b...), make([]byte, n-len(b))...)
}
