package cipher

import (
	"bytes"
	"crypto/aes"
	stdcipher "crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/minio/sio"
	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects/errs"
)

// payload is content of which no two packages are alike.
func payload(n int) []byte {
	b := make([]byte, n)
	random := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = random.Read(b)
	return b
}

func testKey(b byte) Key {
	k, err := NewKey(bytes.Repeat([]byte{b}, KeyBytes))
	if err != nil {
		panic(err)
	}
	return k
}

func sealed(t testing.TB, plain []byte, key Key) []byte {
	t.Helper()
	b, err := io.ReadAll(NewSealer(bytes.NewReader(plain), key))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// read reads a range of a sealed payload as the gateway does.
func read(stored []byte, key Key, size, offset, length int64) ([]byte, error) {
	r, err := RangeOf(size, offset, length)
	if err != nil {
		return nil, err
	}
	from := min(r.Offset, int64(len(stored)))
	return io.ReadAll(NewReader(bytes.NewReader(stored[from:]), key, r))
}

// sizes are those at which packages begin and end.
func sizes() []int {
	return []int{0, 1, 2, PackageBytes - 1, PackageBytes, PackageBytes + 1, 2*PackageBytes - 1, 2 * PackageBytes, 2*PackageBytes + 1, 3*PackageBytes + 17}
}

// Any range of any size is the plain bytes, however sources and readers cut them.
func TestRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.SampledFrom(sizes()), rapid.IntRange(0, 5*PackageBytes)).Draw(t, "size")
		offset := rapid.IntRange(0, size).Draw(t, "offset")
		length := rapid.IntRange(0, size-offset).Draw(t, "length")
		plain, key := payload(size), testKey(1)
		var src io.Reader = bytes.NewReader(plain)
		if rapid.Bool().Draw(t, "halves") {
			src = iotest.HalfReader(src)
		}
		stored, err := io.ReadAll(NewSealer(src, key))
		if err != nil || int64(len(stored)) != Sealed(int64(size)) {
			t.Fatalf("%d bytes become %d, want %d; %v", size, len(stored), Sealed(int64(size)), err)
		}
		if n, err := Plain(int64(len(stored))); err != nil || n != int64(size) {
			t.Fatalf("%d sealed bytes are of %d, %v, want %d", len(stored), n, err, size)
		}
		r, err := RangeOf(int64(size), int64(offset), int64(length))
		if err != nil {
			t.Fatal(err)
		}
		src = bytes.NewReader(stored[r.Offset : r.Offset+r.Length])
		if rapid.Bool().Draw(t, "data with its end") {
			src = iotest.DataErrReader(src)
		}
		var reader io.Reader = NewReader(src, key, r)
		if rapid.Bool().Draw(t, "read by halves") {
			reader = iotest.HalfReader(reader)
		}
		got, err := io.ReadAll(reader)
		if err != nil || !bytes.Equal(got, plain[offset:offset+length]) {
			t.Fatalf("[%d,+%d) of %d: %d bytes, %v", offset, length, size, len(got), err)
		}
	})
}

// A range reads the packages that it touches, and no more.
func TestRangeReadsWhatItTouches(t *testing.T) {
	for _, c := range []struct{ size, offset, length, at, bytes int64 }{
		{10, 0, 10, 0, 42},
		{PackageBytes, PackageBytes - 1, 1, 0, packageSealed},
		{PackageBytes + 1, PackageBytes, 1, packageSealed, 33},
		{3 * PackageBytes, PackageBytes, PackageBytes, packageSealed, packageSealed},
		{3 * PackageBytes, PackageBytes - 1, 2, 0, 2 * packageSealed},
		{3 * PackageBytes, PackageBytes, 0, 0, 0},
	} {
		if r, err := RangeOf(c.size, c.offset, c.length); err != nil || r.Offset != c.at || r.Length != c.bytes {
			t.Errorf("[%d,+%d) of %d: %+v, %v, want %d at %d", c.offset, c.length, c.size, r, err, c.bytes, c.at)
		}
	}
	for _, c := range [][3]int64{{1, 0, 2}, {1, 2, 0}, {1, -1, 1}, {-1, 0, 0}, {MaxBytes + 1, 0, 1}, {1, 1, 1<<63 - 1}} {
		if r, err := RangeOf(c[0], c[1], c[2]); !errs.Is(errs.Invalid, err) {
			t.Errorf("%v: %+v, %v", c, r, err)
		}
	}
	if _, err := RangeOf(MaxBytes, MaxBytes-1, 1); err != nil {
		t.Error(err)
	}
}

// No other size than those of Sealed is one.
func TestSizes(t *testing.T) {
	is := make(map[int64]int64)
	for plain := int64(0); plain <= 2*PackageBytes+5; plain++ {
		is[Sealed(plain)] = plain
	}
	for n := int64(0); n <= Sealed(2*PackageBytes+5); n++ {
		want, ok := is[n]
		got, err := Plain(n)
		if ok != (err == nil) || ok && got != want {
			t.Fatalf("%d: %d, %v, want %d (%v)", n, got, err, want, ok)
		}
	}
	if Sealed(-1) != -1 {
		t.Error("a size that is not known")
	}
	if _, err := Plain(-1); !errs.Is(errs.Corrupt, err) {
		t.Error(err)
	}
}

