package conformance

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/backend"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Run tests a backend, and returns what it left out, in order.
func Run(t *testing.T, f Fixture) (left []string) {
	t.Helper()
	limits := f.New(t).Limits()
	run := func(name string, may bool, do func(c *check)) {
		if !may {
			left = append(left, name)
			return
		}
		t.Run(name, func(t *testing.T) {
			c := &check{T: t, Bucket: f.New(t), random: rand.New(rand.NewPCG(1, 2))}
			do(c)
			if c.Bodies != nil && c.Bodies() != 0 {
				t.Errorf("%d bodies are open", c.Bodies())
			}
			for _, what := range c.left {
				if !slices.Contains(left, what) {
					left = append(left, what)
				}
			}
		})
	}
	run("names", true, (*check).names)
	run("sizes", true, (*check).sizes)
	run("ranges", true, (*check).ranges)
	run("absent", true, (*check).absent)
	run("versions", true, (*check).versions)
	run("replaced while it is read", true, (*check).replaced)
	run("canceled", true, (*check).canceled)
	run("troubles", true, (*check).troubles)
	run("writes", limits.Writes, (*check).writes)
	run("conditions", limits.Writes && limits.Conditions, (*check).conditions)
	run("pages", limits.Lists, (*check).pages)
	run("delimiters", limits.Lists, (*check).delimiters)
	slices.Sort(left)
	return left
}

// check is one case.
type check struct {
	*testing.T
	Bucket
	random *rand.Rand
	left   []string
}

func (c *check) bytes(n int) []byte {
	content := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		binary.NativeEndian.PutUint64(content[i:], c.random.Uint64())
	}
	return content[:n]
}

// put puts an object, whichever way there is.
func (c *check) put(name string, content []byte) {
	c.Helper()
	if c.Fill != nil {
		c.Fill(name, content)
		return
	}
	got, err := c.Put(c.Context(), name, backend.Put{}, bytes.NewReader(content), int64(len(content)))
	if err != nil {
		c.Fatalf("%q: %v", name, err)
	}
	if got.Name != name || got.Size != int64(len(content)) {
		c.Fatalf("%q: %+v", name, got)
	}
}

// get reads what was asked for.
func (c *check) get(ctx context.Context, name string, r backend.Read) (backend.Object, []byte, error) {
	object, body, err := c.Open(ctx, name, r)
	if err != nil {
		if body != nil {
			c.Errorf("%q: a body beside %v", name, err)
		}
		return object, nil, err
	}
	content, err := io.ReadAll(body)
	return object, content, errors.Join(err, body.Close())
}

// holds fails unless an object is what it should be.
func (c *check) holds(name string, want []byte) backend.Object {
	c.Helper()
	object, got, err := c.get(c.Context(), name, backend.All())
	if err != nil || !bytes.Equal(got, want) {
		c.Fatalf("%q: %d bytes, want %d: %v", name, len(got), len(want), err)
	}
	head, err := c.Head(c.Context(), name)
	if err != nil {
		c.Fatalf("%q: %v", name, err)
	}
	for what, o := range map[string]backend.Object{"GET": object, "HEAD": head} {
		if o.Name != name || o.Size != int64(len(want)) {
			c.Errorf("%s of %q: %q of %d bytes", what, name, o.Name, o.Size)
		}
	}
	if object.ETag != head.ETag || object.Version != head.Version || !object.Modified.Equal(head.Modified) {
		c.Errorf("%q: GET and HEAD differ: %+v, %+v", name, object, head)
	}
	return head
}

func (c *check) fails(kind errs.Kind, err error, what string, args ...any) {
	c.Helper()
	if !errs.Is(kind, err) {
		c.Errorf("%s: %v, want %s", fmt.Sprintf(what, args...), err, kind)
	}
}

