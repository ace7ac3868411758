package cipher

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/minio/sio"

	"github.com/troupe-storage/troupe/objects/errs"
)

// vectors are what was sealed once, and has to be opened for ever.
type vectors struct {
	Secrets  []secretVector
	Payloads []payloadVector
}

type secretVector struct{ Seed, Cluster, Fingerprint, Salt, Plain, Additional, Sealed string }

type payloadVector struct {
	Key    string // the data key
	Part   int    // 0: of an object
	Suite  byte   // 0 AES-256-GCM, 1 ChaCha20-Poly1305
	Nonce  string
	Size   int    // of the plain bytes, each of which is its place modulo 251
	Sealed string // or, of more than a hundred bytes, SHA-256 of it
}

// pattern is a payload that everyone can make again.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func (v *secretVector) seal(t *testing.T) *Seal {
	t.Helper()
	s, err := NewSeal([]byte(v.Seed), v.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func bytesOf(t *testing.T, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (v *payloadVector) stored(t *testing.T) (stored []byte, key Key) {
	t.Helper()
	key, err := NewKey(bytesOf(t, v.Key))
	if err != nil {
		t.Fatal(err)
	}
	if key = key.Object(); v.Part > 0 {
		data, err := NewKey(bytesOf(t, v.Key))
		if err != nil {
			t.Fatal(err)
		}
		key = data.Part(v.Part)
	}
	nonce := [12]byte(bytesOf(t, v.Nonce))
	stored, err = io.ReadAll(newSealer(bytes.NewReader(pattern(v.Size)), key, sio.Config{CipherSuites: []byte{v.Suite}, Nonce: &nonce}))
	if err != nil {
		t.Fatal(err)
	}
	return stored, key
}

func told(stored []byte) string {
	if len(stored) > 100 {
		return fmt.Sprintf("sha256 %x", sha256.Sum256(stored))
	}
	return hex.EncodeToString(stored)
}

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files in testdata")

// What was sealed by an earlier version is opened by this one: secrets and payloads lie on
// disks for years.
func TestVectors(t *testing.T) {
	const file = "testdata/vectors.json"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all vectors
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Secrets) < 2 || len(all.Payloads) < 6 {
		t.Fatal("vectors are missing")
	}
	for i := range all.Secrets {
		v := &all.Secrets[i]
		seal := v.seal(t)
		made := hex.EncodeToString(seal.key.sealWith([saltBytes]byte(bytesOf(t, v.Salt)), []byte(v.Plain), v.Additional))
		if *rewrite {
			v.Fingerprint, v.Sealed = seal.Fingerprint().String(), made
		}
		if made != v.Sealed || seal.Fingerprint().String() != v.Fingerprint {
			t.Errorf("secret %d: %s %s", i, seal.Fingerprint(), made)
		}
		var by Fingerprint
		if err := by.UnmarshalText([]byte(v.Fingerprint)); err != nil {
			t.Fatal(err)
		}
		if plain, err := NewSeals(seal).Open(by, bytesOf(t, v.Sealed), v.Additional); err != nil || string(plain) != v.Plain {
			t.Errorf("secret %d: %q, %v", i, plain, err)
		}
	}
	for i := range all.Payloads {
		v := &all.Payloads[i]
		stored, key := v.stored(t)
		if *rewrite {
			v.Sealed = told(stored)
		}
		if told(stored) != v.Sealed {
			t.Errorf("payload %d: %s", i, told(stored))
		}
		if len(stored) <= 100 {
			stored = bytesOf(t, v.Sealed)
		}
		if plain, err := read(stored, key, int64(v.Size), 0, int64(v.Size)); err != nil || !bytes.Equal(plain, pattern(v.Size)) {
			t.Errorf("payload %d: %v", i, err)
		}
	}
	if *rewrite {
		text, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A secret is opened by who has key and name, and by nobody else.
func TestSecrets(t *testing.T) {
	key := testKey(1)
	for _, plain := range []string{"", "x", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"} {
		s := key.Seal([]byte(plain), "AKID")
		if len(s) != len(plain)+Overhead || plain != "" && len(plain) > 4 && bytes.Contains(s, []byte(plain)) {
			t.Fatalf("%q becomes %q", plain, s)
		}
		if got, err := key.Open(s, "AKID"); err != nil || string(got) != plain {
			t.Fatalf("%q, %v", got, err)
		}
		if bytes.Equal(s, key.Seal([]byte(plain), "AKID")) {
			t.Error("the same twice: it has no salt")
		}
		for i := range len(s) * 8 {
			flipped := bytes.Clone(s)
			flipped[i/8] ^= 1 << (i % 8)
			if got, err := key.Open(flipped, "AKID"); !errs.Is(errs.Denied, err) {
				t.Fatalf("bit %d: %q, %v", i, got, err)
			}
		}
		for n := range len(s) {
			if got, err := key.Open(s[:n], "AKID"); !errs.Is(errs.Denied, err) {
				t.Fatalf("cut at %d: %q, %v", n, got, err)
			}
		}
		if _, err := key.Open(s, "AKIE"); !errs.Is(errs.Denied, err) {
			t.Errorf("of another access key: %v", err)
		}
		if _, err := testKey(2).Open(s, "AKID"); !errs.Is(errs.Denied, err) {
			t.Errorf("with another key: %v", err)
		}
	}
}

// Keys that are computed from one another are all different.
func TestKeysAreApart(t *testing.T) {
	seen := make(map[Key]string)
	add := func(what string, k Key) {
		if was, is := seen[k]; is {
			t.Errorf("%s and %s are the same key", was, what)
		}
		seen[k] = what
	}
	data := testKey(1)
	add("the data key", data)
	add("of the object", data.Object())
	for n := range 10001 {
		add(fmt.Sprintf("of part %d", n), data.Part(n))
	}
	one, err := NewSeal([]byte("seed"), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewSeal([]byte("seed"), "b")
	if err != nil {
		t.Fatal(err)
	}
	third, err := NewSeal([]byte("seef"), "a")
	if err != nil {
		t.Fatal(err)
	}
	add("the seal of a", one.key)
	add("the seal of b", other.key)
	add("the seal of another seed", third.key)
	if one.Fingerprint() == other.Fingerprint() || one.Fingerprint() == third.Fingerprint() {
		t.Error("fingerprints")
	}
	if bytes.HasPrefix(one.key.Bytes(), one.fingerprint[:]) {
		t.Error("the fingerprint tells the key")
	}
}

// A seal that is not there is told by its fingerprint, and is no denial: with the seed of
// before it can be opened.
func TestSeals(t *testing.T) {
	before, err := NewSeal([]byte("the seed of before"), "c")
	if err != nil {
		t.Fatal(err)
	}
	now, err := NewSeal([]byte("the seed of now"), "c")
	if err != nil {
		t.Fatal(err)
	}
	s := before.Seal([]byte("secret"), "AKID")
	if got, err := NewSeals(now, before).Open(before.Fingerprint(), s, "AKID"); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := NewSeals(now).Open(before.Fingerprint(), s, "AKID"); !errors.Is(err, ErrOtherSeal) || !errs.Is(errs.Offline, err) {
		t.Errorf("%v", err)
	}
	if _, err := NewSeals(now, before).Open(now.Fingerprint(), s, "AKID"); !errs.Is(errs.Denied, err) {
		t.Errorf("%v", err)
	}
	if _, err := NewSeal(nil, "c"); !errs.Is(errs.Invalid, err) {
		t.Errorf("a seal of nothing: %v", err)
	}
	if _, err := NewKey(make([]byte, 31)); !errs.Is(errs.Invalid, err) {
		t.Errorf("a key of 31 bytes: %v", err)
	}
}

// Nothing prints a key, by whatever verb.
func TestKeysArePrintedByNothing(t *testing.T) {
	key := testKey('Z')
	seal, err := NewSeal([]byte("the seed of now"), "c")
	if err != nil {
		t.Fatal(err)
	}
	holder := struct {
		K Key
		S *Seal
		P *Key
	}{key, seal, &key}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		for _, v := range []any{key, &key, seal, holder, []Key{key}} {
			text := fmt.Sprintf(verb, v)
			for _, k := range []Key{key, seal.key} {
				for _, shown := range []string{string(k.Bytes()[:4]), hex.EncodeToString(k.Bytes()[:4]), fmt.Sprintf("%X", k.Bytes()[:4]), fmt.Sprint(k.Bytes()[:4])[1:10]} {
					if bytes.Contains([]byte(text), []byte(shown)) {
						t.Errorf("%s of %T shows the key: %s", verb, v, text)
					}
				}
			}
		}
	}
	text, err := json.Marshal(holder)
	if err != nil || bytes.Contains(text, []byte("ZZ")) {
		t.Errorf("%s, %v", text, err)
	}
}
