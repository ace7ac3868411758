package supervisors

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
)

// plainFormat is a line of the level and the message, so that bytes can be counted.
type plainFormat struct{}

func (plainFormat) Format(e *logrus.Entry) ([]byte, error) {
	return []byte(e.Level.String() + " " + e.Message + "\n"), nil
}

func keeperForTest(memory int64) (*logrus.Logger, *logKeeper) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.SetFormatter(plainFormat{})
	return log, newLogKeeper(log, memory)
}

func TestKeptLogBySeverityAndOffset(t *testing.T) {
	log, k := keeperForTest(1 << 30)
	k.begin("began")
	log.Debug("below the level")
	log.Info("one")
	log.Warn("two")
	log.Error("three")
	all := "began\ninfo one\nwarning two\nerror three\n"
	for _, c := range []struct {
		severity logrus.Level
		want     string
	}{
		{logrus.InfoLevel, all}, {logrus.WarnLevel, "began\nwarning two\nerror three\n"}, {logrus.ErrorLevel, "began\nerror three\n"},
	} {
		for offset := range len(c.want) + 3 {
			if got := string(k.Tail(c.severity, uint64(offset))); got != c.want[min(offset, len(c.want)):] {
				t.Fatalf("%s from %d: %q", c.severity, offset, got)
			}
		}
	}
	k.close()
	log.Info("four")
	if got := string(k.Tail(logrus.InfoLevel, 0)); got != "began\n" {
		t.Errorf("a keeper that is closed keeps %q", got)
	}
}

// Offsets hold while lines go: what is asked for from any offset is the end of the whole
// text of that severity, from there or from the oldest line that is left.
func TestKeptLogSkipsWhatIsGone(t *testing.T) {
	log, k := keeperForTest(64 << 10) // 1 KiB is kept
	k.begin("began")
	whole := map[logrus.Level]string{logrus.InfoLevel: "began\n", logrus.WarnLevel: "began\n"}
	for n := range 300 {
		line := fmt.Sprint("line ", n, strings.Repeat("x", n%17))
		whole[logrus.InfoLevel] += map[bool]string{true: "warning ", false: "info "}[n%3 == 0] + line + "\n"
		if n%3 == 0 {
			whole[logrus.WarnLevel] += "warning " + line + "\n"
			log.Warn(line)
		} else {
			log.Info(line)
		}
	}
	for severity, text := range whole {
		kept := string(k.Tail(severity, 0))
		lines, ok := strings.CutPrefix(kept, "began\n")
		if !ok || !strings.HasSuffix(text, lines) || len(lines) < 50 || len(lines) > 1<<10 {
			t.Fatalf("%s: kept %q", severity, kept)
		}
		for offset := len("began\n"); offset <= len(text); offset++ {
			want := text[max(offset, len(text)-len(lines)):]
			if got := string(k.Tail(severity, uint64(offset))); got != want {
				t.Fatalf("%s from %d: %q, want %q", severity, offset, got, want)
			}
		}
	}
}

// A flood from many sides, with lines of every length, stays within the bound.
func TestKeptLogHoldsUnderAFlood(t *testing.T) {
	log, k := keeperForTest(1 << 30)
	var wait sync.WaitGroup
	for writer := range 4 {
		wait.Go(func() {
			for n := range 3000 {
				log.Info(strings.Repeat("x", (n*7919+writer)%5000))
				if n%500 == 0 {
					k.Tail(logrus.InfoLevel, 0)
				}
			}
		})
	}
	log.Warn(strings.Repeat("y", 2*keptLineBytes))
	wait.Wait()
	k.mu.Lock()
	kept := k.kept
	k.mu.Unlock()
	if text := k.Tail(logrus.InfoLevel, 0); kept > keptLogBytes || len(text) > keptLogBytes || len(text) < keptLogBytes/2 {
		t.Errorf("%d bytes of text are kept, %d in all", len(text), kept)
	}
	log.Warn(strings.Repeat("y", 2*keptLineBytes))
	if text := k.Tail(logrus.WarnLevel, 0); len(text) < keptLineBytes || !bytes.HasSuffix(text, []byte("y…\n")) || len(text) > 2*keptLineBytes {
		t.Errorf("of a line that is too long %d bytes are kept", len(text))
	}
	if small := keptLog(MinMemoryBytes); small != MinMemoryBytes/64 {
		t.Errorf("a small node keeps %d bytes", small)
	}
}
