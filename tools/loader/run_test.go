package loader

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects/errs"
)

// What the generator counts is what the server saw: nothing is asked twice,
// nothing is left out, whatever ends the run.
func TestCountsAreExact(t *testing.T) {
	fake := newFakeS3()
	load := loadOn(t, serveHTTP(t, fake.handle))
	fake.forget()

	load.Mix, load.Ops = Only(Put), 1003
	result := mustRun(t, load, Observed{})
	if result.Ops != 1003 || result.Errors != 0 || fake.seen("PUT") != 1003 || result.Bytes != 1003*4096 {
		t.Errorf("put: %d ops, %d errors, %d bytes; the server saw %d", result.Ops, result.Errors, result.Bytes, fake.seen("PUT"))
	}
	if n := fake.stored("load"); n != 1003 {
		t.Errorf("%d objects: keys repeat", n)
	}
	if result.Class != "synced" {
		t.Errorf("class %q from the receipts", result.Class)
	}

	load.Ops, load.Bytes, load.Sizes = 0, 100<<10, FixedSize(10<<10)
	if result = mustRun(t, load, Observed{}); result.Ops != 10 || result.Bytes != 100<<10 {
		t.Errorf("100 KiB in objects of 10: %d ops, %d bytes", result.Ops, result.Bytes)
	}
	fake.change(func() { clear(fake.buckets["load"].objects) })

	load.Bytes, load.Sizes = 0, FixedSize(4096)
	put(t, load, 500)
	load.Keys.Count, load.Mix, load.Ops, load.Keys.Order, load.Verify = 500, Mix{0, 60, 30, 0, 10}, 2000, Zipf, true
	fake.forget()
	result = mustRun(t, load, Observed{})
	by := map[string]OperationResult{}
	for _, o := range result.Operations {
		by[o.Operation] = o
	}
	if result.Ops != 2000 || fake.seen("HEAD") != int(by["HEAD"].Ops) || fake.seen("GET") != int(by["GET"].Ops+by["LIST"].Ops) {
		t.Errorf("mix: %+v; the server saw %d", by, fake.seen("GET"))
	}
	if by["GET"].Ops < 1000 || by["GET"].Ops > 1400 || by["LIST"].Entries != 500*by["LIST"].Ops {
		t.Errorf("mix: %+v", by)
	}

	load.Mix, load.Ops, load.Keys.Order = Only(Delete), 0, Sequential
	result = mustRun(t, load, Observed{})
	if n := fake.stored("load"); result.Ops != 500 || n != 0 {
		t.Errorf("delete: %d ops, %d objects left", result.Ops, n)
	}
}

// Percentiles rise, lie between the extremes, and hold what a slow server costs.
func TestLatencies(t *testing.T) {
	fake := newFakeS3()
	load := loadOn(t, serveHTTP(t, fake.handle))
	load.Mix, load.Ops = Only(Put), 500
	result := mustRun(t, load, Observed{})
	l := result.Latency
	if l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max || l.Mean > l.Max || l.Max > result.Elapsed+time.Millisecond {
		t.Errorf("%+v of %v", l, result.Elapsed)
	}
	f := newFigures()
	for i := range 1000 {
		f.took(time.Duration(i+1) * time.Millisecond)
	}
	if p := f.latency(); p.P50 < 499*time.Millisecond || p.P50 > 502*time.Millisecond || p.P99 < 989*time.Millisecond || p.P99 > 992*time.Millisecond {
		t.Errorf("of 1 to 1,000 ms: %+v", p)
	}
	f.took(time.Hour) // beyond the range: kept as the longest
	if p := f.latency(); p.Max < time.Duration(longestNanos*999/1000) {
		t.Errorf("an hour became %v", p.Max)
	}
}

// A wrong byte is found, in contents that come in one piece or in many, and
// nothing else is called wrong.
func TestVerificationFindsAFlippedBit(t *testing.T) {
	for _, size := range []int64{1, 4096, 5<<20 + 3} {
		fake := newFakeS3()
		load := loadOn(t, serveHTTP(t, fake.handle))
		load.Sizes, load.Connections = FixedSize(size), 2
		put(t, load, 10)
		load.Keys.Count, load.Keys.Order, load.Mix, load.Ops, load.Verify = 10, Uniform, Only(Get), 20, true
		if result := mustRun(t, load, Observed{}); result.Ops != 20 || result.Errors != 0 || result.Bytes != 20*size {
			t.Errorf("%d bytes: %+v", size, result)
		}
		fake.change(func() { fake.flip = true })
		result := mustRun(t, load, Observed{})
		if result.Errors != 20 || result.Failures[0].Code != codeContent || result.Failed() == nil {
			t.Errorf("%d bytes, one flipped: %d errors %+v", size, result.Errors, result.Failures)
		}
		load.Verify = false // the control: only verification looks
		if result := mustRun(t, load, Observed{}); result.Errors != 0 {
			t.Errorf("%d bytes, not verified: %+v", size, result.Failures)
		}
		fake.change(func() { fake.flip = false })
		load.Verify = true
		load.Keys.Seed++ // other names: what was never put is missing
		if result := mustRun(t, load, Observed{}); result.Errors != 20 || result.Failures[0].Code != "NoSuchKey" {
			t.Errorf("%d bytes, other seed: %+v", size, result.Failures)
		}
	}
}

