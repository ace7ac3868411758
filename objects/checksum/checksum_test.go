package checksum

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// The CRC of a whole, combined from its parts', is the CRC of the whole: a
// multipart object's checksum must not depend on how it was cut.
func TestCombinedCRCIsTheCRCOfTheWhole(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, a := range []Algorithm{CRC32, CRC32C, CRC64NVME} {
		for range 50 {
			var whole bytes.Buffer
			var pieces []Piece
			for range 1 + random.IntN(5) {
				part := make([]byte, random.IntN(5000))
				for i := range part {
					part[i] = byte(random.Uint32())
				}
				whole.Write(part)
				h := a.New()
				h.Write(part)
				pieces = append(pieces, Piece{Sum: Of(a, h).Sum, Size: int64(len(part))})
			}
			got, err := Combine(Wanted{a, FullObject}, pieces)
			if err != nil {
				t.Fatal(err)
			}
			h := a.New()
			h.Write(whole.Bytes())
			if want := Of(a, h); got != want {
				t.Fatalf("%s of %d parts: %s, want %s", a, len(pieces), got, want)
			}
		}
	}
}

// Known sums of "123456789", the check values of the CRC catalogue
// (reveng.sourceforge.io) and FIPS 180.
func TestKnownSums(t *testing.T) {
	for a, want := range map[Algorithm]string{
		CRC32:     "y/Q5Jg==",
		CRC32C:    "4waSgw==",
		CRC64NVME: "rosUhgp5mIg=",
		SHA1:      "98O8HYCOBHMq32eZZczDTKeuNEE=",
	} {
		h := a.New()
		h.Write([]byte("123456789"))
		if got := Of(a, h).String(); got != want {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
}

// What S3 writes is read back, and what is not a checksum is refused.
func TestParseValue(t *testing.T) {
	v, err := ParseValue(SHA256, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=-3")
	if err != nil || v.Type != Composite || v.Parts != 3 {
		t.Fatalf("%+v, %v", v, err)
	}
	for _, bad := range []string{"", "!!!!", "AAAA", "AAAAAA==-0", "AAAAAA==-x", "AAAAAA"} {
		if v, err := ParseValue(CRC32, bad); err == nil {
			t.Errorf("%q was read as %+v", bad, v)
		}
	}
}