// refused reads all of a stored payload and wants no byte that is not the plain one's, and
// Corrupt instead of the end.
func refused(t *testing.T, what string, stored, plain []byte, size int64, key Key) {
	t.Helper()
	got, err := read(stored, key, size, 0, size)
	if !errs.Is(errs.Corrupt, err) {
		t.Fatalf("%s: %d bytes, %v", what, len(got), err)
	}
	if !bytes.HasPrefix(plain, got) {
		t.Fatalf("%s: bytes were given that are not the payload's", what)
	}
}

// Every bit of a sealed payload counts.
func TestEveryBitCounts(t *testing.T) {
	key := testKey(1)
	plain := payload(40)
	stored := sealed(t, plain, key)
	for i := range len(stored) * 8 {
		flipped := bytes.Clone(stored)
		flipped[i/8] ^= 1 << (i % 8)
		refused(t, fmt.Sprintf("bit %d", i), flipped, plain, int64(len(plain)), key)
	}
	plain = payload(2*PackageBytes + 100)
	stored = sealed(t, plain, key)
	random := rand.New(rand.NewPCG(1, 2))
	tries := 300
	for range tries {
		i := random.IntN(len(stored) * 8)
		flipped := bytes.Clone(stored)
		flipped[i/8] ^= 1 << (i % 8)
		refused(t, fmt.Sprintf("bit %d", i), flipped, plain, int64(len(plain)), key)
	}
	if got, err := read(stored, key, int64(len(plain)), 0, int64(len(plain))); err != nil || !bytes.Equal(got, plain) { // the control
		t.Fatal(err)
	}
}

// Packages that are dropped, exchanged, repeated, cut, or of another payload are refused,
// and nothing of them is given: not even where whole packages are left that end as a
// payload does.
func TestPackagesHaveTheirPlace(t *testing.T) {
	key := testKey(1)
	plain := payload(3*PackageBytes + 100)
	size := int64(len(plain))
	stored := sealed(t, plain, key)
	p := func(i int) []byte { return stored[i*packageSealed : min((i+1)*packageSealed, len(stored))] }
	again := sealed(t, plain, key)
	q := func(i int) []byte { return again[i*packageSealed : min((i+1)*packageSealed, len(again))] }
	join := func(packages ...[]byte) []byte { return bytes.Join(packages, nil) }
	for what, other := range map[string][]byte{
		"the first dropped":              join(p(1), p(2), p(3)),
		"the second dropped":             join(p(0), p(2), p(3)),
		"two exchanged":                  join(p(1), p(0), p(2), p(3)),
		"one twice":                      join(p(0), p(0), p(2), p(3)),
		"the last dropped":               join(p(0), p(1), p(2)),
		"all but the first dropped":      p(0),
		"nothing left":                   {},
		"the last one early":             join(p(0), p(3)),
		"one of the same sealed again":   join(p(0), q(1), p(2), p(3)),
		"the last of one sealed again":   join(p(0), p(1), p(2), q(3)),
		"cut in a package":               stored[:packageSealed+100],
		"cut in a header":                stored[:packageSealed+7],
		"cut in the last package":        stored[:len(stored)-1],
		"a package that nobody ever saw": join(p(0), make([]byte, packageSealed), p(2), p(3)),
	} {
		refused(t, what, other, plain, size, key)
	}
	refused(t, "another key", stored, plain, size, testKey(2))

	// A record that says another size than the payload has, along package boundaries.
	for _, lied := range []int64{PackageBytes, 2 * PackageBytes, 3 * PackageBytes, size - 1, size + 1, size + PackageBytes} {
		got, err := read(stored, key, lied, 0, lied)
		if !errs.Is(errs.Corrupt, err) || !bytes.HasPrefix(plain, got) {
			t.Errorf("%d bytes taken for %d: %d given, %v", size, lied, len(got), err)
		}
		if whole := lied % PackageBytes; whole == 0 && int64(len(got)) > lied-PackageBytes {
			t.Errorf("%d bytes taken for %d: all were given before it was found out", size, lied)
		}
	}
	// Ranges see the same of what they touch.
	for _, c := range []struct {
		what           string
		stored         []byte
		offset, length int64
	}{
		{"a range in an exchanged package", join(p(0), p(2), p(1), p(3)), PackageBytes + 5, 10},
		{"a range behind a dropped one", join(p(1), p(2), p(3)), PackageBytes + 5, 10},
		{"the end, cut", join(p(0), p(1), p(2)), size - 5, 5},
	} {
		if got, err := read(c.stored, key, size, c.offset, c.length); !errs.Is(errs.Corrupt, err) || len(got) > 0 {
			t.Errorf("%s: %d bytes, %v", c.what, len(got), err)
		}
	}
}