// kinds are names of every kind.
func kinds() []string {
	return []string{
		"a", "A", "a/b/c", "a//b", "a b", " a", "a ", "a+b", "a%b", "a%20b", "a%2Fb", "a?b=c", "a#b", "a&b;c=d", "a'b\"c", "a\\b", "a:b@c", "a*b", "a|b<c>",
		"ä/ö/ü", "日本語", "🙂", "e\u0301", "\u00e9", "a\x01b", "a\tb", "a\u007fb", ".a", "a.", "..a", "a..b", "dir/", "~a", "-a", strings.Repeat("n", 1024), strings.Repeat("é", 512),
		".", "..", "a/./b", "a/../b", "/a", "a/..",
	}
}

func (c *check) names() {
	at := make(map[string][]byte)
	for _, name := range kinds() {
		if c.Names != nil && !c.Names(name) {
			c.left = append(c.left, fmt.Sprintf("name %q", name))
			if _, err := c.Head(c.Context(), name); !errs.Is(errs.Invalid, err) {
				c.Errorf("%q cannot be there, and HEAD says %v", name, err)
			}
			if _, _, err := c.get(c.Context(), name, backend.All()); !errs.Is(errs.Invalid, err) {
				c.Errorf("%q cannot be there, and GET says %v", name, err)
			}
			continue
		}
		at[name] = []byte("this is " + name)
		c.put(name, at[name])
	}
	for name, content := range at {
		c.holds(name, content)
	}
}

func (c *check) sizes() {
	for _, size := range []int{0, 1, 2, 511, 4096, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1<<20 + 3, 9<<20 + 1} {
		name := fmt.Sprint("size-", size)
		content := c.bytes(size)
		c.put(name, content)
		c.holds(name, content)
	}
}

func (c *check) ranges() {
	content := c.bytes(300_001)
	c.put("object", content)
	c.put("empty", nil)
	size := int64(len(content))
	reads := []backend.Read{{}, {Length: 1}, {Offset: 1, Length: -1}, {Offset: size - 1, Length: -1}, {Offset: size - 1, Length: 9}, {Offset: 5, Length: 0}, {Length: size}, {Length: size + 1}}
	for range 40 {
		reads = append(reads, backend.Read{Offset: c.random.Int64N(size), Length: c.random.Int64N(size) - 5})
	}
	for _, r := range reads {
		end := size
		if r.Length >= 0 {
			end = min(end, r.Offset+r.Length)
		}
		object, got, err := c.get(c.Context(), "object", r)
		if err != nil || !bytes.Equal(got, content[r.Offset:end]) || object.Size != size {
			c.Errorf("%+v: %d bytes of %d: %v", r, len(got), object.Size, err)
		}
	}
	for _, offset := range []int64{-1, size, size + 1} {
		_, _, err := c.get(c.Context(), "object", backend.Read{Offset: offset, Length: -1})
		c.fails(errs.Invalid, err, "offset %d of %d", offset, size)
	}
	if _, got, err := c.get(c.Context(), "empty", backend.All()); err != nil || len(got) != 0 {
		c.Errorf("an empty object: %d bytes, %v", len(got), err)
	}
	_, _, err := c.get(c.Context(), "empty", backend.Read{Offset: 1, Length: -1})
	c.fails(errs.Invalid, err, "offset 1 of an empty object")
}

func (c *check) absent() {
	_, err := c.Head(c.Context(), "absent")
	c.fails(errs.NotFound, err, "HEAD")
	_, _, err = c.get(c.Context(), "absent", backend.All())
	c.fails(errs.NotFound, err, "GET")
	_, _, err = c.get(c.Context(), "absent", backend.Read{Offset: 7, Length: 1})
	c.fails(errs.NotFound, err, "GET of a range")
}

// versions are told, and change with the content.
func (c *check) versions() {
	one, two := c.bytes(1000), c.bytes(1000)
	c.put("object", one)
	old := c.holds("object", one)
	if old.Version == "" {
		c.Fatal("an object has no version")
	}
	if _, got, err := c.get(c.Context(), "object", backend.Read{Offset: 10, Length: 20, Version: old.Version}); err != nil || !bytes.Equal(got, one[10:30]) {
		c.Errorf("of the version that is there %d bytes, %v", len(got), err)
	}
	c.put("object", two)
	if now := c.holds("object", two); now.Version == old.Version {
		c.Errorf("both contents have version %s", now.Version)
	}
	for _, r := range []backend.Read{{Length: -1, Version: old.Version}, {Offset: 10, Length: 20, Version: old.Version}} {
		_, _, err := c.get(c.Context(), "object", r)
		c.fails(errs.Conflict, err, "%+v of the version before", r)
	}
}

