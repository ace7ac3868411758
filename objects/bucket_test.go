package objects

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// S3's rules for new buckets. Source: Amazon S3 user guide, "General purpose
// bucket naming rules", one case or more for each.
func TestS3BucketNames(t *testing.T) {
	for _, name := range []string{"abc", "my-bucket", "my.bucket", "1a2", "123", "1.2.3", "256.1.1.1.1", strings.Repeat("a", 63), "xn-a"} {
		if err := CheckS3BucketName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "ab", strings.Repeat("a", 64), "Abc", "a_b", "a b", "a/b", "-abc", "abc-", ".abc", "abc.", "a..b", "a.-b", "a-.b",
		"192.168.5.4", "xn--abc", "sthree-abc", "amzn-s3-demo-x", "abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--x-s3",
		"abc--table-s3", "köln", "abc\n", "..", ".troupe",
	} {
		if err := CheckS3BucketName(name); !errors.Is(err, ErrBucketName) {
			t.Errorf("%q: %v, want refused", name, err)
		}
	}
}

// Ids are read back from text and JSON, and nothing else is an id.
func TestBucketID(t *testing.T) {
	id := BucketID{0xb0, 1, 2, 3, 4, 5, 6, 0xff}
	if id.String() != "b0010203040506ff" || id.IsZero() || !(BucketID{}).IsZero() {
		t.Fatalf("%s", id)
	}
	b, err := json.Marshal(Bucket{ID: id, Provider: ProviderAIS, Name: "photos"})
	if err != nil || string(b) != `{"id":"b0010203040506ff","provider":"ais","name":"photos"}` {
		t.Fatalf("%s, %v", b, err)
	}
	var back Bucket
	if err := json.Unmarshal(b, &back); err != nil || back.ID != id {
		t.Fatalf("%+v, %v", back, err)
	}
	for _, s := range []string{"", "b0", "b0010203040506f", "b0010203040506ff00", "g0010203040506ff"} {
		if id, err := ParseBucketID(s); err == nil {
			t.Errorf("%q was read as %s", s, id)
		}
	}
}

// Properties that nobody set have their defaults.
func TestBucketDefaults(t *testing.T) {
	if p := (BucketProps{}); p.Class() != Synced || p.ETagKind() != ETagMD5 {
		t.Errorf("%q, %q", p.Class(), p.ETagKind())
	}
	if p := (BucketProps{Durability: Relaxed, ETag: ETagFast}); p.Class() != Relaxed || p.ETagKind() != ETagFast {
		t.Errorf("%q, %q", p.Class(), p.ETagKind())
	}
	for want, b := range map[bool]Bucket{true: {Provider: "ais"}, false: {Provider: "ais", Namespace: "u#n"}} {
		if b.Global() != want {
			t.Errorf("%+v: global is %v", b, !want)
		}
	}
	if (Bucket{Provider: "aws"}).Global() {
		t.Error("a bucket of aws is global")
	}
}

// Other copies that are wanted come to Next, and all else holds at once; the document follows
// what a plan has made. While both numbers are there, each has its own least.
func TestCopiesToCome(t *testing.T) {
	doc := &BucketDoc{Version: 1, Props: BucketProps{Copies: 3}}
	one := doc.With(BucketProps{Copies: 1, ETag: ETagFast})
	if one.Version != 2 || one.Props != (BucketProps{Copies: 3, ETag: ETagFast}) || *one.Next != (NextCopies{Copies: 1}) || one.Wanted() != (BucketProps{Copies: 1, ETag: ETagFast}) || one.MostCopies() != 3 {
		t.Errorf("%+v", one)
	}
	for owners, want := range map[int]int{3: 2, 2: 2, 1: 1} {
		if got := one.LeastOf(owners); got != want {
			t.Errorf("3 copies, 1 to come: %d of %d owners must have a write, want %d", got, owners, want)
		}
	}
	four := doc.With(BucketProps{Copies: 4, MinCopies: 4})
	for owners, want := range map[int]int{3: 2, 4: 4} {
		if got := four.LeastOf(owners); got != want {
			t.Errorf("3 copies, 4 to come: %d of %d owners must have a write, want %d", got, owners, want)
		}
	}
	if back := one.With(one.Props); back.Next != nil || back.Version != 3 || back.Props != one.Props {
		t.Errorf("taken back: %+v", back)
	}
	if one.Behind(3) || !one.Behind(1) {
		t.Error("it is behind what there is, or not behind what is made")
	}
	if made := four.Recopied(4); made.Behind(4) || made.Next != nil || made.Props != (BucketProps{Copies: 4, MinCopies: 4}) {
		t.Errorf("made: %+v", made)
	}
	if other := four.Recopied(2); other.Props.Copies != 2 || other.Next == nil || other.Props.Check() != nil {
		t.Errorf("another number was made: %+v", other)
	}
}

