package erasure

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"testing"

	"github.com/OneOfOne/xxhash"
	"github.com/klauspost/reedsolomon"
	"github.com/minio/crc64nvme"
	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/objects/slab"
)

// Benchmarks of the codec beside the library that it stands on, in turns in one run. What
// counts is the processor time of the one thread that does the work, median of all turns:
// it is steadier than the wall where others use the machine too.
//
//	go test ./objects/erasure -run '^$' -bench . -benchtime 100x

const objectBytes = 16 << 20

// threadTime returns the processor time of the calling thread in nanoseconds.
func threadTime(b *testing.B) int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		b.Fatal(err)
	}
	return now.Nano()
}

// contender is one of those that take turns. It runs with another number each time, of
// which others in a row belong to other objects: what one has read is not in cache for the
// next.
type contender struct {
	name string
	run  func(number int) error
}

// inTurns runs them in turns and reports medians: µs of processor time for each MiB of
// payload, and what part of the speed of the first each of the others reaches, in percent.
func inTurns(b *testing.B, all ...contender) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	taken := make([][]int64, len(all))
	b.ReportAllocs()
	for turn := 0; b.Loop(); turn++ {
		for i, c := range all {
			begun := threadTime(b)
			if err := c.run(turn*len(all) + i); err != nil {
				b.Fatal(err)
			}
			taken[i] = append(taken[i], threadTime(b)-begun)
		}
	}
	b.ReportMetric(0, "ns/op")
	var first float64
	for i, c := range all {
		slices.Sort(taken[i])
		median := float64(taken[i][len(taken[i])/2])
		b.ReportMetric(median/1e3/(objectBytes>>20), c.name+"-µs/MiB")
		if i == 0 {
			first = median
		} else {
			b.ReportMetric(100*first/median, c.name+"-%")
		}
	}
}

// others is how many objects are used in turn, so that none is in cache from its last time.
const others = 6

// shardsOf returns room for an object as the library takes it: 4 MiB shards.
func shardsOf(form Form) [][]byte {
	shards := make([][]byte, form.Slices())
	for i := range shards {
		shards[i] = payloadOf(uint64(i), objectBytes/int64(form.Data))
	}
	return shards
}

// BenchmarkEncode encodes 16 MiB, three times beside the library:
//
//	placed  the library in shards of 4 MiB, as who has all of an object has them; the
//	        encoder with a body that comes without a copy, as from a socket
//	copied  both have the payload copied into place first
//	cached  the library over the blocks of one stripe, again and again: what no road from
//	        outside of the cache can reach
func BenchmarkEncode(b *testing.B) {
	for _, form := range []Form{FormOf(4, 2), FormOf(2, 1), FormOf(8, 4), FormOf(10, 4)} {
		b.Run(form.String(), func(b *testing.B) {
			library, err := reedsolomon.New(form.Data, form.Parity, reedsolomon.WithMaxGoroutines(1))
			if err != nil {
				b.Fatal(err)
			}
			codec := codecOf(b, form)
			stripe := stripeOf(b, codec)
			objects, payloads := make([][][]byte, others), make([][]byte, others)
			for i := range objects {
				objects[i], payloads[i] = shardsOf(form), payloadOf(uint64(i), objectBytes)
			}
			encode := func(body io.Reader) error {
				e := codec.NewEncoder(generation(1), objectBytes)
				for {
					if err := e.Next(context.Background(), stripe, body); err == io.EOF {
						return nil
					} else if err != nil {
						return err
					}
				}
			}
			placed := contender{"encoder", func(int) error { return encode(&endless{objectBytes}) }}
			b.Run("placed", func(b *testing.B) {
				inTurns(b, contender{"library", func(number int) error { return library.Encode(objects[number%others]) }}, placed)
			})
			b.Run("copied", func(b *testing.B) {
				inTurns(b,
					contender{"library", func(number int) error {
						shards, payload := objects[number%others], payloads[number%others]
						for i := range form.Data {
							payload = payload[copy(shards[i], payload):]
						}
						return library.Encode(shards)
					}},
					contender{"encoder", func(number int) error { return encode(bytes.NewReader(payloads[number%others])) }},
				)
			})
			b.Run("cached", func(b *testing.B) {
				inTurns(b,
					contender{"library", func(int) error {
						for range objectBytes / int(form.stripeBytes()) {
							stripe.begin(0, CellBytes-sumBytes, int(form.stripeBytes()))
							if err := stripe.encode(); err != nil {
								return err
							}
						}
						return nil
					}},
					placed,
				)
			})
		})
	}
}