// replaced: a body is of one version, or fails.
func (c *check) replaced() {
	one, two := c.bytes(8<<20), c.bytes(8<<20)
	c.put("object", one)
	_, body, err := c.Open(c.Context(), "object", backend.All())
	if err != nil {
		c.Fatal(err)
	}
	got := make([]byte, 1000)
	if _, err := io.ReadFull(body, got); err != nil {
		c.Fatal(err)
	}
	c.put("object", two)
	rest, err := io.ReadAll(body)
	if got = append(got, rest...); err == nil && !bytes.Equal(got, one) {
		c.Error("the body is whole, and is not what was opened")
	}
	if err := body.Close(); err != nil {
		c.Error(err)
	}
	c.holds("object", two)
}

// canceled: the context of a call ends it, and its body.
func (c *check) canceled() {
	content := c.bytes(8 << 20)
	c.put("object", content)
	over, cancel := context.WithCancel(c.Context())
	cancel()
	_, err := c.Head(over, "object")
	c.fails(errs.Canceled, err, "HEAD")
	_, _, err = c.get(over, "object", backend.All())
	c.fails(errs.Canceled, err, "GET")
	_, err = c.Info(over)
	c.fails(errs.Canceled, err, "Info")
	if limits := c.Limits(); limits.Lists {
		_, err = c.List(over, backend.ListRequest{})
		c.fails(errs.Canceled, err, "List")
	}
	if c.Limits().Writes {
		_, err = c.Put(over, "other", backend.Put{}, bytes.NewReader(content), int64(len(content)))
		c.fails(errs.Canceled, err, "Put")
		c.fails(errs.Canceled, c.Delete(over, "object"), "Delete")
	}
	ctx, cancel := context.WithCancel(c.Context())
	_, body, err := c.Open(ctx, "object", backend.All())
	if err != nil {
		c.Fatal(err)
	}
	if _, err := io.ReadFull(body, make([]byte, 10)); err != nil {
		c.Fatal(err)
	}
	cancel()
	if n, err := io.Copy(io.Discard, body); err == nil && n+10 < int64(len(content)) {
		c.Errorf("a body that was canceled ends well after %d of %d bytes", n+10, len(content))
	} else if err != nil {
		c.fails(errs.Canceled, err, "a body")
	}
	if err := body.Close(); err != nil {
		c.Error(err)
	}
	c.holds("object", content)
}

func (c *check) troubles() {
	content := c.bytes(4 << 20)
	c.put("object", content)
	for _, trouble := range []Trouble{Denied, SlowDown, Away, Cut, Stalled} {
		begin := c.Troubles[trouble]
		if begin == nil {
			c.left = append(c.left, string(trouble))
			continue
		}
		end := begin()
		switch kind := map[Trouble]errs.Kind{Denied: errs.Denied, SlowDown: errs.Busy, Away: errs.Offline}[trouble]; trouble {
		case Cut:
			object, got, err := c.get(c.Context(), "object", backend.All())
			c.fails(errs.Offline, err, "a body that is cut after %d of %d bytes", len(got), object.Size)
			if !bytes.HasPrefix(content, got) {
				c.Error("a body that is cut is not the beginning of the object")
			}
		case Stalled:
			ctx, cancel := context.WithCancel(c.Context())
			_, body, err := c.Open(ctx, "object", backend.All())
			if err != nil {
				c.Fatal(err)
			}
			half := make([]byte, len(content)/4)
			if _, err := io.ReadFull(body, half); err != nil || !bytes.HasPrefix(content, half) {
				c.Errorf("of a body that stands still a quarter did not come: %v", err)
			}
			cancel()
			_, err = io.Copy(io.Discard, body)
			c.fails(errs.Canceled, err, "a body that stands still")
			if err := body.Close(); err != nil {
				c.Error(err)
			}
		default:
			_, err := c.Head(c.Context(), "object")
			c.fails(kind, err, "%s: HEAD", trouble)
			_, _, err = c.get(c.Context(), "object", backend.All())
			c.fails(kind, err, "%s: GET", trouble)
			if c.Limits().Lists {
				_, err = c.List(c.Context(), backend.ListRequest{})
				c.fails(kind, err, "%s: List", trouble)
			}
			if c.Limits().Writes {
				_, err = c.Put(c.Context(), "object", backend.Put{}, strings.NewReader("x"), 1)
				c.fails(kind, err, "%s: Put", trouble)
				c.fails(kind, c.Delete(c.Context(), "object"), "%s: Delete", trouble)
			}
		}
		end()
		c.holds("object", content) // whatever it was is over
	}
}

