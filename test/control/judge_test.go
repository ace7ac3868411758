package control_test

import (
	"fmt"
	"path"
	"strings"
	"testing"
	"time"
)

// operation is what kind of request met with a mishap.
type operation string

const (
	write  operation = "write"  // small: one message to a lane
	upload operation = "upload" // large: a transfer before that
	pieces operation = "parts"  // of an upload in parts: a look at it before that
	read   operation = "read"
	list   operation = "list"
)

// mishap is an answer that a client may repeat.
type mishap struct {
	operation operation
	key       string // empty: none
	mountpath string // address of the actors that the request needed, beside edges and buckets
	writer    string
	reader    string
	at, took  time.Duration
	answer    string
}

func (m mishap) String() string {
	return fmt.Sprintf("%s %s (%s, %s) answered at %s after %s: %.150s", m.operation, m.key, m.writer, m.reader,
		m.at.Round(time.Millisecond), m.took.Round(time.Millisecond), m.answer)
}

// matches is path.Match for patterns that are well formed.
func matches(pattern, address string) bool {
	ok, err := path.Match(pattern, address)
	if err != nil {
		panic(err)
	}
	return ok
}

// isBelow reports whether an address is another, or below it.
func isBelow(address, above string) bool {
	return address == above || strings.HasPrefix(address, above+"/")
}

// needs reports whether a request needed an actor, or one below it.
func (m mishap) needs(target string) bool {
	needed := []string{"node/edges/s3"}
	switch m.operation {
	case write:
		needed = append(needed, m.writer)
	case upload:
		needed = append(needed, m.writer, m.mountpath, m.mountpath+"/t")
	case pieces:
		needed = append(needed, m.writer, m.reader, m.mountpath, m.mountpath+"/t")
	case read:
		needed = append(needed, m.reader)
	case list: // of every mountpath, each by its first reader
		needed = append(needed, "node/buckets/ID", "node/buckets/ID/l", "node/mountpaths/d0/r0", "node/mountpaths/d1/r0")
	}
	for _, address := range needed {
		if isBelow(address, generic(target)) {
			return true
		}
	}
	return false
}

// generic stands for addresses that have numbers of their own.
func generic(address string) string {
	parts := strings.Split(address, "/")
	if len(parts) > 2 && parts[1] == "buckets" {
		parts[2] = "ID"
	}
	if len(parts) > 3 && (parts[1] == "buckets" || strings.HasPrefix(parts[3], "t")) {
		parts[3] = parts[3][:1]
	}
	return strings.Join(parts, "/")
}

// trial is what was done to an actor, and when.
type trial struct {
	target string
	begun  time.Duration // from here mishaps are to be expected
	until  time.Duration // and to here: the actor was suspended; else equal to begun
}

// judge returns what a trial may not have cost.
func judge(t trial, limit time.Duration, mishaps []mishap) []string {
	var wrong []string
	for _, m := range mishaps {
		switch {
		case !m.needs(t.target):
			wrong = append(wrong, fmt.Sprintf("%s did not need %s", m, t.target))
		case m.at < t.begun:
			wrong = append(wrong, fmt.Sprintf("%s, and %s was well before %s", m, t.target, t.begun))
		case m.at > t.until+limit:
			wrong = append(wrong, fmt.Sprintf("%s, and %s was to be back %s after %s", m, t.target, limit, t.until))
		case m.took > limit:
			wrong = append(wrong, fmt.Sprintf("%s: it waited too long for that", m))
		}
	}
	return wrong
}

// The judge finds what is wrong, and lets pass what is right: else the trials
// would prove nothing.
func TestJudge(t *testing.T) {
	well := mishap{
		operation: write, key: "k", mountpath: "node/mountpaths/d0", writer: "node/mountpaths/d0/w3", reader: "node/mountpaths/d0/r1",
		at: 10 * time.Second, took: time.Millisecond,
	}
	as := func(change func(*mishap)) mishap {
		m := well
		change(&m)
		return m
	}
	const begun, limit = 9500 * time.Millisecond, time.Second
	for name, c := range map[string]struct {
		mishap mishap
		target string
		right  bool
	}{
		"its lane":                  {well, "node/mountpaths/d0/w3", true},
		"above its lane":            {well, "node/mountpaths/d0", true},
		"everything":                {well, "node", true},
		"its edge":                  {well, "node/edges", true},
		"another lane":              {well, "node/mountpaths/d0/w4", false},
		"a lane with its prefix":    {well, "node/mountpaths/d0/w", false},
		"another mountpath":         {well, "node/mountpaths/d1", false},
		"the keeper":                {well, "node/mountpaths/d0/keeper", false},
		"the other edge":            {well, "node/edges/native", false},
		"a bucket":                  {well, "node/buckets", false},
		"a read of a write lane":    {as(func(m *mishap) { m.operation = read }), "node/mountpaths/d0/w3", false},
		"a read of its lane":        {as(func(m *mishap) { m.operation = read }), "node/mountpaths/d0/r1", true},
		"a listing of the bucket":   {as(func(m *mishap) { m.operation = list }), "node/buckets/0123456789abcdef", true},
		"a listing of a lister":     {as(func(m *mishap) { m.operation = list }), "node/buckets/0123456789abcdef/l7", true},
		"an upload of its transfer": {as(func(m *mishap) { m.operation = upload }), "node/mountpaths/d0/t9", true},
		"a write of a transfer":     {well, "node/mountpaths/d0/t9", false},
		"too early":                 {as(func(m *mishap) { m.at = 9 * time.Second }), "node", false},
		"too late":                  {as(func(m *mishap) { m.at = 11 * time.Second }), "node", false},
		"too slow":                  {as(func(m *mishap) { m.took = 2 * time.Second }), "node", false},
	} {
		wrong := judge(trial{target: c.target, begun: begun, until: begun}, limit, []mishap{well, c.mishap}[1:])
		if (len(wrong) == 0) != c.right {
			t.Errorf("%s: %v", name, wrong)
		}
	}
	if wrong := judge(trial{target: "node", begun: begun, until: 11 * time.Second}, limit, []mishap{as(func(m *mishap) { m.at = 11500 * time.Millisecond })}); len(wrong) != 0 {
		t.Errorf("while suspended: %v", wrong)
	}
}
