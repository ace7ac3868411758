package erasure

import (
	"fmt"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/slab"
)

// MaxData and MaxParity bound a form. AIStore's native API takes 1 to 32 of
// either, so everything that it can ask for is there; and 64 slices are far below
// the 256 from which the library computes another parity than the one that is on
// disks.
const (
	MaxData   = objects.MaxDataSlices
	MaxParity = objects.MaxParitySlices
	MaxSlices = MaxData + MaxParity
)

// CellBytes is the size of the cells of new slices. In cells of 16 and 32 KiB each byte
// costs a fifth and a tenth more; in those of 128 KiB it costs as much, but a short read
// fetches, and a stream holds, twice as much (docs/benchmarks.md, "Erasure coding"). Two
// cells are a slab, and lie as direct writes want them.
const CellBytes = 64 << 10

// sumBytes is the checksum at the end of a cell.
const sumBytes = 8

// MinCellBytes is the smallest cell that a form may have: as much block as
// checksum. Only tests are near it.
const MinCellBytes = 2 * sumBytes

// Form is how payloads are divided. Comparable.
type Form struct {
	Data      int // d: slices that hold the payload, 1 to MaxData
	Parity    int // p: slices that may be lost, 1 to MaxParity
	CellBytes int // of all stripes but the last, MinCellBytes to slab.Bytes
}

// FormOf is the form of new slices, d+p.
func FormOf(data, parity int) Form { return Form{data, parity, CellBytes} }

// Slices returns how many slices there are.
func (f Form) Slices() int { return f.Data + f.Parity }

// String returns the form as people write it: "4+2".
func (f Form) String() string { return fmt.Sprintf("%d+%d", f.Data, f.Parity) }

// Check says why the form cannot be, or nil.
func (f Form) Check() error {
	switch {
	case f.Data < 1 || f.Data > MaxData:
		return fmt.Errorf("%d slices of data, 1 to %d can be", f.Data, MaxData)
	case f.Parity < 1 || f.Parity > MaxParity:
		return fmt.Errorf("%d slices of parity, 1 to %d can be", f.Parity, MaxParity)
	case f.CellBytes < MinCellBytes || f.CellBytes > slab.Bytes:
		return fmt.Errorf("cells of %d bytes, %d to %d can be", f.CellBytes, MinCellBytes, slab.Bytes)
	}
	return nil
}

// Slabs returns how many slabs hold the cells of so many stripes, one or more. An encoder, a
// decoder or a repairer needs one stripe at a time.
func (f Form) Slabs(stripes int) int {
	each := slab.Bytes / f.CellBytes
	return (stripes*f.Slices() + each - 1) / each
}