func (c *check) writes() {
	content := c.bytes(100_000)
	p := backend.Put{}
	p.Headers.ContentType, p.Headers.CacheControl = "image/png", "no-cache"
	p.User = append(p.User, pair("color", "blue"), pair("shape", "round"))
	limits := c.Limits()
	for _, a := range limits.Sums {
		hash := a.New()
		hash.Write(content)
		p.Sums = []checksum.Value{checksum.Of(a, hash)}
		name := "with-" + a.String()
		if _, err := c.Put(c.Context(), name, p, bytes.NewReader(content), int64(len(content))); err != nil {
			c.Fatalf("%s: %v", a, err)
		}
		head := c.holds(name, content)
		if got, ok := checksum.Find(head.Sums, a); !ok || got != p.Sums[0] {
			c.Errorf("%s is %s, want %s", a, got, p.Sums[0])
		}
		if head.Headers.ContentType != "image/png" || head.Headers.CacheControl != "no-cache" || !slices.Equal(head.User, p.User) {
			c.Errorf("what was put with it is %+v, %+v", head.Headers, head.User)
		}
		wrong := p
		wrong.Sums = []checksum.Value{{Algorithm: a, Sum: strings.Repeat("x", a.Size())}}
		_, err := c.Put(c.Context(), name, wrong, bytes.NewReader(content[1:]), int64(len(content)-1))
		c.fails(errs.Corrupt, err, "a wrong %s", a)
		c.holds(name, content)
	}
	if len(limits.Sums) == 0 {
		c.left = append(c.left, "sums")
	}
	c.put("gone", content)
	for range 2 {
		if err := c.Delete(c.Context(), "gone"); err != nil {
			c.Error(err)
		}
		_, err := c.Head(c.Context(), "gone")
		c.fails(errs.NotFound, err, "what was deleted")
	}
	if info, err := c.Info(c.Context()); err != nil || info.Name == "" {
		c.Errorf("%+v, %v", info, err)
	}
}

func (c *check) conditions() {
	put := func(condition *backend.Condition, content string) (backend.Object, error) {
		return c.Put(c.Context(), "object", backend.Put{If: condition}, strings.NewReader(content), int64(len(content)))
	}
	absent := &backend.Condition{}
	_, err := put(&backend.Condition{Version: "0"}, "nothing is there")
	c.fails(errs.Conflict, err, "a version of nothing")
	one, err := put(absent, "one")
	if err != nil {
		c.Fatal(err)
	}
	_, err = put(absent, "two")
	c.fails(errs.Conflict, err, "absent")
	c.holds("object", []byte("one"))
	two, err := put(&backend.Condition{Version: one.Version}, "two")
	if err != nil {
		c.Fatal(err)
	}
	_, err = put(&backend.Condition{Version: one.Version}, "three")
	c.fails(errs.Conflict, err, "the version before")
	if now := c.holds("object", []byte("two")); now.Version != two.Version {
		c.Errorf("version %s, put was told %s", now.Version, two.Version)
	}
}
