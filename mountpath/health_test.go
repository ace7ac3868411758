package mountpath

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
)

// patient is a disk under judgement on a clock of its own.
type patient struct {
	health
	now time.Duration
}

// after lets time pass, in ticks, with calls under way for as long as waits says of
// each tick; probes are answered as answer says, or not at all.
func (p *patient) after(d time.Duration, waiting func(since time.Duration) waits, answer func() (time.Duration, error)) {
	begun := p.now
	probeBegun := time.Duration(-1)
	for end := p.now + d; p.now < end; {
		p.now += tickTime
		w := waiting(p.now - begun)
		if p.probing && probeBegun >= 0 {
			w.probe = p.now - probeBegun
		}
		p.waits(p.now, w)
		if p.probeDue(p.now) {
			probeBegun = p.now
		}
		if p.probing && answer != nil {
			took, err := answer()
			p.probeEnded(p.now, took, err)
		}
		p.report()
	}
}

func idle(time.Duration) waits { return waits{} }

func well() (time.Duration, error) { return 5 * time.Millisecond, nil }

func fails(err error) func() (time.Duration, error) {
	return func() (time.Duration, error) { return time.Millisecond, err }
}

func takes(d time.Duration) func() (time.Duration, error) {
	return func() (time.Duration, error) { return d, nil }
}

// errorsOf counts so many disk errors of different keys.
func (p *patient) errorsOf(n int) {
	for i := range n {
		p.fault(p.now, fmt.Sprint("key ", p.errors, i), syscall.EIO)
	}
}