// Properties of erasure coding have their defaults and their ranges; and no bucket gets it:
// what is in range is refused by name.
func TestSliceProperties(t *testing.T) {
	coded := BucketProps{DataSlices: 3, ParitySlices: 2}
	if coded.Owners() != 5 || coded.LeastSlices() != 4 || coded.SlicesPerNode() != 1 || !coded.Coded() {
		t.Errorf("3+2: %d owners, %d slices at least, %d on a node", coded.Owners(), coded.LeastSlices(), coded.SlicesPerNode())
	}
	if p := (BucketProps{Copies: 2}); p.Coded() || p.Owners() != 2 || p.LeastSlices() != 0 || p.Slices(1<<30) {
		t.Errorf("two copies: %+v", p)
	}
	for from, sizes := range map[int64]map[int64]bool{
		0:  {0: false, DefaultSliceFrom - 1: false, DefaultSliceFrom: true},
		1:  {0: false, 1: true},
		-1: {1 << 40: false},
	} {
		p := coded
		p.SliceFrom = from
		for size, want := range sizes {
			if got := p.Slices(size); got != want {
				t.Errorf("ec_size_limit %d: a payload of %d bytes is sliced: %v", from, size, got)
			}
		}
	}
	for _, fits := range []BucketProps{
		coded, {DataSlices: 1, ParitySlices: 1}, {DataSlices: 32, ParitySlices: 32, SliceDisks: 16, KeepWhole: true, SliceFrom: -1},
		{DataSlices: 3, ParitySlices: 2, MinSlices: 3}, {DataSlices: 3, ParitySlices: 2, MinSlices: 5, Copies: 1},
	} {
		if err := fits.checkSlices(); err != nil {
			t.Errorf("%+v: %v", fits, err)
		}
		if err := fits.Check(); err == nil || !strings.Contains(err.Error(), "no erasure coding of buckets") {
			t.Errorf("%+v: %v, want it refused by name", fits, err)
		}
	}
	for want, p := range map[string]BucketProps{
		"ec_data 0 ":            {ParitySlices: 2},
		"ec_data 33 ":           {DataSlices: 33, ParitySlices: 2},
		"ec_parity 0 ":          {DataSlices: 2},
		"ec_parity -1 ":         {DataSlices: 2, ParitySlices: -1},
		"ec_size_limit -2 ":     {DataSlices: 3, ParitySlices: 2, SliceFrom: -2},
		"min_slices 2 is not":   {DataSlices: 3, ParitySlices: 2, MinSlices: 2},
		"min_slices 6 is not":   {DataSlices: 3, ParitySlices: 2, MinSlices: 6},
		"ec_disks 17 ":          {DataSlices: 3, ParitySlices: 2, SliceDisks: 17},
		"ec 3+2 and copies 2":   {DataSlices: 3, ParitySlices: 2, Copies: 2},
		"ec_size_limit 4096: t": {SliceFrom: 4096},
		"min_slices 2: the":     {MinSlices: 2},
		"keep_whole: the":       {KeepWhole: true},
		"ec_disks 2: the":       {SliceDisks: 2},
	} {
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
	}
}
