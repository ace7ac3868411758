package disks_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/s3client"
)

// bodyOf is the content of a version of a key: its number, and bytes that follow from
// both. Sizes are those of the index, of a file, and of a file in several slabs.
func bodyOf(key int, version uint64) []byte {
	sizes := []int{100, 20 << 10, 100 << 10, 300 << 10}
	random := rand.New(rand.NewPCG(uint64(key), version))
	body := make([]byte, sizes[random.IntN(len(sizes))]+random.IntN(1000))
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(key))
	binary.BigEndian.PutUint64(seed[8:], version)
	_, _ = rand.NewChaCha8(seed).Read(body) // never fails
	binary.BigEndian.PutUint64(body, version)
	return body
}

// ledger is what one client knows of one key, whose only writer it is. Versions count
// from 1.
type ledger struct {
	key     int
	last    uint64   // version that was sent last
	stored  uint64   // that was acknowledged, or read, last; 0: none
	pending []uint64 // sent since, with an unknown outcome
}

// next is the version to be sent; its outcome is unknown until it is acknowledged.
func (l *ledger) next() uint64 {
	l.last++
	l.pending = append(l.pending, l.last)
	return l.last
}

// acknowledged notes that a version is stored.
func (l *ledger) acknowledged(version uint64) { l.stored, l.pending = version, nil }

var (
	errTorn = errors.New("the answer is no version of the key")
	errLost = errors.New("what was acknowledged is not there")
)

// judge compares an answer of a read with what is known. Which of several versions
// with an unknown outcome is there is known from then on.
func (l *ledger) judge(answer *s3client.Answer) error {
	if answer.Status == 404 {
		if l.stored != 0 {
			return fmt.Errorf("k%d: version %d: %w: 404", l.key, l.stored, errLost)
		}
		return nil
	}
	if len(answer.Body) < 8 {
		return fmt.Errorf("k%d: %d bytes: %w", l.key, len(answer.Body), errTorn)
	}
	version := binary.BigEndian.Uint64(answer.Body)
	if version == 0 || version > l.last || !bytes.Equal(answer.Body, bodyOf(l.key, version)) {
		return fmt.Errorf("k%d: %d bytes that begin like version %d: %w", l.key, len(answer.Body), version, errTorn)
	}
	if version != l.stored && !slices.Contains(l.pending, version) {
		return fmt.Errorf("k%d: version %d is there, %d was acknowledged: %w", l.key, version, l.stored, errLost)
	}
	// A write that was given up may still be under way: those after it stay possible.
	l.stored = version
	return nil
}

// The judge finds what must not be: a lost write, an old version, a torn body, a body
// of another key.
func TestJudgeFindsWrongAnswers(t *testing.T) {
	known := func() *ledger { return &ledger{key: 1, last: 5, stored: 3, pending: []uint64{4, 5}} }
	whole := func(key int, version uint64) *s3client.Answer {
		return &s3client.Answer{Status: 200, Body: bodyOf(key, version)}
	}
	changed := whole(1, 3)
	changed.Body[50] ^= 1
	short := whole(1, 3)
	short.Body = short.Body[:len(short.Body)-1]
	for _, c := range []struct {
		name   string
		answer *s3client.Answer
		want   error
	}{
		{"what was acknowledged", whole(1, 3), nil},
		{"what was sent since", whole(1, 5), nil},
		{"an old version", whole(1, 2), errLost},
		{"one that was never sent", whole(1, 6), errTorn},
		{"nothing", &s3client.Answer{Status: 404}, errLost},
		{"another key's", whole(2, 3), errTorn},
		{"a flipped bit", changed, errTorn},
		{"a byte less", short, errTorn},
		{"an empty body", &s3client.Answer{Status: 200}, errTorn},
	} {
		if err := known().judge(c.answer); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	l := known()
	l.acknowledged(5)
	if err := l.judge(whole(1, 4)); !errors.Is(err, errLost) {
		t.Errorf("a version before the acknowledged one: %v", err)
	}
}

// p99 is the time within which 99 of 100 requests were answered.
func p99(took []time.Duration) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// percent is how long requests took with trouble, in percent of without.
func percent(with, without []time.Duration) int64 {
	return int64(p99(with) * 100 / max(p99(without), time.Microsecond))
}

// median of what is measured several times says more than each alone.
func median(values []int64) int64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// Slower requests are told from others, and a single bad measurement does not count.
func TestPercentTellsSlowerRequests(t *testing.T) {
	even := make([]time.Duration, 1000)
	slower := make([]time.Duration, 1000)
	for i := range even {
		even[i] = time.Duration(i) * time.Microsecond
		slower[i] = 3 * even[i]
	}
	if got := percent(slower, even); got != 300 {
		t.Errorf("three times as slow: %d%%", got)
	}
	if got := percent(even, even); got != 100 {
		t.Errorf("the same: %d%%", got)
	}
	if got := median([]int64{900, 100, 110, 90, 120}); got != 110 {
		t.Errorf("median: %d", got)
	}
}
