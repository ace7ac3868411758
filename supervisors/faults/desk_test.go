package faults

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

// bubble runs a test on virtual time.
func bubble(t *testing.T, test func(t *testing.T, d *Desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{})
		test(t, d)
		d.Close()
		synctest.Wait()
	})
}

func inject(t *testing.T, d *Desk, f Fault) *Injected {
	t.Helper()
	if f.Expiry == 0 {
		f.Expiry = time.Hour
	}
	i, err := d.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// mounted is a desk's view of a mountpath in memory, with one file of 16 bytes.
func mounted(t *testing.T, d *Desk, dir string) (disk.FS, disk.File) {
	t.Helper()
	fs, err := d.Disk(dir, disk.NewMem(1))
	if err != nil {
		t.Fatal(err)
	}
	file, err := fs.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("0123456789abcdef"), 0); err != nil {
		t.Fatal(err)
	}
	return fs, file
}

func content(t *testing.T, file disk.File) string {
	t.Helper()
	p := make([]byte, 16)
	n, err := file.ReadAt(p, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(p[:n])
}

func failing(when When, expiry time.Duration) Fault {
	return Fault{Disk: &Disk{Calls: []string{"sync"}, Do: Fail}, When: when, Expiry: expiry}
}

// syncs makes so many syncs and tells which failed: x.
func syncs(file disk.File, n int) string {
	var b strings.Builder
	for range n {
		if file.Sync() != nil {
			b.WriteByte('x')
		} else {
			b.WriteByte('.')
		}
	}
	return b.String()
}

// A fault ends when it expires, whoever set it, and not before; the desk forgets it.
func TestFaultsExpire(t *testing.T) {
	bubble(t, func(t *testing.T, d *Desk) {
		_, file := mounted(t, d, "/d0")
		i := inject(t, d, failing(When{}, time.Minute))
		time.Sleep(59 * time.Second)
		if list := d.List(); len(list) != 1 || list[0].Left != time.Second {
			t.Errorf("after 59 s: %+v", list)
		}
		if got := syncs(file, 2); got != "xx" {
			t.Errorf("before it expires: %s", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := syncs(file, 2); got != ".." {
			t.Errorf("after it expired: %s", got)
		}
		if len(d.List()) != 0 || i.Status().Hits != 2 || i.Status().Left != 0 {
			t.Errorf("afterwards: %+v, %+v", d.List(), i.Status())
		}
		<-i.Lifted()
	})
}

// Where there is chance a seed is taken and told, that every reader of JSON keeps whole;
// elsewhere there is none.
func TestASeedIsTaken(t *testing.T) {
	d := New(Options{})
	defer d.Close()
	for _, c := range []struct {
		fault Fault
		want  bool
	}{
		{failing(When{Count: 1}, 0), false},
		{failing(When{Probability: 0.5}, 0), true},
		{Fault{Disk: &Disk{Do: FlipBits}}, true},
		{Fault{Link: &Link{Do: LinkDelay, Delay: 1}}, false},
		{Fault{Link: &Link{Do: LinkDelay, Jitter: 1}}, true},
	} {
		if got := inject(t, d, c.fault).Status().Fault.When.Seed; (got != 0) != c.want || got >= 1<<53 {
			t.Errorf("%+v: %d", c.fault, got)
		}
	}
	if got := inject(t, d, failing(When{Probability: 0.5, Seed: 1 << 63}, 0)).Status().Fault.When.Seed; got != 1<<63 {
		t.Errorf("a seed that was given: %d", got)
	}
}

// The time that a machine is suspended for counts: a fault that has expired meanwhile ends
// soon after, and its timer, which stood still, does not prolong it.
func TestFaultsExpireWhileTheMachineIsSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		asleep := new(atomic.Int64)
		d := New(Options{Awake: func() time.Duration { return time.Since(began) + time.Duration(asleep.Load()) }})
		defer d.Close()
		i := inject(t, d, failing(When{}, time.Hour))
		time.Sleep(time.Minute)
		asleep.Store(int64(30 * time.Minute))
		time.Sleep(time.Minute)
		if list := d.List(); len(list) != 1 || list[0].Left != 28*time.Minute {
			t.Errorf("after half an hour: %+v", list)
		}
		asleep.Store(int64(time.Hour))
		time.Sleep(awakeAfter)
		synctest.Wait()
		if got := i.Status(); got.Left != 0 || len(d.List()) != 0 || d.History()[0].How != Expired {
			t.Errorf("after an hour: %+v", got)
		}
	})
}

