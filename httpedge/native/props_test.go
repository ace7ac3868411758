package native

import (
	"encoding/json"
	"testing"

	"github.com/troupe-storage/troupe/objects"
)

// Who changes copies says how many. Who sends back all that he was shown while others are to
// come takes nothing back by that; who names the present ones alone does.
func TestCopiesAreAskedFor(t *testing.T) {
	doc := (&objects.BucketDoc{Version: 1, Props: objects.BucketProps{Copies: 3, MinCopies: 2}}).With(objects.BucketProps{Copies: 2, MinCopies: 1})
	whole, err := json.Marshal(propsOf(doc))
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]objects.BucketProps{
		string(whole):                            {Copies: 2, MinCopies: 1},
		`{"troupe":{"reads":"relaxed"}}`:         {Copies: 2, MinCopies: 1, Reads: objects.ReadsRelaxed},
		`{"troupe":{"copies":3}}`:                {Copies: 3, MinCopies: 2},
		`{"troupe":{"copies":5}}`:                {Copies: 5, MinCopies: 1},
		`{"troupe":{"min_copies":2}}`:            {Copies: 2, MinCopies: 2},
		`{"troupe":{"copies":0}}`:                {},
		`{"troupe":{"copies":17}}`:               {},
		`{"troupe":{"next_copies":4}}`:           {},
		`{"troupe":{"copies":1,"min_copies":2}}`: {},
	} {
		got, err := changedProps(doc, json.RawMessage(value))
		if (err != nil) != (want == objects.BucketProps{}) {
			t.Errorf("%s: %v", value, err)
			continue
		}
		got.Durability, got.ETag = "", "" // sent back, they are what is there
		if got.Reads == objects.ReadsConfirmed {
			got.Reads = ""
		}
		if err == nil && got != want {
			t.Errorf("%s: %+v, want %+v", value, got, want)
		}
	}
	if made, err := changedProps(&objects.BucketDoc{}, json.RawMessage(`{"troupe":{"copies":0}}`)); err != nil || made.Owners() != 1 {
		t.Errorf("a bucket is made with the default: %+v, %v", made, err)
	}
}
