package loader

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// What the flags say is read, what is not meant is refused, and what was read is
// written back the same.
func TestParsing(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "4096": 4096, "4KiB": 4096, "1.5 MiB": 3 << 19, "10MB": 10000000, "1gib": 1 << 30} {
		if n, err := ParseBytes(text); err != nil || n != want {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1XiB", "NaN", "1e400", "9999999TiB", "1 2"} {
		if n, err := ParseBytes(text); err == nil {
			t.Errorf("%q was read as %d", text, n)
		}
	}
	for _, text := range []string{"4KiB", "0B", "1KiB-1MiB", "4KiB:70,128KiB:20,1MiB-8MiB:10"} {
		if sizes, err := ParseSizes(text); err != nil || sizes.String() != text {
			t.Errorf("%q: %s, %v", text, sizes, err)
		}
	}
	for _, text := range []string{"", "1MiB-4KiB", "6GiB", "4KiB:0", "4KiB:-1", "4KiB,", "-"} {
		if sizes, err := ParseSizes(text); err == nil {
			t.Errorf("%q was read as %s", text, sizes)
		}
	}
	for _, text := range []string{"PUT", "PUT=30,GET=60,HEAD=5,DELETE=3,LIST=2"} {
		if mix, err := ParseMix(strings.ToLower(text)); err != nil || mix.String() != text {
			t.Errorf("%q: %s, %v", text, mix, err)
		}
	}
	for _, text := range []string{"", "copy", "put=0", "put=x", "put,put"} {
		if mix, err := ParseMix(text); err == nil {
			t.Errorf("%q was read as %s", text, mix)
		}
	}
	for _, text := range []string{"zipf:1", "zipf:NaN", "random", "uniform:2"} {
		if err := ParseKeyOrder(text, &Keys{}); err == nil {
			t.Errorf("order %q was read", text)
		}
	}
	if words, err := splitWords(` a "b c"'d' '' e `); err != nil || strings.Join(words, "|") != "a|b cd||e" {
		t.Errorf("%q, %v", words, err)
	}
	if _, err := splitWords(`a "b`); err == nil {
		t.Error("an open quote was accepted")
	}
}

// Sizes, mixes and orders are distributed as they say; a size follows from its
// key alone.
func TestDistributions(t *testing.T) {
	sizes, err := ParseSizes("4KiB:70,1MiB-8MiB:30")
	if err != nil {
		t.Fatal(err)
	}
	keys, small := Keys{Seed: 3, Count: 1000}, 0
	for i := range uint64(10000) {
		size := sizes.of(keys.digest(i))
		if size != sizes.of(keys.digest(i)) || size != 4096 && (size < 1<<20 || size > 8<<20) {
			t.Fatalf("key %d: %d bytes", i, size)
		}
		if size == 4096 {
			small++
		}
	}
	if small < 6800 || small > 7200 {
		t.Errorf("%d of 10,000 are small, want 7,000", small)
	}
	random := rand.New(rand.NewPCG(1, 1))
	gets := 0
	for range 10000 {
		if (Mix{Put: 1, Get: 3}).pick(random) == Get {
			gets++
		}
	}
	if gets < 7300 || gets > 7700 {
		t.Errorf("%d of 10,000 are GET, want 7,500", gets)
	}
	for order, want := range map[KeyOrder][2]int{Uniform: {5, 25}, Zipf: {1500, 2500}, Sequential: {10, 10}} {
		keys.Order = order
		chosen := keys.newChooser(random, keys.Count)
		first := 0
		for turn := range uint64(10000) {
			switch i := chosen.choose(turn); {
			case i >= keys.Count:
				t.Fatalf("order %d: key %d of %d", order, i, keys.Count)
			case i == 0:
				first++
			}
		}
		if first < want[0] || first > want[1] {
			t.Errorf("order %d: key 0 was chosen %d times of 10,000", order, first)
		}
	}
	names := map[string]bool{}
	for i := range uint64(10000) {
		names[string(keys.appendName(nil, i))] = true
	}
	if len(names) != 10000 {
		t.Errorf("%d names for 10,000 keys", len(names))
	}
}

// Contents differ between keys and between parts of one object, and every single
// changed byte is seen, across the end of the arena too.
func TestPayloads(t *testing.T) {
	p := newPayloads(9)
	const size = 2*arenaBytes + 12345
	content := p.append(nil, 5, size)
	if joined := bytes.Join(p.appendPieces(nil, 5, size), nil); !bytes.Equal(joined, content) || len(content) != size {
		t.Fatal("pieces and copy differ")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		from := random.Int64N(size)
		piece := bytes.Clone(content[from : from+random.Int64N(min(size-from, 300<<10))+1])
		if !p.matches(piece, 5, from) {
			t.Fatalf("from %d: does not match itself", from)
		}
		piece[random.IntN(len(piece))] ^= 1 << random.IntN(8)
		if p.matches(piece, 5, from) {
			t.Fatalf("from %d: a flipped bit matches", from)
		}
	}
	const block = 128 << 10
	for i := range int64(size/block - 1) { // a server that mixes up slabs
		if p.matches(content[(i+1)*block:(i+2)*block], 5, i*block) {
			t.Fatalf("slab %d is like its neighbour", i)
		}
	}
	if p.matches(content[:64], 6, 0) || newPayloads(10).matches(content[:64], 5, 0) {
		t.Error("another key's or another seed's content is the same")
	}
}
