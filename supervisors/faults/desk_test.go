package faults

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
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

// Every effect on a disk is what it says, and is gone with the fault.
func TestDiskEffects(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault Disk
		try   func(fs disk.FS, file disk.File) error
		want  error
	}{
		{"fail", Disk{Do: Fail, Calls: []string{"sync"}}, func(_ disk.FS, f disk.File) error { return f.Sync() }, syscall.EIO},
		{"fail by name", Disk{Do: Fail, Calls: []string{"sync"}, Error: "EDQUOT"}, func(_ disk.FS, f disk.File) error { return f.Sync() }, syscall.EDQUOT},
		{"fail of another call", Disk{Do: Fail, Calls: []string{"write"}}, func(_ disk.FS, f disk.File) error { return f.Sync() }, nil},
		{"fail of another path", Disk{Do: Fail, Path: "other/**"}, func(_ disk.FS, f disk.File) error { return f.Sync() }, nil},
		{"fail of another mountpath", Disk{Do: Fail, Mountpath: "d1"}, func(_ disk.FS, f disk.File) error { return f.Sync() }, nil},
		{"fail of this mountpath", Disk{Do: Fail, Mountpath: "d0"}, func(_ disk.FS, f disk.File) error { return f.Sync() }, syscall.EIO},
		{"fail of mountpaths below", Disk{Do: Fail, Mountpath: "/srv/**"}, func(_ disk.FS, f disk.File) error { return f.Sync() }, syscall.EIO},
		{"fail afterwards", Disk{Do: FailAfterwards, Calls: []string{"mkdir"}}, func(fs disk.FS, _ disk.File) error {
			if err := fs.Mkdir("made", 0o700); !errors.Is(err, syscall.EIO) {
				return err
			}
			return fs.Mkdir("made/below", 0o700)
		}, syscall.EIO},
		{"short write", Disk{Do: ShortWrite, Bytes: 2}, func(_ disk.FS, f disk.File) error {
			n, err := f.WriteAt([]byte("XXXX"), 0)
			if n != 2 {
				return errors.New("not short")
			}
			return err
		}, syscall.ENOSPC},
		{"torn write", Disk{Do: TornWrite, Bytes: 2}, func(_ disk.FS, f disk.File) error {
			n, err := f.WriteAt([]byte("XXXX"), 0)
			if p := make([]byte, 4); n == 4 && err == nil {
				_, err = f.ReadAt(p, 0)
				if string(p) != "XX23" {
					return errors.New("written: " + string(p))
				}
			}
			return err
		}, nil},
		{"flip bits", Disk{Do: FlipBits, Bits: 1}, func(_ disk.FS, f disk.File) error {
			p := make([]byte, 16)
			if _, err := f.ReadAt(p, 0); err != nil {
				return err
			}
			if string(p) != "0123456789abcdef" {
				return errRotten
			}
			return nil
		}, errRotten},
		{"full", Disk{Do: Full}, func(fs disk.FS, f disk.File) error {
			if space, err := fs.Space(); err != nil || space.FreeBytes != 0 {
				return errors.Join(err, errors.New("it reports room"))
			}
			if err := fs.Remove("f"); err != nil {
				return err // deletes work
			}
			return fs.Mkdir("d", 0o700)
		}, syscall.ENOSPC},
		{"read-only", Disk{Do: ReadOnly}, func(fs disk.FS, f disk.File) error {
			if space, err := fs.Space(); err != nil || !space.ReadOnly {
				return errors.Join(err, errors.New("it reports that it can be written"))
			}
			if _, err := f.ReadAt(make([]byte, 4), 0); err != nil {
				return err
			}
			return fs.Remove("f")
		}, syscall.EROFS},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := New(Options{})
			defer d.Close()
			fs, file := mounted(t, d, "/srv/d0")
			i := inject(t, d, Fault{Disk: &c.fault})
			if err := c.try(fs, file); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			i.Clear()
			if err := errors.Join(file.Sync(), fs.Mkdir("after", 0o700)); err != nil {
				t.Errorf("after the fault: %v", err)
			}
			if c.name == "flip bits" && content(t, file) != "0123456789abcdef" {
				t.Error("what is stored was changed")
			}
		})
	}
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