// An object of another size than was put is an error, verified or not.
func TestWrongLengthIsAnError(t *testing.T) {
	fake := newFakeS3()
	load := loadOn(t, serveHTTP(t, fake.handle))
	put(t, load, 10)
	load.Sizes = FixedSize(4097)
	for _, o := range []Operation{Get, Head} {
		load.Keys.Count, load.Mix, load.Ops = 10, Only(o), 10
		if result := mustRun(t, load, Observed{}); result.Errors != 10 || result.Failures[0].Code != codeLength {
			t.Errorf("%s: %+v", o, result.Failures)
		}
	}
}

// Failures are counted by the code that the server gave, once each, and what
// comes after them is done.
func TestFailuresAreCountedByCode(t *testing.T) {
	fake := newFakeS3()
	load := loadOn(t, serveHTTP(t, fake.handle))
	put(t, load, 50)
	fake.change(func() { fake.refuse["GET"], fake.refuse["HEAD"], fake.sever = 7, 3, 5 })
	load.Keys.Count, load.Mix, load.Ops = 50, Mix{0, 1, 1}, 200
	result := mustRun(t, load, Observed{})
	got := map[string]uint64{}
	for _, failure := range result.Failures {
		got[failure.Code] = failure.Count
	}
	if got["SlowDown"] != 7 || got["(status 503)"] != 3 || got[codeLost] != 5 || len(got) != 3 || result.Ops != 185 || result.Errors != 15 {
		t.Errorf("%d ops, %+v", result.Ops, result.Failures)
	}
	if example := result.Failures[0].Example; !strings.Contains(example, "as the test wants it & so") {
		t.Errorf("example %q", example)
	}

	fake.change(func() { fake.refuse["GET"] = 1 << 30 })
	load.Mix, load.Ops, load.MaxFailures = Only(Get), 1<<30, 20
	if result = mustRun(t, load, Observed{}); result.GaveUp == "" || result.Errors < 20 || result.Errors > 24 {
		t.Errorf("a server that always refuses: %d errors, %q", result.Errors, result.GaveUp)
	}
	load.SecretKey = "another"
	if result = mustRun(t, load, Observed{}); result.Failures[0].Code != "SignatureDoesNotMatch" {
		t.Errorf("another secret: %+v", result.Failures)
	}
}

// In a mix with deletes every worker knows which of its keys are there: one that
// comes back is found, and one that is rightly gone is no failure.
func TestDeletedKeysStayDeleted(t *testing.T) {
	fake := newFakeS3()
	load := loadOn(t, serveHTTP(t, fake.handle))
	put(t, load, 40)
	load.Keys.Count, load.Keys.Order, load.Stored, load.Verify = 40, Uniform, true, true
	load.Mix, load.Ops = Mix{Put: 20, Get: 30, Head: 20, Delete: 30}, 2000
	if result := mustRun(t, load, Observed{}); result.Errors != 0 || result.Ops != 2000 {
		t.Errorf("%+v", result.Failures)
	}
	load.Stored = false // some are gone now
	fake.change(func() { fake.keep = true })
	result := mustRun(t, load, Observed{})
	if result.Errors == 0 || result.Failures[0].Code != codePresent || len(result.Failures) != 1 {
		t.Errorf("a server that deletes nothing: %+v", result.Failures)
	}
}

// A listing walks through every page, and one out of order is found.
func TestListing(t *testing.T) {
	fake := newFakeS3()
	load := loadOn(t, serveHTTP(t, fake.handle))
	load.Keys.Prefix = "a/b~c/"
	put(t, load, 95)
	load.Mix, load.ListKeys, load.Ops, load.Connections = Only(List), 10, 20, 1
	result := mustRun(t, load, Observed{})
	if result.Errors != 0 || result.Entries != 190 { // twice through nine full pages and one of 5
		t.Errorf("%d keys, %+v", result.Entries, result.Failures)
	}
	fake.change(func() { fake.shuffle = true })
	if result = mustRun(t, load, Observed{}); result.Errors != 20 || result.Failures[0].Code != codeListing {
		t.Errorf("pages backwards: %d errors, %+v", result.Errors, result.Failures)
	}
}

