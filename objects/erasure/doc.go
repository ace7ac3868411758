// Package erasure divides a payload into slices of which some can be lost: d
// hold the payload, p hold parity, and any d of them give the payload back.
//
// A payload is cut into stripes as it streams in, a stripe into d blocks, to
// which p blocks of parity are computed. A slice has one block of every stripe,
// each followed by its checksum; the two together are a cell. With 4+2:
//
//	payload  │ 0 │ 1 │ 2 │ 3 │ 4 │ 5 │ 6 │ 7 │8│9│…      blocks, in order
//	         └──── stripe 0 ──┴──── stripe 1 ──┴─ the last
//
//	slice 0  │ 0 ✓│ 4 ✓│8✓│       a cell is a block and its checksum, 64 KiB
//	slice 1  │ 1 ✓│ 5 ✓│9✓│       in all but the last stripe, whose blocks
//	slice 2  │ 2 ✓│ 6 ✓│…✓│       are all the d-th part of what is left
//	slice 3  │ 3 ✓│ 7 ✓│…✓│
//	slice 4  │ P ✓│ P ✓│P✓│       parity of the blocks above
//	slice 5  │ Q ✓│ Q ✓│Q✓│
//
// So a whole read takes the cells of slices 0 to d-1 in turn and decodes
// nothing, a ranged read touches only the cells that hold its bytes, and memory
// is one stripe, however large the payload is.
//
// The checksum of a block covers whose block it is, too: payload generation,
// slice, stripe and form. A cell that was moved, or is of another payload, is as
// wrong as one with a flipped bit. Between the cells of a slice there is nothing;
// what they are is said by its Label, which lies beside them.
//
// Promise: no byte leaves a Decoder or Repairer that comes from a block whose
// checksum was not right; a wrong block costs itself and not its slice; and what
// any d right blocks of each stripe can give is given.
//
// Nothing here does I/O or starts goroutines: sources and sinks are the caller's,
// and so is the memory.
//
// Start with Form, then Layout, Encoder, Decoder.
package erasure
