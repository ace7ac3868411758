// Package placement says where a key belongs: highest random weight (HRW) over
// nodes, and over the mountpaths of a node, with AIStore's published mix. The
// choice is fixed by test vectors: it is an on-disk format.
package placement

import (
	"math/bits"
	"slices"
)

// Mix is AIStore's mixer: SplitMix64's stream followed by xoshiro256**'s output
// function, as its wire specification fixes it (Placement, step mix). The
// candidate with the largest Mix(id digest XOR key digest) wins.
func Mix(x uint64) uint64 {
	const golden = 0x9e3779b97f4a7c15
	scramble := func(z uint64) uint64 {
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
		return (z ^ (z >> 27)) * 0x94d049bb133111eb
	}
	z := scramble(x + golden)
	z = (z ^ (z >> 31)) + golden
	z = scramble(z)
	z = (z ^ (z >> 31)) * 5
	return bits.RotateLeft64(z, 7) * 9
}

// Highest returns the index of the id digest with the highest weight for a key,
// or -1 for an empty list. Equal weights go to the smaller id digest.
func Highest(idDigests []uint64, keyDigest uint64) int {
	best, weight := -1, uint64(0)
	for i, id := range idDigests {
		w := Mix(id ^ keyDigest)
		if best < 0 || w > weight || w == weight && id < idDigests[best] {
			best, weight = i, w
		}
	}
	return best
}

// Order returns the indices of the count id digests with the highest weights for
// a key, the highest first; all of them where there are fewer. Order's first is
// Highest's. Equal weights go to the smaller id digest.
func Order(idDigests []uint64, keyDigest uint64, count int) []int {
	count = min(max(count, 0), len(idDigests))
	order := make([]int, 0, count)
	var room [8]uint64
	weights := room[:0] // of order
	for i, id := range idDigests {
		w := Mix(id ^ keyDigest)
		at := len(order)
		for at > 0 && (w > weights[at-1] || w == weights[at-1] && id < idDigests[order[at-1]]) {
			at--
		}
		if at == count {
			continue
		}
		if len(order) == count {
			order, weights = order[:count-1], weights[:count-1]
		}
		order, weights = slices.Insert(order, at, i), slices.Insert(weights, at, w)
	}
	return order
}
