package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-storage/troupe/backend"
	"github.com/troupe-storage/troupe/objects"
)

func pair(name, value string) objects.Pair { return objects.Pair{Name: name, Value: value} }

// list lists everything by pages of a size.
func (c *check) list(r backend.ListRequest) (names, prefixes []string) {
	c.Helper()
	for pages := 0; ; pages++ {
		page, err := c.List(c.Context(), r)
		if err != nil {
			c.Fatalf("%+v: %v", r, err)
		}
		for _, o := range page.Objects {
			names = append(names, o.Name)
			if o.Size != int64(len(o.Name)) {
				c.Errorf("%q has %d bytes in the list, want %d", o.Name, o.Size, len(o.Name))
			}
		}
		prefixes = append(prefixes, page.Prefixes...)
		if count := len(page.Objects) + len(page.Prefixes); r.Limit > 0 && count > r.Limit || page.More && count == 0 {
			c.Fatalf("%+v: a page of %d entries; more: %t", r, count, page.More)
		}
		if !page.More {
			return names, prefixes
		}
		if page.Last <= r.After || pages > 10_000 {
			c.Fatalf("%+v: the next page is to be after %q", r, page.Last)
		}
		r.After = page.Last
	}
}

// fill puts objects whose content is their name.
func (c *check) fill(names []string) {
	c.Helper()
	for _, name := range names {
		c.put(name, []byte(name))
	}
}

func (c *check) pages() {
	names := []string{"a", "a/", "a/b", "a-", "a0", "b", "ba", "bb", "c/d/e", "c/d/f", "c/e", "é", "日", "z z", "z+z", "z%41", "z&z"}
	for i := range 40 {
		names = append(names, fmt.Sprintf("n%03d", i*7%40))
	}
	c.fill(names)
	slices.Sort(names)
	for _, prefix := range []string{"", "a", "a/", "n", "n01", "z", "absent", "é"} {
		for _, after := range []string{"", "a", "a/b", "n005", "n005x", "zzz", "日"} {
			var want []string
			for _, name := range names {
				if strings.HasPrefix(name, prefix) && name > after {
					want = append(want, name)
				}
			}
			for _, limit := range []int{0, 1, 2, 7, 57, 1000} {
				if limit == 1 && len(want) > 20 {
					continue
				}
				if got, _ := c.list(backend.ListRequest{Prefix: prefix, After: after, Limit: limit}); !slices.Equal(got, want) {
					c.Fatalf("prefix %q after %q by %d: %q, want %q", prefix, after, limit, got, want)
				}
			}
		}
	}
}

func (c *check) delimiters() {
	names := []string{"a", "a/1", "a/2", "a/b/3", "a/b/4", "a/c", "b//x", "b/y", "c", "d/", "d/e", "é/1", "é/2"}
	c.fill(names)
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/", "b/", "d/", "é"} {
		var want, below []string
		for _, name := range names {
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			rest := name[len(prefix):]
			if at := strings.Index(rest, "/"); at < 0 {
				want = append(want, name)
			} else if entry := prefix + rest[:at+1]; !slices.Contains(below, entry) {
				below = append(below, entry)
			}
		}
		for _, limit := range []int{0, 1, 2, 3} {
			got, prefixes := c.list(backend.ListRequest{Prefix: prefix, Delimiter: "/", Limit: limit})
			if !slices.Equal(got, want) || !slices.Equal(prefixes, below) {
				c.Fatalf("prefix %q by %d: %q and %q, want %q and %q", prefix, limit, got, prefixes, want, below)
			}
		}
	}
}
