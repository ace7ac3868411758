package disk

import "slices"

// blockBytes is the unit in which Mem keeps, shares and loses file data: a page
// of the page cache, and a block of ext4 and XFS.
const blockBytes = 4096

// chunkBlocks is how many blocks a chunk holds: a write after a snapshot copies
// one block, one chunk (0.5 KiB) and the spine (8 bytes per 256 KiB of file).
const chunkBlocks = 64

// maxContentBytes is the largest file in Mem; beyond it is EFBIG. Its spine has
// 2 MiB.
const maxContentBytes = 64 << 30

type block [blockBytes]byte

// chunk holds pointers to blocks; nil is a hole of zeros.
type chunk struct {
	owner  *stamp // the content that may change this chunk
	owned  uint64 // bit i: blocks[i] was made by the owner and may be changed in place
	blocks [chunkBlocks]*block
}

// stamp is an identity; it must not be of size 0, or all were one.
type stamp struct{ _ byte }

// content is the bytes of a file. snapshot is cheap, and afterwards each side
// copies what it changes. Bytes of blocks beyond size are zeros. The zero value
// is an empty file. Not safe for concurrent use.
type content struct {
	size   int64
	blocks int64  // that are not holes
	stamp  *stamp // nil: the spine and all below are shared with a snapshot
	spine  []*chunk
}

// snapshot returns the same bytes as an independent value.
func (c *content) snapshot() content {
	c.stamp = nil
	return *c
}

// at returns the block, nil for a hole.
func (c *content) at(index int64) *block {
	if index/chunkBlocks >= int64(len(c.spine)) {
		return nil
	}
	chunk := c.spine[index/chunkBlocks]
	if chunk == nil {
		return nil
	}
	return chunk.blocks[index%chunkBlocks]
}

// ownChunk returns the chunk of a block, to be changed.
func (c *content) ownChunk(number int64) *chunk {
	if c.stamp == nil {
		c.stamp = new(stamp)
		c.spine = slices.Clone(c.spine)
	}
	if missing := int(number) + 1 - len(c.spine); missing > 0 {
		c.spine = append(c.spine, make([]*chunk, missing)...)
	}
	old := c.spine[number]
	if old != nil && old.owner == c.stamp {
		return old
	}
	own := &chunk{owner: c.stamp}
	if old != nil {
		own.blocks = old.blocks
	}
	c.spine[number] = own
	return own
}

// own returns the block, to be changed in place.
func (c *content) own(index int64) *block {
	chunk, bit := c.ownChunk(index/chunkBlocks), index%chunkBlocks
	if chunk.owned&(1<<bit) != 0 {
		return chunk.blocks[bit]
	}
	own := new(block)
	if old := chunk.blocks[bit]; old != nil {
		*own = *old
	} else {
		c.blocks++
	}
	chunk.blocks[bit] = own
	chunk.owned |= 1 << bit
	return own
}

// replace puts a block that others may hold too, or nil for a hole.
func (c *content) replace(index int64, with *block) {
	if c.at(index) == with {
		return
	}
	chunk, bit := c.ownChunk(index/chunkBlocks), index%chunkBlocks
	if chunk.blocks[bit] != nil {
		c.blocks--
	}
	if with != nil {
		c.blocks++
	}
	chunk.blocks[bit] = with
	chunk.owned &^= 1 << bit
}

// readAt copies what there is at the offset and returns how much that was.
func (c *content) readAt(p []byte, offset int64) int {
	if offset >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-offset)]
	total := len(p)
	for len(p) > 0 {
		within := offset % blockBytes
		n := int(min(int64(len(p)), blockBytes-within))
		if block := c.at(offset / blockBytes); block != nil {
			copy(p[:n], block[within:])
		} else {
			clear(p[:n])
		}
		p, offset = p[n:], offset+int64(n)
	}
	return total
}

// writeBlock writes p, which does not cross a block's end, and lengthens the
// content if need be.
func (c *content) writeBlock(p []byte, offset int64) {
	copy(c.own(offset / blockBytes)[offset%blockBytes:], p)
	c.size = max(c.size, offset+int64(len(p)))
}

// truncate makes the content as long as size, with zeros where it grows.
func (c *content) truncate(size int64) {
	if size < c.size {
		first := (size + blockBytes - 1) / blockBytes // that goes as a whole
		for number := first / chunkBlocks; number < int64(len(c.spine)); number++ {
			if c.spine[number] == nil {
				continue
			}
			for index := max(first, number*chunkBlocks); index < (number+1)*chunkBlocks; index++ {
				c.replace(index, nil)
			}
		}
		if keep := (first + chunkBlocks - 1) / chunkBlocks; keep < int64(len(c.spine)) {
			c.spine = c.spine[:keep:keep]
		}
		c.clearTail(size)
	}
	c.size = size
}

// clearTail zeroes the bytes from size to the end of its block.
func (c *content) clearTail(size int64) {
	within := size % blockBytes
	if within == 0 || c.at(size/blockBytes) == nil {
		return
	}
	clear(c.own(size / blockBytes)[within:])
}

// differences calls visit for every block below end that is not the same one in
// both, in order.
func differences(a, b *content, end int64, visit func(index int64)) {
	last := (end + blockBytes - 1) / blockBytes
	chunks := max(len(a.spine), len(b.spine))
	for number := range chunks {
		if number < len(a.spine) && number < len(b.spine) && a.spine[number] == b.spine[number] {
			continue
		}
		first := int64(number) * chunkBlocks
		for index := first; index < min(first+chunkBlocks, last); index++ {
			if a.at(index) != b.at(index) {
				visit(index)
			}
		}
	}
}
