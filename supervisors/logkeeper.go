package supervisors

import (
	"bytes"
	"sync"

	"github.com/sirupsen/logrus"
)

// Bounds of what a node keeps of its log in memory.
const (
	keptLogBytes  = 4 << 20 // of its text, and of what a line costs beside it
	keptLineBytes = 64 << 10
	lineCost      = 64 // a line's own, beside its text
)

// logKeeper keeps the last of a node's log, so that clients can read it where its output
// goes elsewhere. It is a hook of the logger, and sees what the log's level lets through.
// Safe for concurrent use.
//
// Lines of a severity have offsets: bytes since the node began, of the text of that
// severity and worse ones, the first line included that says when the node began.
type logKeeper struct {
	format logrus.Formatter

	mu     sync.Mutex
	limit  int    // bytes, lineCost of each line included; 0: closed
	head   []byte // the first line, which is never gone
	lines  []keptLine
	kept   int                           // bytes of lines, by which limit is judged
	behind [logrus.TraceLevel + 1]uint64 // bytes that are gone, by severity; a level above is worse
}

// keptLine is one line, with its end.
type keptLine struct {
	level logrus.Level
	text  []byte
}

// newLogKeeper follows a log and keeps as much of it as its part of so many bytes of
// memory. Close ends it: loggers have no way to let go of a hook.
func newLogKeeper(log *logrus.Logger, memory int64) *logKeeper {
	k := &logKeeper{format: log.Formatter, limit: keptLog(memory)}
	if text, ok := log.Formatter.(*logrus.TextFormatter); ok { // which looks whether it writes to a terminal
		k.format = &logrus.TextFormatter{DisableColors: true, FullTimestamp: true, TimestampFormat: text.TimestampFormat}
	}
	log.AddHook(k)
	return k
}

// keptLog is how many bytes a node of so much memory keeps.
func keptLog(memory int64) int { return int(min(keptLogBytes, memory/64)) }

// Levels implements logrus.Hook.
func (k *logKeeper) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (k *logKeeper) Fire(entry *logrus.Entry) error {
	text, err := k.format.Format(entry)
	if err != nil {
		return err
	}
	if len(text) > keptLineBytes {
		text = append(text[:keptLineBytes-len("…\n"):keptLineBytes-len("…\n")], "…\n"...)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.limit == 0 {
		return nil
	}
	k.lines, k.kept = append(k.lines, keptLine{entry.Level, bytes.Clone(text)}), k.kept+len(text)+lineCost
	for k.kept > k.limit {
		k.drop()
	}
	return nil
}

// drop lets go of the oldest line. With the lock.
func (k *logKeeper) drop() {
	oldest := k.lines[0]
	k.lines[0], k.lines = keptLine{}, k.lines[1:]
	k.kept -= len(oldest.text) + lineCost
	for severity := oldest.level; int(severity) < len(k.behind); severity++ {
		k.behind[severity] += uint64(len(oldest.text))
	}
}

// begin sets the first line, without its end.
func (k *logKeeper) begin(line string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.head = []byte(line + "\n")
}

// Tail returns the text of a severity and worse ones from an offset on. What is gone is
// skipped: the text goes on with the oldest line that is there. The caller owns it.
func (k *logKeeper) Tail(severity logrus.Level, offset uint64) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	text := make([]byte, 0, len(k.head)+k.kept)
	head := uint64(len(k.head))
	if offset < head {
		text, offset = append(text, k.head[offset:]...), head
	}
	skip := max(offset-head, k.behind[severity]) - k.behind[severity]
	for _, line := range k.lines {
		if line.level > severity {
			continue
		}
		size := uint64(len(line.text))
		text = append(text, line.text[min(skip, size):]...)
		skip -= min(skip, size)
	}
	return text
}

// close keeps nothing from now on.
func (k *logKeeper) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.limit, k.lines, k.kept = 0, nil, 0
}