// A panic of the disk is the caller's.
func TestCrash(t *testing.T) {
	d := New(Options{})
	defer d.Close()
	_, file := mounted(t, d, "/d0")
	inject(t, d, Fault{Disk: &Disk{Do: Crash}, When: When{Count: 1}})
	defer func() {
		if cause, _ := recover().(string); !strings.Contains(cause, "on purpose") {
			t.Errorf("recovered %q", cause)
		}
		if err := file.Sync(); err != nil {
			t.Error(err)
		}
	}()
	_ = file.Sync()
	t.Error("it did not panic")
}

// A hung disk holds its operations until the fault is lifted, cleared or expired,
// or the desk is closed; others pass. Afterwards the operations happen.
func TestWhatHangsIsLetGo(t *testing.T) {
	for name, lift := range map[string]func(d *Desk, i *Injected){
		"clear":    func(_ *Desk, i *Injected) { i.Clear() },
		"by id":    func(d *Desk, i *Injected) { _, _ = d.Clear(i.ID()) },
		"clearall": func(d *Desk, _ *Injected) { d.ClearAll() },
		"expire":   func(*Desk, *Injected) { time.Sleep(time.Hour) },
		"close":    func(d *Desk, _ *Injected) { d.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *Desk) {
				_, file := mounted(t, d, "/d0")
				_, other := mounted(t, d, "/d1")
				i := inject(t, d, Fault{Disk: &Disk{Mountpath: "d0", Do: Stall}})
				var done atomic.Int32
				for range 3 {
					go func() {
						if err := file.Sync(); err != nil {
							t.Error(err)
						}
						done.Add(1)
					}()
				}
				<-i.Reached()
				synctest.Wait()
				if err := other.Sync(); err != nil || done.Load() != 0 {
					t.Errorf("the other disk: %v; %d operations of the hung one passed", err, done.Load())
				}
				lift(d, i)
				synctest.Wait()
				if done.Load() != 3 || i.Hits() != 3 {
					t.Errorf("%d operations were let go; %d hits", done.Load(), i.Hits())
				}
			})
		})
	}
}

// A slow disk takes as long as was said, up to the jitter longer, and no longer
// than the fault lasts.
func TestSlow(t *testing.T) {
	bubble(t, func(t *testing.T, d *Desk) {
		_, file := mounted(t, d, "/d0")
		took := func() time.Duration {
			began := time.Now()
			if err := file.Sync(); err != nil {
				t.Error(err)
			}
			return time.Since(began)
		}
		i := inject(t, d, Fault{Disk: &Disk{Do: Slow, Delay: time.Second, Jitter: time.Second}, When: When{Seed: 3}})
		var all []time.Duration
		for range 20 {
			all = append(all, took())
		}
		if least, most := slices.Min(all), slices.Max(all); least < time.Second || most > 2*time.Second || least == most {
			t.Errorf("operations took %s to %s", least, most)
		}
		i.Clear()
		inject(t, d, Fault{Disk: &Disk{Do: Slow, Delay: time.Hour}, Expiry: time.Second})
		if n := took(); n != time.Second {
			t.Errorf("the fault ended after 1 s, the operation after %s", n)
		}
		if n := took(); n != 0 {
			t.Errorf("without a fault it takes %s", n)
		}
	})
}

// A mountpath that comes later meets the faults that are about it.
func TestALaterMountpath(t *testing.T) {
	d := New(Options{})
	defer d.Close()
	i := inject(t, d, failing(When{}, time.Hour))
	_, file := mounted(t, d, "/d0")
	if got := syncs(file, 1); got != "x" || i.Hits() != 1 {
		t.Errorf("%s, %d hits", got, i.Hits())
	}
}

// tell is a request of this test.
type tell struct{ Reply messages.Reply[int] }

func (m *tell) Fail(err error) { m.Reply.Fail(err) }

// listener answers tells.
type listener struct{ heard *atomic.Int64 }

func (l listener) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(*tell); ok {
		l.heard.Add(1)
		m.Reply.Send(1, nil)
	}
}

// troupe is a system with two actors, a and b, before the desk.
type troupe struct {
	system *actors.System
	heard  map[string]*atomic.Int64
}

func withActors(t *testing.T, test func(t *testing.T, d *Desk, s *troupe)) {
	t.Helper()
	bubble(t, func(t *testing.T, d *Desk) {
		log := logrus.New()
		log.SetOutput(io.Discard)
		s := &troupe{system: actors.NewSystemOn(d.Clock(), logrus.NewEntry(log)), heard: map[string]*atomic.Int64{"a": {}, "b": {}}}
		d.Attach(s.system)
		for name, heard := range s.heard {
			if _, err := s.system.Spawn(s.system.Root(), actors.Spec{Name: name, New: func() actor.Actor { return listener{heard} }}); err != nil {
				t.Fatal(err)
			}
		}
		test(t, d, s)
		d.Close()
		for name := range s.heard {
			if err := s.system.Stop(s.system.PID(name)); err != nil {
				t.Error(err)
			}
		}
		s.system.Shutdown()
		<-time.After(3 * time.Second) // protoactor's throttle of dead letters
	})
}

