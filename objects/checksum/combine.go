package checksum

import (
	"encoding/binary"
	"fmt"
)

// Piece is one part of a whole: its checksum and its size in bytes.
type Piece struct {
	Sum  string
	Size int64
}

// Combine makes the checksum of a whole from those of its parts: for a
// composite one the hash of the sums, for a full-object one the CRC of the
// concatenation.
func Combine(w Wanted, pieces []Piece) (Value, error) {
	if err := w.Check(); err != nil {
		return Value{}, err
	}
	for i, p := range pieces {
		if len(p.Sum) != w.Algorithm.Size() {
			return Value{}, fmt.Errorf("part %d has a %s sum of %d bytes", i+1, w.Algorithm, len(p.Sum))
		}
	}
	if w.Type == Composite {
		h := w.Algorithm.New()
		for _, p := range pieces {
			h.Write([]byte(p.Sum))
		}
		v := Of(w.Algorithm, h)
		v.Type, v.Parts = Composite, len(pieces)
		return v, nil
	}
	var poly uint64
	var width int
	switch w.Algorithm {
	case CRC32:
		poly, width = 0xedb88320, 32
	case CRC32C:
		poly, width = 0x82f63b78, 32
	case CRC64NVME:
		poly, width = 0x9a6c9329ac4bc9b5, 64
	default:
		return Value{}, fmt.Errorf("%s cannot be combined", w.Algorithm)
	}
	var whole uint64
	for i, p := range pieces {
		var crc uint64
		if width == 32 {
			crc = uint64(binary.BigEndian.Uint32([]byte(p.Sum)))
		} else {
			crc = binary.BigEndian.Uint64([]byte(p.Sum))
		}
		if i == 0 {
			whole = crc
			continue
		}
		whole = multiply(whole, zeroBytes(uint64(p.Size), poly, width), poly, width) ^ crc
	}
	var sum []byte
	if width == 32 {
		sum = binary.BigEndian.AppendUint32(nil, uint32(whole))
	} else {
		sum = binary.BigEndian.AppendUint64(nil, whole)
	}
	return Value{Algorithm: w.Algorithm, Sum: string(sum)}, nil
}

// The CRCs are reflected: bit 0 is the coefficient of the highest power.
// Appending n bytes multiplies a CRC by x^(8n) modulo the polynomial.
// Source: M. Adler, zlib, crc32_combine, as an idea; Ross Williams, "A painless
// guide to CRC error detection algorithms".

// multiply returns a·b modulo the polynomial.
func multiply(a, b, poly uint64, width int) uint64 {
	var product uint64
	for bit := width - 1; bit >= 0; bit-- {
		if b>>uint(bit)&1 == 1 {
			product ^= a
		}
		low := a & 1
		a >>= 1
		if low == 1 {
			a ^= poly
		}
	}
	return product
}

// zeroBytes returns x^(8n) modulo the polynomial.
func zeroBytes(n, poly uint64, width int) uint64 {
	result := uint64(1) << uint(width-1)  // x^0
	power := uint64(1) << uint(width-1-8) // x^8
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			result = multiply(result, power, poly, width)
		}
		power = multiply(power, power, poly, width)
	}
	return result
}