// A disk is what its errors, its calls, its room and its index say, and nothing else.
func TestHealth(t *testing.T) {
	long := 30 * time.Second
	for _, c := range []struct {
		name    string
		happens func(p *patient)
		state   messages.MountpathState
		reason  string // is in it
		write   bool
		read    bool
		reopen  bool
	}{
		{"nothing happened", func(p *patient) { p.after(long, idle, well) }, messages.MountpathOK, "", true, true, false},
		{"a few errors are a bad block", func(p *patient) {
			p.errorsOf(errorLimit - 1)
			p.after(time.Second, idle, well)
		}, messages.MountpathOK, "", true, true, false},
		{"errors of one key are one file", func(p *patient) {
			for range 50 {
				p.fault(p.now, "one", syscall.EIO)
			}
		}, messages.MountpathOK, "", true, true, false},
		{"errors spread over time are no burst", func(p *patient) {
			for range 20 {
				p.errorsOf(1)
				p.after(errorWindow/2, idle, well)
			}
		}, messages.MountpathOK, "", true, true, false},
		{"many errors", func(p *patient) { p.errorsOf(errorLimit) }, messages.MountpathFailing, "5 disk errors", true, true, false},
		{"many errors, and then none", func(p *patient) {
			p.errorsOf(errorLimit)
			p.after(long, idle, well)
		}, messages.MountpathOK, "", true, true, false},
		{"many errors, and they go on", func(p *patient) {
			p.errorsOf(errorLimit)
			p.after(time.Second, idle, well)
			p.errorsOf(errorLimit)
		}, messages.MountpathDisabled, "failing already", false, false, false},
		{"many errors, and probes fail", func(p *patient) {
			p.errorsOf(errorLimit)
			p.after(5*time.Second, idle, fails(syscall.EIO))
		}, messages.MountpathDisabled, "probes in a row failed", false, false, false},
		{"one probe failed", func(p *patient) {
			p.errorsOf(1)
			p.after(tickTime, idle, fails(syscall.EIO))
			p.after(errorWindow-time.Second, idle, well)
		}, messages.MountpathFailing, "a probe failed", true, true, false},
		{"disabled stays", func(p *patient) {
			p.errorsOf(2 * errorLimit)
			p.after(10*long, idle, well)
		}, messages.MountpathDisabled, "", false, false, false},

		{"a call takes long, the disk answers", func(p *patient) {
			p.after(time.Hour, func(since time.Duration) waits { return waits{call: since} }, well)
		}, messages.MountpathOK, "", true, true, false},
		{"a call takes long, and so does a probe", func(p *patient) {
			p.after(suspectAfter+2*time.Second, func(since time.Duration) waits { return waits{call: since} }, nil)
		}, messages.MountpathSlow, "has been under way", true, true, false},
		{"writes hang", func(p *patient) {
			p.after(suspectAfter+hungAfter+time.Second, func(since time.Duration) waits { return waits{call: since} }, nil)
		}, messages.MountpathFailing, "a probe does not return", false, true, false},
		{"everything hangs", func(p *patient) {
			p.after(suspectAfter+hungAfter+time.Second, func(since time.Duration) waits { return waits{call: since, read: since} }, nil)
		}, messages.MountpathFailing, "reads and a probe do not return", false, false, false},
		{"it hung, and answers", func(p *patient) {
			p.after(time.Minute, func(since time.Duration) waits { return waits{call: since, read: since} }, nil)
			p.probeEnded(p.now, time.Minute, nil)
			p.after(tickTime, idle, well)
		}, messages.MountpathSlow, "took 1m0s", true, true, false},
		{"it hung, and is well", func(p *patient) {
			p.after(time.Minute, func(since time.Duration) waits { return waits{call: since} }, nil)
			p.probeEnded(p.now, time.Minute, nil)
			p.after(long, idle, well)
		}, messages.MountpathOK, "", true, true, false},
		{"slow calls of probes", func(p *patient) {
			p.errorsOf(1)
			p.after(long, idle, takes(slowFrom))
		}, messages.MountpathSlow, "took 1s", true, true, false},
		{"neither slow nor quick", func(p *patient) {
			p.errorsOf(1)
			p.after(2*time.Second, idle, takes(slowFrom))
			p.after(long, idle, takes(slowFrom/2))
		}, messages.MountpathSlow, "took 1s", true, true, false},

		{"a slow read", func(p *patient) {
			p.after(tickTime, func(time.Duration) waits { return waits{ended: slowFrom} }, well)
		}, messages.MountpathSlow, "a read took 1s", true, true, false},
		{"it moves little", func(p *patient) {
			p.after(5*time.Second, func(time.Duration) waits { return waits{moving: tickTime, moved: 1 << 20 / 4} }, well)
		}, messages.MountpathSlow, "it moves 1024 KiB", true, true, false},
		{"it moves little, now and then", func(p *patient) {
			p.after(long, func(since time.Duration) waits {
				if since%(rateWindow/2) == 0 {
					return waits{moving: tickTime, moved: 1 << 20 / 4}
				}
				return waits{}
			}, well)
		}, messages.MountpathOK, "", true, true, false},
		{"it moves enough", func(p *patient) {
			p.after(long, func(time.Duration) waits { return waits{moving: tickTime, moved: slowRate/4 + 1} }, well)
		}, messages.MountpathOK, "", true, true, false},
		{"it moves more again", func(p *patient) {
			p.after(5*time.Second, func(time.Duration) waits { return waits{moving: tickTime, moved: 1 << 20 / 4} }, well)
			p.after(errorWindow+4*probePause, func(time.Duration) waits { return waits{moving: tickTime, moved: slowRate} }, well)
		}, messages.MountpathOK, "", true, true, false},
		{"reads that are nearly slow", func(p *patient) {
			p.after(long, func(time.Duration) waits { return waits{ended: slowFrom - time.Millisecond} }, well)
		}, messages.MountpathOK, "", true, true, false},
		{"slow reads beside quick probes", func(p *patient) {
			p.after(long, func(since time.Duration) waits {
				if since%(errorWindow/2) == 0 {
					return waits{ended: slowFrom}
				}
				return waits{}
			}, well)
		}, messages.MountpathSlow, "a read took 1s", true, true, false},
		{"reads that are slow no more", func(p *patient) {
			p.after(tickTime, func(time.Duration) waits { return waits{ended: slowFrom} }, well)
			p.after(errorWindow+4*probePause, idle, well)
		}, messages.MountpathOK, "", true, true, false},
		{"reads fail, and so does what a probe reads", func(p *patient) {
			p.turnedReadOnly()
			p.after(5*time.Second, idle, fails(syscall.EIO))
		}, messages.MountpathDisabled, "probes in a row failed", false, false, false},

		{"full", func(p *patient) { p.measured(store.Full) }, messages.MountpathFull, "writes wait", true, true, false},
		{"exhausted", func(p *patient) { p.measured(store.Exhausted) }, messages.MountpathFull, "deletes wait", true, true, false},
		{"room again", func(p *patient) { p.measured(store.Full); p.measured(store.Roomy) }, messages.MountpathOK, "", true, true, false},
		{"a full disk answers probes", func(p *patient) {
			p.errorsOf(1)
			p.after(long, idle, fails(syscall.ENOSPC))
		}, messages.MountpathOK, "", true, true, false},

		{"read-only", func(p *patient) { p.turnedReadOnly() }, messages.MountpathReadOnly, "takes no writes", false, true, false},
		{"read-only goes on", func(p *patient) {
			p.turnedReadOnly()
			p.after(long, idle, fails(syscall.EROFS))
		}, messages.MountpathReadOnly, "", false, true, false},
		{"writable again", func(p *patient) {
			p.turnedReadOnly()
			p.after(2*time.Second, idle, well)
		}, messages.MountpathOK, "", true, true, false},

		{"opened read-only", func(p *patient) { p.viewed, p.readOnly = true, true }, messages.MountpathReadOnly, "takes no writes", false, true, false},
		{"opened read-only goes on", func(p *patient) {
			p.viewed, p.readOnly = true, true
			p.after(long, idle, fails(syscall.EROFS))
		}, messages.MountpathReadOnly, "takes no writes", false, true, false},
		{"opened read-only, and it is full", func(p *patient) {
			p.viewed, p.readOnly = true, true
			p.after(long, idle, fails(syscall.ENOSPC))
		}, messages.MountpathReadOnly, "no room for any write", false, true, false},
		{"opened read-only, and there is hardly any room", func(p *patient) {
			p.viewed, p.readOnly = true, true
			p.measured(store.Exhausted)
			p.after(long, idle, well)
		}, messages.MountpathFull, "wait for room", false, true, false},
		{"opened read-only, and it is writable", func(p *patient) {
			p.viewed, p.readOnly = true, true
			p.after(2*time.Second, idle, well)
		}, messages.MountpathReadOnly, "takes writes again", false, true, true},
		{"opened read-only, and what a probe reads fails", func(p *patient) {
			p.viewed, p.readOnly = true, true
			p.after(long, idle, fails(syscall.EIO))
		}, messages.MountpathDisabled, "probes in a row failed", false, false, false},

		{"the index died", func(p *patient) { p.indexDied(syscall.EIO, 3) }, messages.MountpathFailing, "index stopped", false, true, false},
		{"the index died, the disk is well", func(p *patient) {
			p.indexDied(syscall.EIO, 3)
			p.after(long, idle, well)
		}, messages.MountpathFailing, "index stopped", false, true, true},
		{"the index died, and so did the disk", func(p *patient) {
			p.indexDied(syscall.EIO, 3)
			p.after(long, idle, fails(syscall.EIO))
		}, messages.MountpathDisabled, "", false, false, false},
		{"the index died too often", func(p *patient) {
			p.indexDied(syscall.EIO, 0)
			p.after(long, idle, well)
		}, messages.MountpathDisabled, "restart the node", false, false, false},
		{"the index died read-only", func(p *patient) {
			p.indexDied(syscall.EROFS, 3)
			p.after(long, idle, fails(syscall.EROFS))
		}, messages.MountpathReadOnly, "", false, true, false},
		{"the index died read-only, and it is writable", func(p *patient) {
			p.indexDied(syscall.EROFS, 3)
			p.after(2*time.Second, idle, well)
		}, messages.MountpathFull, "index stopped", false, true, true},
		{"the index died for want of room", func(p *patient) {
			p.indexDied(syscall.ENOSPC, 3)
			p.after(long, idle, fails(syscall.ENOSPC))
		}, messages.MountpathFull, "index stopped", false, true, false},
		{"the index died for want of room, little is there", func(p *patient) {
			p.indexDied(syscall.ENOSPC, 3)
			p.measured(store.Exhausted)
			p.after(long, idle, well)
		}, messages.MountpathFull, "index stopped", false, true, false},
		{"the index died for want of room, and there is room", func(p *patient) {
			p.indexDied(syscall.ENOSPC, 3)
			p.measured(store.Full)
			p.after(2*time.Second, idle, well)
		}, messages.MountpathFull, "index stopped", false, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &patient{now: time.Hour}
			c.happens(p)
			got := p.report()
			if got.state != c.state || !strings.Contains(got.reason, c.reason) || got.writable != c.write || got.readable != c.read || got.reopen != c.reopen {
				t.Errorf("%+v\nwant %s (%s), writable %t, readable %t, reopen %t", got, c.state, c.reason, c.write, c.read, c.reopen)
			}
		})
	}
}