func (s *troupe) send(to string) messages.Reply[int] {
	m := &tell{Reply: messages.NewReply[int]()}
	s.system.Root().Send(s.system.PID(to), m)
	return m.Reply
}

func (s *troupe) tell(to string) error {
	_, err := s.send(to).WaitOn(s.system.Clock(), "test", time.Minute)
	return err
}

// Every effect on a message is what it says, on the actor and the message that it
// names; and is gone with the fault.
func TestMessageEffects(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault Messages
		kind  errs.Kind // of a's answer; Internal: none
		text  string
		heard int64
		took  time.Duration
	}{
		{"panic", Messages{Actor: "a", Do: Panic}, errs.Busy, "on purpose", 0, 0},
		{"drop", Messages{Actor: "?", Message: "faults.tell", Do: Drop}, errs.Busy, "no answer in time", 0, time.Minute},
		{"drop reply", Messages{Actor: "a", Do: DropReply}, errs.Busy, "no answer in time", 1, time.Minute},
		{"refuse", Messages{Actor: "a", Do: Refuse, Error: "no space"}, errs.NoSpace, "a fault was injected", 0, 0},
		{"delay", Messages{Actor: "a", Do: Delay, Delay: time.Second}, errs.Internal, "", 1, time.Second},
		{"another actor", Messages{Actor: "c", Do: Panic}, errs.Internal, "", 1, 0},
		{"another message", Messages{Actor: "a", Message: "messages.*", Do: Panic}, errs.Internal, "", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			withActors(t, func(t *testing.T, d *Desk, s *troupe) {
				i := inject(t, d, Fault{Messages: &c.fault})
				began := time.Now()
				err := s.tell("a")
				switch {
				case c.kind == errs.Internal && err != nil, c.kind != errs.Internal && !errs.Is(c.kind, err),
					err != nil && !strings.Contains(err.Error(), c.text):
					t.Errorf("answered %v, want %v, %q", err, c.kind, c.text)
				}
				if took := time.Since(began); took != c.took || s.heard["a"].Load() != c.heard {
					t.Errorf("answered after %s, want %s; heard %d, want %d", took, c.took, s.heard["a"].Load(), c.heard)
				}
				if err := s.tell("b"); err != nil && c.fault.Actor != "?" {
					t.Errorf("b answered %v", err)
				}
				i.Clear()
				if err := s.tell("a"); err != nil {
					t.Errorf("after the fault: %v", err)
				}
				if hit := i.Hits() > 0; hit == strings.HasPrefix(c.name, "another") {
					t.Errorf("%d hits", i.Hits())
				}
			})
		})
	}
}