// After, Every, Count and Probability say which are hit; the same seed hits the
// same ones again, another does not.
func TestWhen(t *testing.T) {
	bubble(t, func(t *testing.T, d *Desk) {
		_, file := mounted(t, d, "/d0")
		for _, c := range []struct {
			when When
			want string
		}{
			{When{}, "xxxxxxxx"},
			{When{Count: 2}, "xx......"},
			{When{After: 3}, "...xxxxx"},
			{When{Every: 3}, "x..x..x."},
			{When{After: 1, Every: 2, Count: 2}, ".x.x...."},
			{When{Probability: 1}, "xxxxxxxx"},
		} {
			i := inject(t, d, failing(c.when, 0))
			if got := syncs(file, 8); got != c.want || i.Hits() != uint64(strings.Count(c.want, "x")) {
				t.Errorf("%+v: %s (%d hits), want %s", c.when, got, i.Hits(), c.want)
			}
			i.Clear()
		}
		by := func(seed uint64) string {
			i := inject(t, d, failing(When{Probability: 0.25, Seed: seed}, 0))
			defer i.Clear()
			return syncs(file, 400)
		}
		first := by(7)
		if n := strings.Count(first, "x"); n < 60 || n > 140 {
			t.Errorf("%d of 400 hit with a probability of 0.25", n)
		}
		if by(7) != first || by(8) == first {
			t.Error("the seed does not decide")
		}
		taken := inject(t, d, failing(When{Probability: 0.5}, 0))
		if taken.Status().Fault.When.Seed == 0 {
			t.Error("the seed that was taken is not told")
		}
	})
}

var errRotten = errors.New("rotten")

// A sync that is lost reports success and makes nothing durable; without the
// fault, it does.
func TestLoseSync(t *testing.T) {
	for _, lose := range []bool{true, false} {
		d := New(Options{})
		mem := disk.NewMem(1)
		fs, err := d.Disk("/d0", mem)
		if err != nil {
			t.Fatal(err)
		}
		if lose {
			inject(t, d, Fault{Disk: &Disk{Do: LoseSync}})
		}
		if err := errors.Join(fs.Mkdir("d", 0o700), fs.SyncDir("")); err != nil {
			t.Fatal(err)
		}
		_, err = mem.Crash(disk.CrashPolicy{SyncedOnly: true}).Stat("d")
		if survived := err == nil; survived == lose {
			t.Errorf("lost %t, survived %t: %v", lose, survived, err)
		}
		d.Close()
	}
}

// A dry run says what a fault would be about, and breaks nothing.
func TestDryRun(t *testing.T) {
	withActors(t, func(t *testing.T, d *Desk, s *troupe) {
		_, file := mounted(t, d, "/srv/d0")
		mounted(t, d, "/srv/d1")
		for _, c := range []struct {
			fault Fault
			want  Matches
		}{
			{Fault{Messages: &Messages{Actor: "?", Do: Panic}}, Matches{Actors: []string{"a", "b"}}},
			{Fault{Messages: &Messages{Actor: "b", Do: Panic}}, Matches{Actors: []string{"b"}}},
			{Fault{Messages: &Messages{Actor: "nobody/**", Do: Panic}}, Matches{}},
			{Fault{Disk: &Disk{Do: Fail}}, Matches{Mountpaths: []string{"/srv/d0", "/srv/d1"}}},
			{Fault{Disk: &Disk{Mountpath: "d1", Do: Fail}}, Matches{Mountpaths: []string{"/srv/d1"}}},
			{Fault{Clock: &Clock{Skew: 1}}, Matches{Clock: true}},
		} {
			c.fault.Expiry = time.Hour
			got, err := d.DryRun(c.fault)
			if err != nil || !slices.Equal(got.Actors, c.want.Actors) || !slices.Equal(got.Mountpaths, c.want.Mountpaths) || got.Clock != c.want.Clock {
				t.Errorf("%+v: %+v, %v", c.want, got, err)
			}
		}
		if _, err := d.DryRun(Fault{}); !errors.Is(err, ErrFault) {
			t.Errorf("an empty fault: %v", err)
		}
		if err := errors.Join(s.tell("a"), file.Sync()); err != nil || len(d.List()) != 0 {
			t.Errorf("a dry run broke something: %v", err)
		}
	})
}