// Whatever a disk does, it is marked within ten seconds: a hang by the calls that it
// keeps, errors by the probes that fail. And one probe is under way at a time.
func TestHealthIsTimely(t *testing.T) {
	hangs := &patient{now: time.Hour}
	for since := time.Duration(0); hangs.report().state != messages.MountpathFailing; since += tickTime {
		hangs.after(tickTime, func(time.Duration) waits {
			w := waits{call: since, read: since}
			if since > suspectAfter {
				w.probe = since - suspectAfter
			}
			return w
		}, nil)
		if since > 10*time.Second {
			t.Fatalf("a hang is not marked: %+v", hangs.report())
		}
	}
	dead := &patient{now: time.Hour}
	dead.indexDied(syscall.EIO, 3)
	probes := 0
	dead.after(10*time.Second, idle, func() (time.Duration, error) { probes++; return 0, syscall.EIO })
	if got := dead.report(); got.state != messages.MountpathDisabled || probes != badProbes {
		t.Errorf("after %d probes: %+v", probes, got)
	}
	silent := &patient{now: time.Hour}
	silent.errorsOf(1)
	begun := 0
	for range 1000 {
		silent.now += tickTime
		if silent.probeDue(silent.now) {
			begun++
		}
	}
	if begun != 1 {
		t.Errorf("%d probes were begun, and none had ended", begun)
	}
}

// A disk that is well is not probed: disks that sleep are not woken.
func TestHealthLeavesWellAlone(t *testing.T) {
	p := &patient{now: time.Hour}
	p.after(time.Hour, idle, func() (time.Duration, error) {
		t.Error("it was probed")
		return 0, errors.New("it was probed")
	})
}
