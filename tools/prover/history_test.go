package prover

import (
	"testing"
)

// lifetime is a history of one cell, written as the entries of a table.
func lifetime(entries ...entry) *history {
	h := newHistory()
	for _, e := range entries {
		h.cells["k"] = append(h.cells["k"], &e)
	}
	return h
}

// What a cut at a position may leave follows from what was acknowledged before it and what had
// begun; every verdict can be reached.
func TestJudge(t *testing.T) {
	one, two, three := valueOf(1, []byte("one")), valueOf(2, []byte("two")), valueOf(3, []byte("three"))
	puts := lifetime(
		entry{Begun: 10, Ended: 20, Outcome: acknowledged, Value: one},
		entry{Begun: 30, Ended: 40, Outcome: acknowledged, Value: two},
		entry{Begun: 50, Ended: 60, Outcome: acknowledged}, // a delete
		entry{Begun: 70, Outcome: doubtful, Value: three},
	)
	relaxed := lifetime(
		entry{Begun: 10, Ended: 20, Outcome: acknowledged, Value: one},
		entry{Begun: 30, Ended: 40, Outcome: acknowledged, Value: two, Relaxed: true},
		entry{Begun: 50, Ended: 60, Outcome: acknowledged, Value: three, Relaxed: true},
	)
	refusal := lifetime(
		entry{Begun: 10, Ended: 20, Outcome: acknowledged, Value: one},
		entry{Begun: 30, Ended: 40, Outcome: refused, Value: two},
	)
	mixed := &value{Mark: 1, Size: one.Size, Digest: two.Digest, ETag: one.ETag}
	for _, c := range []struct {
		name  string
		h     *history
		kind  cutKind
		at    int64
		found *value
		want  verdict
	}{
		{"before anything", puts, powerCut, 10, nil, kept},
		{"what had not begun", puts, powerCut, 10, one, wrong},
		{"on its way and not there", puts, powerCut, 15, nil, kept},
		{"on its way and there", puts, powerCut, 15, one, kept},
		{"on its way and half there", puts, powerCut, 15, mixed, torn},
		{"acknowledged and there", puts, powerCut, 20, one, kept},
		{"acknowledged and not there", puts, powerCut, 20, nil, lost},
		{"overwrite on its way, old", puts, powerCut, 35, one, kept},
		{"overwrite on its way, new", puts, powerCut, 35, two, kept},
		{"overwrite on its way, neither", puts, powerCut, 35, nil, lost},
		{"overwritten, and the old one there", puts, powerCut, 45, one, lost},
		{"deleted", puts, powerCut, 65, nil, kept},
		{"deleted, and there again", puts, powerCut, 65, two, resurrected},
		{"deleted, and half there", puts, powerCut, 65, mixed, torn},
		{"in doubt and not there", puts, kill, 100, nil, kept},
		{"in doubt and there", puts, kill, 100, three, kept},
		{"in doubt, and what was deleted before is there", puts, kill, 100, two, resurrected},
		{"relaxed, kept", relaxed, powerCut, 65, three, kept},
		{"relaxed, undone by one", relaxed, powerCut, 65, two, undone},
		{"relaxed, undone to what was synced", relaxed, powerCut, 65, one, undone},
		{"relaxed, and what was synced is gone", relaxed, powerCut, 65, nil, lost},
		{"relaxed, half there", relaxed, powerCut, 65, mixed, torn},
		{"relaxed, undone by a kill", relaxed, kill, 65, two, lost},
		{"refused", refusal, powerCut, 50, one, kept},
		{"refused, and done", refusal, powerCut, 50, two, wrong},
	} {
		if got, _ := c.h.judge("k", c.found, c.kind, c.at); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if v, must := newHistory().judge("stranger", one, kill, 1); v != torn || must != nil {
		t.Errorf("what nobody wrote is %q", v)
	}
}

// What is current is what was acknowledged last, and certain unless something is in doubt
// since; what is found after a cut ends doubt.
func TestCurrent(t *testing.T) {
	h := newHistory()
	one, two := valueOf(1, []byte("one")), valueOf(2, []byte("two"))
	if v, certain := h.current("k"); v != nil || !certain {
		t.Errorf("of what was never written: %s, %v", v, certain)
	}
	h.end(acknowledged, 2, false, h.begin("k", one, 1))
	second := h.begin("k", two, 3)
	if v, certain := h.current("k"); !v.equal(one) || certain {
		t.Errorf("with a write under way: %s, %v", v, certain)
	}
	h.end(refused, 4, false, second)
	if v, certain := h.current("k"); !v.equal(one) || !certain {
		t.Errorf("after a refusal: %s, %v", v, certain)
	}
	h.begin("k", two, 5)
	h.settle(map[string]*value{"k": two, "gone": nil})
	if v, certain := h.current("k"); !v.equal(two) || !certain {
		t.Errorf("after what was found: %s, %v", v, certain)
	}
	if names := h.names(); len(names) != 1 {
		t.Errorf("cells %q", names)
	}
}

// Payloads of other writes, sizes or seeds are others everywhere, so that no mixture of
// two of them looks whole.
func TestPayloadsDiffer(t *testing.T) {
	a := payload(1, 1, 4096)
	for name, b := range map[string][]byte{"number": payload(1, 2, 4096), "seed": payload(2, 1, 4096), "size": payload(1, 1, 4097)} {
		for at := 0; at+16 <= len(a); at += 16 {
			if string(a[at:at+16]) == string(b[at:at+16]) {
				t.Fatalf("another %s has the same bytes at %d", name, at)
			}
		}
	}
	if string(a) != string(payload(1, 1, 4096)) {
		t.Error("a payload is another one the second time")
	}
}

// Cells of uploads and parts are told from objects, and named for people.
func TestCellNames(t *testing.T) {
	for cell, want := range map[string]string{
		"a/b": "a/b", uploadCell("a/b", "77"): "upload 77 of a/b", partCell("a/b", "77", 10): "part 10 of upload 77 of a/b",
	} {
		if got := readable(cell); got != want || isObject(cell) != (cell == "a/b") {
			t.Errorf("%q is %q, an object: %v", cell, got, isObject(cell))
		}
	}
}

// What was tried between two cuts may be there after the second, or not, and whole only; what
// else the history says stays, and so does the history.
func TestDoubting(t *testing.T) {
	one := valueOf(1, []byte("one"))
	h := lifetime(entry{Begun: 10, Ended: 20, Outcome: acknowledged, Value: one})
	d := h.doubting(triedKey, tried())
	if v, _ := h.judge(triedKey, tried(), powerCut, 5); v != torn {
		t.Errorf("negative control: in the history itself it is %q", v)
	}
	for _, found := range []*value{nil, tried()} {
		if v, _ := d.judge(triedKey, found, powerCut, 0); v != kept {
			t.Errorf("%s is %q", found, v)
		}
	}
	half := *tried()
	half.Digest++
	if v, _ := d.judge(triedKey, &half, powerCut, 5); v != torn {
		t.Errorf("half of it is %q", v)
	}
	if v, _ := d.judge("k", nil, powerCut, 30); v != lost {
		t.Errorf("another cell is %q", v)
	}
}