// What cannot be injected is refused with every reason, and nothing begins.
func TestWhatIsRefused(t *testing.T) {
	d := New(Options{})
	for _, c := range []struct {
		fault Fault
		words []string
	}{
		{Fault{}, []string{"0 of actor, disk, link, job and clock", "expiry"}},
		{Fault{Expiry: -1, Disk: &Disk{Do: Fail}, Clock: &Clock{Skew: 1}}, []string{"2 of actor", "expiry"}},
		{Fault{Expiry: 25 * time.Hour, Disk: &Disk{Do: Fail}}, []string{"expiry"}},
		{Fault{Expiry: 1, Disk: &Disk{Do: "explode", Error: "EWHAT", Calls: []string{"fly"}, Path: "a[", Mountpath: "[", Bytes: -1}},
			[]string{"explode", "EWHAT", "fly", `"a["`, "mountpath", "at least 0"}},
		{Fault{Expiry: 1, Disk: &Disk{Do: FlipBits, Calls: []string{"write"}}}, []string{"flip-bits is about [read]"}},
		{Fault{Expiry: 1, Disk: &Disk{Do: Slow}}, []string{"delay, jitter"}},
		{Fault{Expiry: 1, Disk: &Disk{Do: Full}, When: When{Count: 1}}, []string{"whole filesystem"}},
		{Fault{Expiry: 1, Disk: &Disk{Do: Fail}, When: When{Probability: 1.5}}, []string{"probability"}},
		{Fault{Expiry: 1, Messages: &Messages{Do: Panic, Message: "[", About: "[a", Error: "odd"}}, []string{"no pattern", `"["`, "about", `"odd"`}},
		{Fault{Expiry: 1, Messages: &Messages{Actor: "a", Do: "sing"}}, []string{"sing"}},
		{Fault{Expiry: 1, Messages: &Messages{Actor: "a", Do: Delay, Delay: -1}}, []string{"delay, jitter"}},
		{Fault{Expiry: 1, Messages: &Messages{Actor: "a", Message: "x.y", Do: Pause}, When: When{Count: 1}}, []string{"message: ", "is paused or is not"}},
		{Fault{Expiry: 1, Link: &Link{Peers: []string{"[", ""}, Direction: "up", Do: "knot"}}, []string{`"["`, `""`, `"up"`, `"knot"`}},
		{Fault{Expiry: 1, Link: &Link{Do: LinkDelay}}, []string{"delay, jitter"}},
		{Fault{Expiry: 1, Job: &Job{Do: "sing", Error: "odd"}}, []string{"* is every job", `"odd"`, `"sing"`}},
		{Fault{Expiry: 1, Job: &Job{Job: "[", Do: JobDelay}}, []string{`"["`, "delay, jitter"}},
		{Fault{Expiry: 1, Messages: &Messages{Actor: "a", Do: Delay, Jitter: 1<<63 - 1}}, []string{"delay, jitter", "24h"}},
		{Fault{Expiry: 1, Messages: &Messages{Actor: "a", Do: Delay, Delay: 1<<63 - 1, Jitter: 1<<63 - 1}}, []string{"delay, jitter"}},
		{Fault{Expiry: 1, Messages: &Messages{Actor: "a", Do: Drop, Error: "busy", Delay: 1}}, []string{"error: it does not apply to drop", "delay, jitter: it does not apply"}},
		{Fault{Expiry: 1, Disk: &Disk{Do: FlipBits, Bits: MaxBits + 1}}, []string{"65536 bits"}},
		{Fault{Expiry: 1, Disk: &Disk{Do: Stall, Error: "EIO", Jitter: 1, Bytes: 1, Bits: 1}}, []string{"error: it", "delay, jitter: it", "bytes: it", "bits: it does not apply to stall"}},
		{Fault{Expiry: 1, Link: &Link{Do: LinkCut, Delay: 1}}, []string{"does not apply to cut"}},
		{Fault{Expiry: 1, Job: &Job{Job: "*", Do: JobPause, Error: "busy", Jitter: 1}}, []string{"error: it", "delay, jitter: it does not apply to pause"}},
		{Fault{Expiry: 1, Clock: &Clock{Skew: -1 << 63}}, []string{"at most 8784h"}},
		{Fault{Expiry: 1, Clock: &Clock{Jump: MaxShift + 1}}, []string{"at most 8784h"}},
		{Fault{Expiry: 1, Clock: &Clock{}}, []string{"neither"}},
		{Fault{Expiry: 1, Clock: &Clock{Jump: -1}}, []string{"does not come back"}},
		{Fault{Expiry: 1, Clock: &Clock{Jump: 1}, When: When{Count: 1}}, []string{"does not apply"}},
	} {
		_, err := d.Inject(c.fault)
		if !errors.Is(err, ErrFault) || !errs.Is(errs.Invalid, err) {
			t.Errorf("%+v: %v", c.fault, err)
			continue
		}
		for _, w := range c.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q is not in: %v", w, err)
			}
		}
	}
	if len(d.List()) != 0 {
		t.Error("something began")
	}
	if _, err := d.Clear(7); !errs.Is(errs.NotFound, err) {
		t.Errorf("clearing what is not there: %v", err)
	}
	for range MaxFaults {
		inject(t, d, failing(When{}, time.Hour))
	}
	if _, err := d.Inject(failing(When{}, time.Hour)); !errs.Is(errs.Busy, err) {
		t.Errorf("one more than may be: %v", err)
	}
	d.Close()
	d.Close()
	if _, err := d.Inject(failing(When{}, time.Hour)); !errs.Is(errs.Offline, err) || len(d.List()) != 0 {
		t.Errorf("at a closed desk: %v", err)
	}
}