// A rate is kept, and a run that is interrupted reports what it did.
func TestRateAndInterruption(t *testing.T) {
	fake := newFakeS3()
	load := loadOn(t, serveHTTP(t, fake.handle))
	load.Mix, load.Ops, load.Rate = Only(Put), 100, 500
	result := mustRun(t, load, Observed{})
	if result.Ops != 100 || result.Elapsed < 198*time.Millisecond { // the last is due after 198 ms
		t.Errorf("100 at 500 a second took %v", result.Elapsed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	fake.forget()
	load.Ops, load.Rate = 1<<40, 0
	load.Keys.Count = 16 // small, for it may run for a while
	done := make(chan *Result)
	go func() {
		result, err := Run(ctx, load, Observed{})
		if err != nil {
			t.Error(err)
		}
		done <- result
	}()
	for fake.seen("PUT") < 50 {
		runtime.Gosched()
	}
	cancel()
	if result = <-done; !result.Interrupted || result.Ops < 50 || int(result.Ops) != fake.seen("PUT") || result.Errors != 0 {
		t.Errorf("interrupted: %+v; the server saw %d", result, fake.seen("PUT"))
	}
}

// A load is for the root of a server that is named with its scheme.
func TestEndpointsOfLoads(t *testing.T) {
	for endpoint, wanted := range map[string]bool{
		"http://127.0.0.1:9000": true, "https://host": true, "http://[::1]:9000/": true, "https://host:65535": true,
		"127.0.0.1:9000": false, "host": false, "http://host/s3": false, "http://host:99999": false, "http://host:0": false,
		"http://me:secret@host": false, "http://host?x": false, "http://": false, "ftp://host": false, "": false,
	} {
		_, err := Load{Endpoint: endpoint, Bucket: "load"}.target()
		if (err == nil) != wanted {
			t.Errorf("%q: %v", endpoint, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: a secret is shown: %v", endpoint, err)
		}
	}
}

// A load that cannot be driven is refused with all that is wrong; a server that
// is away is an error at once.
func TestRefusedLoads(t *testing.T) {
	err := Load{Endpoint: "gopher://x", Bucket: "b", Keys: Keys{Prefix: "a b", Order: Zipf}, Connections: -1}.Validate()
	if !errs.Is(errs.Invalid, err) {
		t.Fatalf("%v", err)
	}
	for _, part := range []string{"gopher", "prefix", "mix", "access key", "connections"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
	addresses, err := freeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	load := Load{
		Endpoint: "http://" + addresses[0], Bucket: "load", AccessKey: "a", SecretKey: "b",
		Mix: Only(Put), Sizes: FixedSize(1), Ops: 1,
	}
	if _, err := Run(ctx, load, Observed{}); !errs.Is(errs.Offline, err) {
		t.Errorf("nobody there: %v", err)
	}
}

// The debt is waited for until it stays paid, and its figures are the server's;
// one that is not reported is said to be unknown.
func TestDebt(t *testing.T) {
	fake := newFakeS3()
	endpoint := serveHTTP(t, fake.handle)
	debt := &Debt{URL: endpoint + "/metrics", Threshold: 100, Patience: time.Minute}
	if state, _ := debt.Wait(t.Context()); state != DebtUnknown {
		t.Errorf("no metric: %s", state)
	}
	fake.change(func() { fake.debts = []int64{5000, 10, 300, 10} })
	if state, waited := debt.Wait(t.Context()); state != DebtPaid || fake.scrapes != 3+debtLooks || waited < (2+debtLooks)*debtPoll-debtPoll/2 {
		t.Errorf("%s after %d looks and %v", state, fake.scrapes, waited)
	}
	fake.change(func() { fake.debts = []int64{5000} })
	debt.Patience = 0
	if state, _ := debt.Wait(t.Context()); state != DebtLeft {
		t.Errorf("never paid: %s", state)
	}
	for running, want := range map[string]DebtState{"0": DebtPaid, "1": DebtLeft} {
		idle := serveHTTP(t, func(ctx *fasthttp.RequestCtx) {
			fmt.Fprintf(ctx, "%s 5000\n%s{mountpath=\"a\"} %s\n", debtMetric, runningMetric, running)
		})
		debt := &Debt{URL: idle + "/metrics", Threshold: 100, Patience: (debtLooks + 1) * debtPoll}
		if state, _ := debt.Wait(t.Context()); state != want {
			t.Errorf("a debt that stays, %s compactions: %s, want %s", running, state, want)
		}
	}
	if sum, found := sumMetric([]byte("m{a=\"}\"} 1e3 99\nm 2\nmm 5\n# m 7\nm_x 9\nm bad\n"), "m"); sum != 1002 || !found {
		t.Errorf("sum %v", sum)
	}
}

// BenchmarkRequest is what the generator spends on a signed request head.
func BenchmarkRequest(b *testing.B) {
	load := Load{Endpoint: "http://127.0.0.1:9000", Bucket: "load", AccessKey: testAccess, SecretKey: testSecret, Mix: Only(Get), Ops: 1, Sizes: FixedSize(1), Keys: Keys{Count: 1}}
	r, err := newRun(load)
	if err != nil {
		b.Fatal(err)
	}
	w := newWorker(r, 0)
	now := time.Now()
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		w.name = load.Keys.appendName(w.name[:0], i)
		w.requests.object(Get, w.name, slice{}, now)
	}
}
