// Package cipher seals: small secrets under a key, and payloads under a data key, so
// that whoever has the disk or the documents has neither.
//
//	seed ──▶ Seal ──▶ secrets of users, of backends     (one for a node; see NewSeal)
//	sealing key ──▶ Key.Seal ──▶ data key of an object
//	data key ──▶ Key.Object, Key.Part ──▶ NewSealer, NewReader ──▶ the payload
//
// A sealed payload is a stream of DARE 2.0: packages of 64 KiB, each with 16 bytes in
// front and 16 behind. Each is authentic, in its place, and the last one is marked:
//
//	plain    │ 64 KiB │ 64 KiB │ 17 │
//	sealed   │h 64 KiB t│h 64 KiB t│h 17 t│
//
// Sizes follow from one another (Sealed, Plain), a range needs the packages that it
// touches (RangeOf), and an empty payload is sealed as itself.
//
// Promise: no byte leaves a Reader that was not sealed under its key at that place of a
// payload of that size.
//
// Nothing here does I/O or starts goroutines. The package is the only importer of
// github.com/minio/sio, none of whose types leave it.
//
// Start with Key, then Seal, Reader.
package cipher