// Faults come and go while operations and messages pass, without a race, and at
// the end there is none and everything works.
func TestFaultsComeAndGo(t *testing.T) {
	withActors(t, func(t *testing.T, d *Desk, s *troupe) {
		_, file := mounted(t, d, "/d0")
		var work, changes sync.WaitGroup
		over := make(chan struct{})
		for range 4 {
			work.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
						_ = file.Sync() // fails at times
						_ = s.tell("a")
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		all := []Fault{
			failing(When{Probability: 0.5}, 20*time.Millisecond),
			{Disk: &Disk{Do: Stall}, Expiry: 5 * time.Millisecond},
			{Messages: &Messages{Actor: "a", Do: Hang}, Expiry: 5 * time.Millisecond},
			{Messages: &Messages{Actor: "a", Do: DropReply}, When: When{Count: 1}, Expiry: time.Hour},
			{Clock: &Clock{Jump: time.Minute}, Expiry: time.Millisecond},
		}
		for n := range 4 {
			changes.Go(func() {
				for k := range 100 {
					i, err := d.Inject(all[(n+k)%len(all)])
					if err != nil {
						t.Error(err)
						return
					}
					d.List()
					time.Sleep(time.Millisecond)
					if k%3 == 0 {
						i.Clear()
					}
				}
			})
		}
		changes.Wait()
		d.ClearAll()
		close(over)
		work.Wait()
		if err := errors.Join(s.tell("a"), file.Sync()); err != nil || len(d.List()) != 0 {
			t.Errorf("at the end: %v, %v", err, d.List())
		}
	})
}
