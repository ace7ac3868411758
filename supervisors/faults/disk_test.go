package faults

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

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

// A panic of the disk costs the actor that calls. Who is no actor would end the process,
// and meets an error instead.
func TestCrash(t *testing.T) {
	withActors(t, func(t *testing.T, d *Desk, s *troupe) {
		_, file := mounted(t, d, "/d0")
		if _, err := s.system.Spawn(s.system.Root(), actors.Spec{Name: "c", New: func() actor.Actor { return syncer{file} }}); err != nil {
			t.Fatal(err)
		}
		inject(t, d, Fault{Disk: &Disk{Do: Crash}, When: When{Count: 2}})
		if err := s.tell("c"); !errs.Is(errs.Busy, err) || !strings.Contains(err.Error(), "on purpose") {
			t.Errorf("an actor's sync: %v", err)
		}
		if err := file.Sync(); !errors.Is(err, syscall.EIO) {
			t.Errorf("a sync of nobody's: %v", err)
		}
		if err := s.tell("c"); err != nil {
			t.Errorf("the next one: %v", err)
		}
		if err := s.system.Stop(s.system.PID("c")); err != nil {
			t.Error(err)
		}
	})
}

// syncer syncs a file when it is told something.
type syncer struct{ file disk.File }

func (a syncer) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(*tell); ok {
		m.Reply.Send(1, a.file.Sync())
	}
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