// A body that is cut off is never sealed as if it had ended there: sio by itself takes
// io.ErrUnexpectedEOF for an end, which is what a gateway is told of a client that left.
func TestCutSourceIsNotSealed(t *testing.T) {
	for _, failure := range []error{io.ErrUnexpectedEOF, errors.New("the client has gone")} {
		for _, n := range []int{0, 1, 100, PackageBytes, PackageBytes + 1, 3 * PackageBytes} {
			src := io.MultiReader(bytes.NewReader(payload(n)), iotest.ErrReader(failure))
			b, err := io.ReadAll(NewSealer(src, testKey(1)))
			if !errors.Is(err, failure) {
				t.Errorf("%v after %d bytes: %d bytes, %v", failure, n, len(b), err)
			}
			for at := finalAt; at < len(b); at += packageSealed {
				if b[at]&finalBit != 0 {
					t.Errorf("%v after %d bytes: a last package was made", failure, n)
				}
			}
		}
	}
	src := io.MultiReader(bytes.NewReader(payload(100)), iotest.ErrReader(io.ErrUnexpectedEOF)) // the control
	raw, err := sio.EncryptReader(src, sio.Config{Key: testKey(1).Bytes(), MinVersion: sio.Version20})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(raw); err != nil || len(b) != int(Sealed(100)) {
		t.Fatalf("sio does not need to be guarded any more: %d bytes, %v", len(b), err)
	}
}

// A source that fails is no damage.
func TestSourceFails(t *testing.T) {
	key, plain := testKey(1), payload(2*PackageBytes)
	stored := sealed(t, plain, key)
	for _, failure := range []error{io.ErrUnexpectedEOF, errors.New("the disk is away")} {
		for _, n := range []int{0, 3, 100, packageSealed, packageSealed + 50} {
			r, err := RangeOf(int64(len(plain)), 0, int64(len(plain)))
			if err != nil {
				t.Fatal(err)
			}
			reader := NewReader(io.MultiReader(bytes.NewReader(stored[:n]), iotest.ErrReader(failure)), key, r)
			got, err := io.ReadAll(reader)
			if !errors.Is(err, failure) || errs.Is(errs.Corrupt, err) || !bytes.HasPrefix(plain, got) {
				t.Errorf("%v after %d bytes: %d given, %v", failure, n, len(got), err)
			}
			if _, again := reader.Read(make([]byte, 10)); !errors.Is(again, failure) {
				t.Errorf("and then %v", again)
			}
		}
	}
}

// What a package is, in the standard library's words: nobody who has key and format needs
// this package to read a payload.
func TestPackageIsAsDocumented(t *testing.T) {
	key, plain := testKey(3), payload(PackageBytes+9)
	stored, err := io.ReadAll(newSealer(bytes.NewReader(plain), key, sio.Config{CipherSuites: []byte{sio.AES_256_GCM}}))
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	aead, err := stdcipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for i := uint32(0); len(stored) > 0; i++ {
		n := min(packageSealed, len(stored))
		p := stored[:n]
		stored = stored[n:]
		nonce := bytes.Clone(p[4:16])
		binary.LittleEndian.PutUint32(nonce[8:], binary.LittleEndian.Uint32(nonce[8:])^i)
		if got, err = aead.Open(got, nonce, p[16:], p[:4]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, plain) {
		t.Error("it is another payload")
	}
}

// Whatever lies on a disk or comes from another node, it is the payload's bytes or refused,
// and costs no more memory than a package.
func FuzzReader(f *testing.F) {
	key, plain := testKey(1), payload(PackageBytes+100)
	stored := sealed(f, plain, key)
	f.Add(stored, int64(len(plain)), int64(0), int64(len(plain)))
	f.Add(stored[packageSealed:], int64(len(plain)), int64(PackageBytes), int64(100))
	f.Add(stored[:50], int64(18), int64(3), int64(4))
	f.Add([]byte{}, int64(0), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, size, offset, length int64) {
		r, err := RangeOf(size, offset, length)
		if err != nil {
			return
		}
		if r.Length < 0 || r.Offset < 0 || r.Offset+r.Length > Sealed(size) {
			t.Fatalf("[%d,+%d) of %d is %+v", offset, length, size, r)
		}
		got, err := io.ReadAll(NewReader(bytes.NewReader(b), key, r))
		if err == nil && int64(len(got)) != length {
			t.Fatalf("%d bytes of %d", len(got), length)
		}
		if err != nil && !errs.Is(errs.Corrupt, err) {
			t.Fatal(err)
		}
		if end := offset + int64(len(got)); len(got) > 0 && (end > int64(len(plain)) || !bytes.Equal(got, plain[offset:end])) {
			t.Fatal("bytes were given that were never sealed")
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	plain, key := payload(1<<20), testKey(1)
	b.SetBytes(int64(len(plain)))
	buffer := make([]byte, 128<<10)
	for b.Loop() {
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, NewSealer(bytes.NewReader(plain), key), buffer); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	plain, key := payload(1<<20), testKey(1)
	stored := sealed(b, plain, key)
	b.SetBytes(int64(len(plain)))
	buffer := make([]byte, 128<<10)
	for b.Loop() {
		r, err := RangeOf(int64(len(plain)), 0, int64(len(plain)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, NewReader(bytes.NewReader(stored), key, r), buffer); err != nil {
			b.Fatal(err)
		}
	}
}
