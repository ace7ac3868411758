// Package placement says where a key belongs: highest random weight (HRW) over
// nodes, and over the mountpaths of a node, with AIStore's published mix. The
// choice is fixed by test vectors: it is an on-disk format.
package placement

import "math/bits"

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
	return AppendOrder(make([]int, 0, min(max(count, 0), len(idDigests))), idDigests, keyDigest, count)
}

// AppendOrder appends to dst what Order returns.
func AppendOrder(dst []int, idDigests []uint64, keyDigest uint64, count int) []int {
	if count = min(count, len(idDigests)); count <= 0 {
		return dst
	}
	var room [16]uint64
	weights := room[:]
	if count > len(room) {
		weights = make([]uint64, count)
	}
	begin, have := len(dst), 0
	least := uint64(0) // the weight to get over, once there are count
	for i, id := range idDigests {
		w := Mix(id ^ keyDigest)
		if have == count && w < least {
			continue
		}
		at := have
		for at > 0 && (w > weights[at-1] || w == weights[at-1] && id < idDigests[dst[begin+at-1]]) {
			at--
		}
		if at == count {
			continue
		}
		if have < count {
			dst = append(dst, 0)
			have++
		}
		copy(dst[begin+at+1:], dst[begin+at:])
		copy(weights[at+1:have], weights[at:])
		dst[begin+at], weights[at] = i, w
		least = weights[have-1]
	}
	return dst
}