// An actor that hangs keeps what is sent to it, in order, until the fault is
// lifted; the next actor is not concerned.
func TestAnActorHangs(t *testing.T) {
	withActors(t, func(t *testing.T, d *Desk, s *troupe) {
		i := inject(t, d, Fault{Messages: &Messages{Actor: "a", Do: Hang}})
		first, second := s.send("a"), s.send("a")
		<-i.Reached()
		if err := s.tell("b"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(first)+len(second) != 0 {
			t.Error("a hung actor answered")
		}
		i.Clear()
		for n, r := range []messages.Reply[int]{first, second} {
			if _, err := r.Wait("test", time.Minute); err != nil {
				t.Errorf("message %d: %v", n+1, err)
			}
		}
		if i.Hits() != 1 {
			t.Errorf("%d hits; the second came when the fault was over", i.Hits())
		}
	})
}

// The kit's own messages are hit only by name: an Await works at an actor whose
// every message is dropped, and does not where Ping is named.
func TestTheKitsOwnMessages(t *testing.T) {
	withActors(t, func(t *testing.T, d *Desk, s *troupe) {
		inject(t, d, Fault{Messages: &Messages{Actor: "a", Do: Drop}})
		if err := s.system.Await(time.Second, "a"); err != nil {
			t.Error(err)
		}
		inject(t, d, Fault{Messages: &Messages{Actor: "a", Message: "messages.Ping", Do: Panic}, When: When{Count: 1}})
		if err := s.system.Await(time.Second, "a"); err == nil || !strings.Contains(err.Error(), "on purpose") {
			t.Errorf("a ping that panics: %v", err)
		}
		if err := s.system.Await(time.Minute, "a"); err != nil {
			t.Errorf("the actor is not back: %v", err)
		}
	})
}

// A skew moves dates and no waits, a jump shortens waits too; both are gone from
// the wall clock with the fault, and the desk's own time is not touched.
func TestClockFaults(t *testing.T) {
	bubble(t, func(t *testing.T, d *Desk) {
		c := d.Clock()
		began, elapsed := c.Now(), c.Elapsed()
		fired, timer := c.NewTimer(time.Hour)
		stopped := c.AfterFunc(time.Hour, func() { t.Error("a timer that was stopped fires") })
		if !stopped.Stop() || stopped.Stop() {
			t.Error("a timer is stopped once")
		}
		skew := inject(t, d, Fault{Clock: &Clock{Skew: -2 * time.Hour}, Expiry: time.Minute})
		if got := c.Now().Sub(began); got != -2*time.Hour || c.Elapsed() != elapsed || len(fired) != 0 {
			t.Errorf("with a skew: %s, %s elapsed, %d timers fired", got, c.Elapsed()-elapsed, len(fired))
		}
		jump := inject(t, d, Fault{Clock: &Clock{Jump: 59 * time.Minute}})
		synctest.Wait()
		if got := c.Now().Sub(began); got != -61*time.Minute || c.Elapsed()-elapsed != 59*time.Minute || len(fired) != 0 {
			t.Errorf("with a jump as well: %s, %s elapsed, %d timers fired", got, c.Elapsed()-elapsed, len(fired))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(fired) != 1 || timer.Stop() {
			t.Error("the timer did not fire after the hour that the jump shortened")
		}
		if list := d.List(); len(list) != 1 || list[0].ID != jump.ID() {
			t.Errorf("the skew has not expired by the desk's own time: %+v", list)
		}
		<-skew.Lifted()
		jump.Clear()
		if got := c.Now().Sub(began); got != time.Minute || c.Elapsed()-elapsed != time.Hour {
			t.Errorf("after the faults: %s, %s elapsed", got, c.Elapsed()-elapsed)
		}
		if skew.Hits() != 1 || jump.Hits() != 1 {
			t.Error("a fault of the clock hits once")
		}
		// A jump beyond a timer fires it at once.
		late, _ := c.NewTimer(time.Hour)
		inject(t, d, Fault{Clock: &Clock{Jump: 2 * time.Hour}})
		synctest.Wait()
		if len(late) != 1 {
			t.Error("a wait of an hour outlives a jump of two")
		}
	})
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
		{Fault{}, []string{"0 of messages, disk and clock", "expiry"}},
		{Fault{Expiry: -1, Disk: &Disk{Do: Fail}, Clock: &Clock{Skew: 1}}, []string{"2 of messages", "expiry"}},
		{Fault{Expiry: 25 * time.Hour, Disk: &Disk{Do: Fail}}, []string{"expiry"}},
		{Fault{Expiry: 1, Disk: &Disk{Do: "explode", Error: "EWHAT", Calls: []string{"fly"}, Path: "a[", Mountpath: "[", Bytes: -1}},
			[]string{"explode", "EWHAT", "fly", `"a["`, "mountpath", "at least 0"}},
		{Fault{Expiry: 1, Disk: &Disk{Do: FlipBits, Calls: []string{"write"}}}, []string{"flip-bits is about [read]"}},
		{Fault{Expiry: 1, Disk: &Disk{Do: Slow}}, []string{"delay, jitter"}},
		{Fault{Expiry: 1, Disk: &Disk{Do: Full}, When: When{Count: 1}}, []string{"whole filesystem"}},
		{Fault{Expiry: 1, Disk: &Disk{Do: Fail}, When: When{Probability: 1.5}}, []string{"probability"}},
		{Fault{Expiry: 1, Messages: &Messages{Do: Panic, Message: "[", Error: "odd"}}, []string{"no pattern", `"["`, `"odd"`}},
		{Fault{Expiry: 1, Messages: &Messages{Actor: "a", Do: "sing"}}, []string{"sing"}},
		{Fault{Expiry: 1, Messages: &Messages{Actor: "a", Do: Delay, Delay: -1}}, []string{"delay, jitter"}},
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