// BenchmarkDecode reads 16 MiB from slices in memory: the bytes copied and nothing else;
// all slices there; one and two slices of data gone. The library, given all of it in
// 4 MiB shards, computes one or two of them.
func BenchmarkDecode(b *testing.B) {
	form := FormOf(4, 2)
	library, err := reedsolomon.New(form.Data, form.Parity, reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		b.Fatal(err)
	}
	codec := codecOf(b, form)
	stripe := stripeOf(b, codec)
	objects, whole := make([]*sliced, others), make([][][]byte, others)
	for i := range objects {
		objects[i] = encode(b, codec, uint64(i), payloadOf(uint64(i), objectBytes))
		whole[i] = shardsOf(form)
		if err := library.Encode(whole[i]); err != nil {
			b.Fatal(err)
		}
	}
	room := make([]byte, CellBytes)
	bare := func(number int) error {
		for _, slice := range objects[number%others].slices[:form.Data] {
			for len(slice) > 0 {
				slice = slice[copy(room, slice):]
			}
		}
		return nil
	}
	decode := func(number, lost int) error {
		s := objects[number%others]
		sources := make([]Source, form.Slices())
		for i := lost; i < len(sources); i++ {
			sources[i] = &reread{bytes: s.slices[i]}
		}
		d, err := NewDecoder(context.Background(), Read{Layout: s.Layout, Payload: s.gen, Sources: sources}, stripe, 0, s.Layout.Size)
		if err != nil {
			return err
		}
		defer d.Close()
		for {
			if _, err := d.Next(); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	rebuild := func(number, lost int) error {
		shards := slices.Clone(whole[number%others])
		for i := range lost {
			shards[i] = shards[i][:0]
		}
		return library.ReconstructData(shards)
	}
	b.Run("whole", func(b *testing.B) {
		inTurns(b, contender{"copy", bare}, contender{"decoder", func(number int) error { return decode(number, 0) }})
	})
	for lost := 1; lost <= 2; lost++ {
		b.Run(fmt.Sprint("lost-", lost), func(b *testing.B) {
			inTurns(b,
				contender{"library+copy", func(number int) error {
					if err := bare(number); err != nil {
						return err
					}
					return rebuild(number, lost)
				}},
				contender{"decoder", func(number int) error { return decode(number, lost) }},
			)
		})
	}
}

// BenchmarkRepair makes one slice of 16 MiB in 4+2 anew.
func BenchmarkRepair(b *testing.B) {
	codec := codecOf(b, FormOf(4, 2))
	stripe := stripeOf(b, codec)
	s := encode(b, codec, 1, payloadOf(1, objectBytes))
	repair := func(lost int) error {
		sources := make([]Source, 6)
		for i := range sources {
			if i != lost {
				sources[i] = &reread{bytes: s.slices[i]}
			}
		}
		r, err := NewRepairer(Read{Layout: s.Layout, Payload: s.gen, Sources: sources}, []int{lost}, s.Sums)
		if err != nil {
			return err
		}
		defer r.Close()
		for {
			if err := r.Next(context.Background(), stripe); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	inTurns(b,
		contender{"data", func(int) error { return repair(0) }},
		contender{"parity", func(int) error { return repair(5) }},
	)
}

// BenchmarkCellBytes is how the size of cells was chosen: 16 MiB in 4+2, copied in.
func BenchmarkCellBytes(b *testing.B) {
	var all []contender
	payloads := make([][]byte, others)
	for i := range payloads {
		payloads[i] = payloadOf(uint64(i), objectBytes)
	}
	for _, cell := range []int{CellBytes, 16 << 10, 32 << 10, slab.Bytes} {
		codec := codecOf(b, Form{4, 2, cell})
		stripe := stripeOf(b, codec)
		all = append(all, contender{fmt.Sprintf("%dKiB", cell>>10), func(number int) error {
			e := codec.NewEncoder(generation(1), objectBytes)
			body := bytes.NewReader(payloads[number%others])
			for {
				if err := e.Next(context.Background(), stripe, body); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
			}
		}})
	}
	inTurns(b, all...)
}

// BenchmarkChecksum is how the checksum of blocks was chosen: 16 MiB in 4+2 in cells that
// have just been written, each with a checksum of every kind.
func BenchmarkChecksum(b *testing.B) {
	codec := codecOf(b, FormOf(4, 2))
	stripe := stripeOf(b, codec)
	var sink uint64
	each := func(sum func([]byte)) func(int) error {
		return func(int) error {
			for range objectBytes / (4 * CellBytes) {
				stripe.begin(0, CellBytes-sumBytes, int(codec.form.stripeBytes()))
				if err := stripe.encode(); err != nil {
					return err
				}
				for _, cell := range stripe.cells {
					sum(cell[:CellBytes-sumBytes])
				}
			}
			return nil
		}
	}
	inTurns(b,
		contender{"none", each(func([]byte) {})},
		contender{"xxh3", each(func(p []byte) { sink += xxh3.Hash(p) })},
		contender{"crc64nvme", each(func(p []byte) { sink += crc64nvme.Checksum(p) })},
		contender{"crc32c", each(func(p []byte) { sink += uint64(crc32.Checksum(p, castagnoli)) })},
		contender{"xxhash64", each(func(p []byte) { sink += xxhash.Checksum64(p) })},
	)
	if sink == 0 {
		b.Fatal("nothing was computed")
	}
}
