package history

import (
	"strings"
	"testing"
)

// Negative controls: what no register could have done is found, and what one could have
// is not complained about. Each line is a history of one key, calls one after another
// unless "begin" leaves one open.
func TestJudge(t *testing.T) {
	type step struct {
		op     Op
		answer Answer
	}
	put := func(v string, o Outcome) step { return step{Op{Put, v}, Answer{Outcome: o}} }
	get := func(v string) step { return step{Op{Do: Get}, Answer{Outcome: Done, Value: v}} }
	del := func(o Outcome) step { return step{Op{Do: Delete}, Answer{Outcome: o}} }
	create := func(v string, o Outcome) step { return step{Op{Create, v}, Answer{Outcome: o}} }
	for name, c := range map[string]struct {
		steps []step
		wrong bool
	}{
		"read what was put":             {[]step{put("a", Done), get("a")}, false},
		"lost":                          {[]step{put("a", Done), get("")}, true},
		"stale":                         {[]step{put("a", Done), put("b", Done), get("a")}, true},
		"resurrected":                   {[]step{put("a", Done), del(Done), get("a")}, true},
		"deleted":                       {[]step{put("a", Done), del(Done), get("")}, false},
		"unknown, seen late":            {[]step{put("a", Done), put("b", Unknown), get("a"), get("b")}, false},
		"unknown, seen, gone again":     {[]step{put("a", Done), put("b", Unknown), get("b"), get("a")}, true},
		"unknown delete":                {[]step{put("a", Done), del(Unknown), get("a"), get("")}, false},
		"refused is nothing":            {[]step{put("a", Refused), get("a")}, true},
		"created over something":        {[]step{put("a", Done), create("b", Done)}, true},
		"not created over nothing":      {[]step{create("b", Failed)}, true},
		"not created, for a put unseen": {[]step{put("a", Unknown), create("b", Failed), get("a")}, false},
		"both created":                  {[]step{create("a", Done), create("b", Done)}, true},
	} {
		h := New()
		for _, s := range c.steps {
			h.Begin(1, 0, "key", s.op).End(s.answer, "")
		}
		v := h.Judge()
		if (v.Wrong != "") != c.wrong || len(v.Undecided) > 0 {
			t.Errorf("%s: %+v, want wrong: %v", name, v, c.wrong)
		}
		if c.wrong && !strings.Contains(v.Wrong, "key is not linearizable") {
			t.Errorf("%s: %s", name, v.Wrong)
		}
	}
}

// A body that is not whole, or of two, is none.
func TestBodies(t *testing.T) {
	whole := "7.12\n" + filling("7.12", 500)
	if value, err := read([]byte(whole)); err != nil || value != "7.12" {
		t.Errorf("%q, %v", value, err)
	}
	for _, body := range []string{"", "7.12", whole[:len(whole)-2], whole[:300] + filling("7.13", 200), whole + whole} {
		if value, err := read([]byte(body)); err == nil {
			t.Errorf("%.40q is read as %q", body, value)
		}
	}
}
