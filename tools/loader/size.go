package loader

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// MaxObjectBytes is the largest object that a load may hold: what S3 takes in
// one PUT, 5 GiB.
const MaxObjectBytes = 5 << 30

// ParseBytes reads a number of bytes with an optional unit: "4096", "4KiB",
// "1.5MiB", "10MB". Units are B, KiB, MiB, GiB, TiB and kB, MB, GB, TB.
func ParseBytes(s string) (int64, error) {
	text := strings.TrimSpace(s)
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.ToLower(strings.TrimSpace(text[len(digits):]))
	factor, known := map[string]float64{
		"": 1, "b": 1,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
		"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	}[unit]
	number, err := strconv.ParseFloat(digits, 64)
	if !known || err != nil || !(number >= 0) || number*factor > math.MaxInt64/2 {
		return 0, fmt.Errorf("%q is not a number of bytes (4096, 4KiB, 1MiB, …)", s)
	}
	return int64(number * factor), nil
}

// FormatBytes writes a number of bytes with the largest binary unit that
// divides it: "4KiB"; ParseBytes reads it back.
func FormatBytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for n != 0 && n%1024 == 0 && i < len(units)-1 {
		n /= 1024
		i++
	}
	return strconv.FormatInt(n, 10) + units[i]
}

// Sizes is a distribution of object sizes. The size of a key follows from the
// key's digest alone, so that whoever reads it knows how large it must be.
// An immutable value; the zero Sizes is empty and is refused by Validate.
type Sizes struct {
	choices []sizeChoice
	total   uint32 // sum of the weights
}

// sizeChoice is one size, or a range of sizes, with its weight.
type sizeChoice struct {
	low, high int64 // bytes; low == high: one size; otherwise log-uniform between them
	weight    uint32
}

// FixedSize returns the distribution with one size only.
func FixedSize(n int64) Sizes {
	return Sizes{choices: []sizeChoice{{n, n, 1}}, total: 1}
}

// ParseSizes reads a distribution: one size ("4KiB"), a range with the logarithm
// of the size uniform in it ("1KiB-1MiB"), or several of either with weights
// ("4KiB:70,128KiB:20,1MiB-8MiB:10").
func ParseSizes(s string) (Sizes, error) {
	var sizes Sizes
	for part := range strings.SplitSeq(s, ",") {
		sizeText, weightText, weighted := strings.Cut(strings.TrimSpace(part), ":")
		lowText, highText, ranged := strings.Cut(sizeText, "-")
		low, err := ParseBytes(lowText)
		if err != nil {
			return Sizes{}, err
		}
		high := low
		if ranged {
			if high, err = ParseBytes(highText); err != nil {
				return Sizes{}, err
			}
		}
		weight := uint64(1)
		if weighted {
			if weight, err = strconv.ParseUint(weightText, 10, 16); err != nil || weight == 0 {
				return Sizes{}, fmt.Errorf("weight %q of size %s is not a number from 1 to 65535", weightText, sizeText)
			}
		}
		if low > high || high > MaxObjectBytes {
			return Sizes{}, fmt.Errorf("size %s: it must rise, up to %s", sizeText, FormatBytes(MaxObjectBytes))
		}
		sizes.choices = append(sizes.choices, sizeChoice{low, high, uint32(weight)})
		sizes.total += uint32(weight)
	}
	if len(sizes.choices) == 0 {
		return Sizes{}, errors.New("no sizes")
	}
	return sizes, nil
}

// String returns what ParseSizes reads.
func (s Sizes) String() string {
	var parts []string
	for _, choice := range s.choices {
		part := FormatBytes(choice.low)
		if choice.high != choice.low {
			part += "-" + FormatBytes(choice.high)
		}
		if len(s.choices) > 1 {
			part += ":" + strconv.FormatUint(uint64(choice.weight), 10)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

// smallest and largest return the bounds of the distribution; zero if it is empty.
func (s Sizes) smallest() int64 {
	if len(s.choices) == 0 {
		return 0
	}
	least := s.choices[0].low
	for _, choice := range s.choices {
		least = min(least, choice.low)
	}
	return least
}

func (s Sizes) largest() int64 {
	var most int64
	for _, choice := range s.choices {
		most = max(most, choice.high)
	}
	return most
}

// of returns the size of the object whose key has this digest.
func (s Sizes) of(digest uint64) int64 {
	if len(s.choices) == 1 && s.choices[0].low == s.choices[0].high {
		return s.choices[0].low
	}
	high, low := bits.Mul64(mix64(digest), uint64(s.total)) // high: uniform in [0, total); low: the fraction that is left
	drawn := uint32(high)
	for _, choice := range s.choices {
		if drawn >= choice.weight {
			drawn -= choice.weight
			continue
		}
		if choice.low == choice.high {
			return choice.low
		}
		fraction := float64(mix64(low)>>11) / (1 << 53)
		from, to := math.Log(float64(choice.low)+1), math.Log(float64(choice.high)+1)
		size := int64(math.Exp(from+fraction*(to-from))) - 1
		return min(max(size, choice.low), choice.high)
	}
	panic("loader: a draw beyond the sum of the weights")
}
